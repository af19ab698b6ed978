//! The service over a set of endpoints.

use super::endpoints::Endpoints;
use super::future::BalanceFuture;
use super::policy::{Allow, Core, Everyone};
use super::set::Seat;
use crate::attempts::Attempts;
use crate::classify::Classify;
use crate::clock;
use crate::error::BoxError;
use crate::record::{End, Recorder};
use crate::replay::Carry;
use crate::stripe::Spread;
use std::fmt;
use std::task::{Context, Poll};
use tower_service::Service;

/// Sends each request to the endpoint that serves it best; made by [`BalanceLayer`](super::BalanceLayer).
///
/// It is always ready, and chooses when it is called: an idle clone holds nothing of any endpoint.
///
/// # Clones
///
/// Clones share the endpoints and all that is known of them.
pub struct Balance<S, C, P, A = Everyone> {
    core: Spread<Core<S, C, P, A>>,
}

impl<S, C, P, A> Balance<S, C, P, A> {
    pub(super) fn new(core: Core<S, C, P, A>) -> Self {
        Self { core: Spread::new(core) }
    }

    /// Returns a handle of the set.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints<S> {
        Endpoints { shared: self.core.shared.clone() }
    }
}

impl<S, C, P, A, Req> Service<Req> for Balance<S, C, P, A>
where
    S: Service<Req> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    C: Classify<S::Response, BoxError>,
    P: Carry<Req> + End<S::Response>,
    A: Allow<Req>,
{
    type Response = P::Response;
    type Error = BoxError;
    type Future = BalanceFuture<S, Req, C, P, A, S::Future>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if P::CARRIES {
            Attempts::announce_reader();
        }
        Poll::Ready(Ok(()))
    }

    #[inline(always)]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let core = self.core.hold();
        let luggage = core.policy.kind.unpack(&mut request);
        let now = clock::now();
        // a request that can wait comes after those that do
        if core.shared.roster.has_queue() && !core.policy.wait_for.is_zero() {
            return BalanceFuture::queued(core, request, luggage, now);
        }
        match core.choose(&request, &luggage, now) {
            Ok((member, admission)) => {
                let recorder = Recorder::new(Seat(member), admission, Some(now), luggage);
                BalanceFuture::chosen(core, request, recorder)
            }
            Err(none) => BalanceFuture::none(core, request, luggage, none, now),
        }
    }
}

impl<S, C, P, A> Clone for Balance<S, C, P, A> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone() }
    }
}

impl<S, C, P, A> fmt::Debug for Balance<S, C, P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}
