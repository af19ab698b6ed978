//! The service of a backend, which keeps tower's contract and checks that its callers do.

use super::{Action, Backend};
use crate::clock;
use crate::family::{Answering, Family};
use crate::world::{CallEnd, Kind, Live, World, lock};
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;
use tower::BoxError;
use tower_service::Service;

/// The instructions of a backend for one call.
pub(crate) struct Script {
    pub(crate) backend: Arc<Backend>,
    pub(crate) request: u64,
    pub(crate) serial: u64,
    pub(crate) action: Action,
    pub(crate) delay: u64,
}

impl Script {
    /// Notes the end of the call.
    pub(crate) fn end(&self, end: CallEnd) {
        self.backend.leave(self.request, self.serial, end);
    }

    /// The delay before the response; no sleep at all where there is none.
    pub(crate) async fn wait(&self) {
        if self.delay > 0 {
            clock::sleep(clock::ms(self.delay)).await;
        }
    }
}

enum Readiness {
    Unknown,
    Waits(Pin<Box<Sleep>>),
    Hangs,
    Ready,
}

pub(crate) struct BackendService<F> {
    backend: Arc<Backend>,
    readiness: Readiness,
    _live: Live,
    family: PhantomData<fn() -> F>,
}

impl<F> BackendService<F> {
    pub(crate) fn new(backend: Arc<Backend>) -> Self {
        backend.services.fetch_add(1, SeqCst);
        let live = Live::new(&backend.world, Kind::Service);
        Self { backend, readiness: Readiness::Unknown, _live: live, family: PhantomData }
    }
}

impl<F> Clone for BackendService<F> {
    fn clone(&self) -> Self {
        Self::new(self.backend.clone())
    }
}

impl<F> Drop for BackendService<F> {
    fn drop(&mut self) {
        self.backend.services.fetch_sub(1, SeqCst);
    }
}

impl<F: Family> Service<F::Request> for BackendService<F> {
    type Response = F::Response;
    type Error = BoxError;
    type Future = BackendFuture<F::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let Readiness::Unknown = self.readiness {
            let (waits, fails, hangs, time) = self.backend.draw_now(|rng, behavior| {
                (
                    rng.chance(behavior.unready),
                    rng.chance(behavior.unready_error),
                    rng.chance(behavior.unready_hang),
                    rng.pick(&[0, 1, 10, 100, 1_500]),
                )
            });
            if fails {
                self.backend.world.log(|| format!("unready error {}", self.backend.name));
                return Poll::Ready(Err("sim: not ready".into()));
            }
            self.readiness = match (hangs, waits) {
                (true, _) => Readiness::Hangs,
                (_, true) => Readiness::Waits(Box::pin(clock::sleep(clock::ms(time)))),
                _ => Readiness::Ready,
            };
        }
        if let Readiness::Waits(sleep) = &mut self.readiness {
            ready!(sleep.as_mut().poll(cx));
            self.readiness = Readiness::Ready;
        }
        match self.readiness {
            Readiness::Ready => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }

    fn call(&mut self, request: F::Request) -> BackendFuture<F::Response> {
        let (backend, id) = (self.backend.clone(), F::id(&request));
        let world = backend.world.clone();
        if !matches!(self.readiness, Readiness::Ready) {
            world.violate("called-unready", format!("req {id} at {}", backend.name));
        }
        self.readiness = Readiness::Unknown;
        let serial = backend.enter(id, F::number(&request));
        let (action, delay) = backend.draw_now(|rng, behavior| behavior.draw_action(rng));
        let live = (Live::new(&world, Kind::Future), OpenCall(world.clone(), id));
        let script = Script { backend, request: id, serial, action, delay };
        if action == Action::PanicInCall {
            script.end(CallEnd::Other);
            panic!("sim: panic in call");
        }
        let inner = F::answer(script, request);
        BackendFuture { inner, progress: Progress::Open, world, _live: live }
    }
}

/// How far something that is polled has come.
#[derive(Clone, Copy)]
pub(crate) enum Progress {
    Open,
    /// Being polled, or the last poll panicked.
    Polled,
    Over,
}

pub(crate) struct BackendFuture<R> {
    // dropped first
    inner: Answering<R>,
    progress: Progress,
    world: Arc<World>,
    _live: (Live, OpenCall),
}

/// Counts a call as one of its request's open ones.
struct OpenCall(Arc<World>, u64);

impl Drop for OpenCall {
    fn drop(&mut self) {
        if let Some(request) = lock(&self.0.requests).get_mut(&self.1) {
            request.open -= 1;
        }
    }
}

impl<R> Future for BackendFuture<R> {
    type Output = Result<R, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.progress {
            Progress::Open => {}
            Progress::Polled => self.world.violate("polled-after-panic", String::new()),
            Progress::Over => self.world.violate("polled-after-end", String::new()),
        }
        self.progress = Progress::Polled;
        let polled = self.inner.as_mut().poll(cx);
        self.progress = if polled.is_ready() { Progress::Over } else { Progress::Open };
        polled
    }
}
