//! The service whose calls are recorded.

use super::future::TrackFuture;
use super::state::Tracked;
use crate::attempt::{AttemptObserver, CarryContext, End, Ending, Recorder};
use crate::classify::{Classify, assess};
use crate::clock;
use crate::error::BoxError;
use crate::panic_guard::PanicGuard;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower::load::Load;
use tower_service::Service;

/// Records the calls to its service, and tells their cost; made by [`TrackLayer`](super::TrackLayer).
///
/// # Clones
///
/// Clones share what is recorded.
#[derive(Clone)]
pub struct Track<S, C, P> {
    inner: S,
    classify: C,
    kind: P,
    tracked: Arc<Tracked>,
}

impl<S, C, P> Track<S, C, P> {
    pub(super) fn new(inner: S, classify: C, kind: P) -> Self {
        Self { inner, classify, kind, tracked: Tracked::new() }
    }
}

impl<S, C, P> Track<S, C, P> {
    /// Returns the inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service, to be changed. Readiness belongs to whoever polled for it: after a call
    /// of the inner service, or a change of it, poll this one ready again.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service alone. What this layer kept of its readiness is lost, so poll it ready
    /// again.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, P> Load for Track<S, C, P> {
    /// The latency in nanoseconds times one more than the calls in flight, by the square of the health.
    type Metric = f64;

    fn load(&self) -> f64 {
        self.tracked.cost()
    }
}

impl<S, C, P, Req> Service<Req> for Track<S, C, P>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response, BoxError> + Clone,
    P: CarryContext<Req> + End<S::Response>,
{
    type Response = P::Response;
    type Error = BoxError;
    type Future = TrackFuture<S::Future, C, P, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Err(error) = ready!(self.inner.poll_ready(cx)) else { return Poll::Ready(Ok(())) };
        let error = error.into();
        let result: Result<&S::Response, _> = Err(&error);
        let (outcome, evidence) = assess(&self.classify, result, None);
        self.tracked.health.begin();
        self.tracked.settle(self.tracked.admission(), &Ending::at_once(outcome, evidence));
        Poll::Ready(Err(error))
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let context = self.kind.read_context(&mut request);
        let (admission, started) = (self.tracked.admission(), clock::now());
        self.tracked.health.begin();
        let tracked = &self.tracked;
        let guard = PanicGuard::new(|| tracked.settle(tracked.admission(), &Ending::panicked()));
        let future = self.inner.call(request);
        guard.disarm();
        let recorder = Recorder::new(self.tracked.clone(), admission, Some(started), context);
        TrackFuture::new(future, recorder, self.classify.clone())
    }
}

impl<S: fmt::Debug, C, P> fmt::Debug for Track<S, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Track")
            .field("inner", &self.inner)
            .field("tracked", &self.tracked)
            .finish_non_exhaustive()
    }
}
