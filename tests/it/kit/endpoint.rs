//! Endpoints, and how they look in their set.

use super::service::Scripted;
use std::ops::Deref;
use std::task::{Context, Poll};
use tower::Service;
use tower_failover::BoxError;
use tower_failover::balance::{Endpoint, EndpointSnapshot, Endpoints};

/// A service that answers any request with its name; for the rest it is a [`Scripted`] service. Clones are
/// the same actor.
#[derive(Clone, Debug)]
pub(crate) struct Actor(Scripted<(), String>);

impl Actor {
    pub(crate) fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self(Scripted::new(move |_| Ok(name.clone())))
    }
}

impl Deref for Actor {
    type Target = Scripted<(), String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<Req> Service<Req> for Actor {
    type Response = String;
    type Error = BoxError;
    type Future = <Scripted<(), String> as Service<()>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, _: Req) -> Self::Future {
        self.0.call(())
    }
}

/// The actors a, b and so on, and the set of them.
pub(crate) fn cast<const N: usize>() -> ([Actor; N], Endpoints<Actor>) {
    let names: [String; N] = std::array::from_fn(|at| char::from(b'a' + at as u8).to_string());
    let actors = names.each_ref().map(|name| Actor::new(name));
    let named = names.iter().zip(&actors);
    let set = named.map(|(name, actor)| Endpoint::new(&**name, actor.clone())).collect();
    (actors, set)
}

/// A set of these services, whose names are their numbers; the closure may say more of each.
pub(crate) fn numbered<S: Clone>(
    services: &[S],
    say: impl Fn(usize, Endpoint<S>) -> Endpoint<S>,
) -> Endpoints<S> {
    let endpoint =
        |(at, service): (usize, &S)| say(at, Endpoint::new(at.to_string(), service.clone()));
    services.iter().enumerate().map(endpoint).collect()
}

/// How an endpoint stands.
pub(crate) fn look<S>(set: &Endpoints<S>, name: &str) -> EndpointSnapshot {
    let found = set.snapshot().into_iter().find(|endpoint| &*endpoint.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in the set"))
}

/// The calls in flight to all endpoints.
pub(crate) fn in_flight<S>(set: &Endpoints<S>) -> u32 {
    set.snapshot().iter().map(|endpoint| endpoint.in_flight).sum()
}
