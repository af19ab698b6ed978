//! Endpoints that do as they are told, while the set serves.

use crate::support::sleep;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower::Service;
use tower_failover::BoxError;
use tower_failover::balance::{Endpoint, EndpointSnapshot, Endpoints};

/// What an actor says when it is polled ready.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Gate {
    Open,
    Shut,
    Broken,
    Panics,
}

/// What an actor does when it is called.
#[derive(Clone, Copy)]
pub(super) enum Act {
    Answers,
    AnswersAfter(Duration),
    Fails,
    /// Never answers.
    Hangs,
    PanicsInCall,
    PanicsInFuture,
}

/// A service that answers with its name. It panics when it is called unready; clones are the same actor,
/// and none of them is ready.
pub(super) struct Actor {
    part: Arc<Part>,
    ready: bool,
}

struct Part {
    name: String,
    orders: Mutex<(Gate, Act)>,
    clone_panics: Mutex<bool>,
    polls: AtomicUsize,
    calls: AtomicUsize,
    running: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

impl Actor {
    pub(super) fn new(name: &str) -> Self {
        let part = Part {
            name: name.to_owned(),
            orders: Mutex::new((Gate::Open, Act::Answers)),
            clone_panics: Mutex::new(false),
            polls: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            wakers: Mutex::default(),
        };
        Self { part: Arc::new(part), ready: false }
    }

    pub(super) fn gate(&self, gate: Gate) {
        self.part.orders.lock().unwrap().0 = gate;
        if gate != Gate::Shut {
            let wakers = std::mem::take(&mut *self.part.wakers.lock().unwrap());
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    pub(super) fn act(&self, act: Act) {
        self.part.orders.lock().unwrap().1 = act;
    }

    pub(super) fn clone_panics(&self, panics: bool) {
        *self.part.clone_panics.lock().unwrap() = panics;
    }

    /// How often it was polled ready.
    pub(super) fn polls(&self) -> usize {
        self.part.polls.load(SeqCst)
    }

    pub(super) fn calls(&self) -> usize {
        self.part.calls.load(SeqCst)
    }

    /// Futures of its calls that are still held.
    pub(super) fn running(&self) -> usize {
        self.part.running.load(SeqCst)
    }
}

impl Clone for Actor {
    fn clone(&self) -> Self {
        let panics = *self.part.clone_panics.lock().unwrap();
        assert!(!panics, "panics when it is cloned");
        Self { part: self.part.clone(), ready: false }
    }
}

impl<Req> Service<Req> for Actor {
    type Response = String;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.part.polls.fetch_add(1, SeqCst);
        let gate = self.part.orders.lock().unwrap().0;
        match gate {
            Gate::Open => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Gate::Shut => {
                self.part.wakers.lock().unwrap().push(cx.waker().clone());
                Poll::Pending
            }
            Gate::Broken => Poll::Ready(Err("broken".into())),
            Gate::Panics => panic!("panics when it is polled ready"),
        }
    }

    fn call(&mut self, _: Req) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called before it was ready");
        let act = self.part.orders.lock().unwrap().1;
        self.part.calls.fetch_add(1, SeqCst);
        assert!(!matches!(act, Act::PanicsInCall), "panics when it is called");
        let running = Running::new(self.part.clone());
        Box::pin(async move {
            let part = &running.0;
            match act {
                Act::AnswersAfter(time) => sleep(time).await,
                Act::Fails => return Err("failed".into()),
                Act::Hangs => std::future::pending().await,
                Act::PanicsInFuture => panic!("panics when its future is polled"),
                Act::Answers | Act::PanicsInCall => {}
            }
            Ok(part.name.clone())
        })
    }
}

struct Running(Arc<Part>);

impl Running {
    fn new(part: Arc<Part>) -> Self {
        part.running.fetch_add(1, SeqCst);
        Self(part)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

/// A set of the actors a, b and so on.
pub(super) fn cast<const N: usize>() -> ([Actor; N], Endpoints<Actor>) {
    let names: [String; N] = std::array::from_fn(|at| char::from(b'a' + at as u8).to_string());
    let actors = names.map(|name| Actor::new(&name));
    let set = actors.iter().map(|actor| Endpoint::new(&*actor.part.name, actor.clone())).collect();
    (actors, set)
}

/// How an endpoint stands.
pub(super) fn look<S>(set: &Endpoints<S>, name: &str) -> EndpointSnapshot {
    let found = set.snapshot().into_iter().find(|endpoint| &*endpoint.name == name);
    found.unwrap_or_else(|| panic!("{name} is not in the set"))
}

/// The calls in flight to all endpoints.
pub(super) fn in_flight<S>(set: &Endpoints<S>) -> u32 {
    set.snapshot().iter().map(|endpoint| endpoint.in_flight).sum()
}
