//! Taps: services between the layers that watch the calls that pass.

mod breaker;

pub(crate) use breaker::{BreakerTap, Watch};

use crate::family::{BoxService, Family, Guard};
use crate::world::World;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower::BoxError;
use tower_service::Service;

/// Sees a call of the request with this id, and may hold something until the response has ended.
type Before = Arc<dyn Fn(u64) -> Option<Guard> + Send + Sync>;
/// Sees the error of a call, the request's id, and the last event when it was called.
type After = Arc<dyn Fn(&BoxError, u64, u64) + Send + Sync>;

/// Tells every call.
pub(crate) fn before<F: Family>(
    inner: BoxService<F>,
    world: &Arc<World>,
    before: impl Fn(u64) -> Option<Guard> + Send + Sync + 'static,
) -> BoxService<F> {
    let (world, before, after) = (world.clone(), Some(Arc::new(before) as Before), None);
    BoxService::<F>::new(Tap::<F> { inner, world, before, after })
}

/// Tells every error.
pub(crate) fn after<F: Family>(
    inner: BoxService<F>,
    world: &Arc<World>,
    after: impl Fn(&BoxError, u64, u64) + Send + Sync + 'static,
) -> BoxService<F> {
    let (world, before, after) = (world.clone(), None, Some(Arc::new(after) as After));
    BoxService::<F>::new(Tap::<F> { inner, world, before, after })
}

struct Tap<F: Family> {
    inner: BoxService<F>,
    world: Arc<World>,
    before: Option<Before>,
    after: Option<After>,
}

impl<F: Family> Clone for Tap<F> {
    fn clone(&self) -> Self {
        let (inner, world) = (self.inner.clone(), self.world.clone());
        Self { inner, world, before: self.before.clone(), after: self.after.clone() }
    }
}

impl<F: Family> Service<F::Request> for Tap<F> {
    type Response = F::Response;
    type Error = BoxError;
    type Future = TapFuture<F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: F::Request) -> TapFuture<F> {
        let id = F::id(&request);
        let guard = self.before.as_ref().and_then(|before| before(id));
        let inner = self.inner.call(request);
        let called = self.world.last_event();
        TapFuture { inner, guard, after: self.after.clone(), id, called }
    }
}

struct TapFuture<F: Family> {
    // dropped first
    inner: <BoxService<F> as Service<F::Request>>::Future,
    guard: Option<Guard>,
    after: Option<After>,
    id: u64,
    called: u64,
}

impl<F: Family> Future for TapFuture<F> {
    type Output = Result<F::Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.inner.as_mut().poll(cx));
        let guard = self.guard.take();
        Poll::Ready(match (result, guard) {
            (Ok(response), Some(guard)) => Ok(F::hold(response, guard)),
            (Ok(response), None) => Ok(response),
            (Err(error), guard) => {
                drop(guard);
                if let Some(after) = &self.after {
                    after(&error, self.id, self.called);
                }
                Err(error)
            }
        })
    }
}
