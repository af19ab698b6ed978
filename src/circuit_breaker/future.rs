//! One call through a circuit.

use super::scope::{CircuitInFlight, InTheCall, Scope};
use crate::attempt::{CarryContext, End, Recorder};
use crate::classify::Classify;
use crate::error::BoxError;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pin_project! {
    /// The future of a [`CircuitBreaker`](super::CircuitBreaker).
    ///
    /// `F` is the future of the service that is called.
    pub struct CircuitBreakerFuture<F, C, P, K, Req>
    where
        P: CarryContext<Req>,
        K: Scope<Req>,
    {
        #[pin]
        state: State<F, Recorder<CircuitInFlight<C, P, K, K::Own>, P::Context>>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<F, R> {
        // on its way
        Called { #[pin] future: F, recorder: R },
        // refused by the circuit, or not ready, with the error until it is told. It stands in an `Arc`
        // since little code is needed to drop one, and every call has to
        Failed { error: Option<Arc<BoxError>> },
    }
}

impl<F, C, P, K, Req> CircuitBreakerFuture<F, C, P, K, Req>
where
    P: CarryContext<Req>,
    K: Scope<Req>,
{
    #[inline]
    pub(super) fn called(
        future: F,
        recorder: Recorder<CircuitInFlight<C, P, K, K::Own>, P::Context>,
    ) -> Self {
        Self { state: State::Called { future, recorder } }
    }

    #[cold]
    pub(super) fn failed(error: Arc<BoxError>) -> Self {
        Self { state: State::Failed { error: Some(error) } }
    }
}

impl<F, Res, E, C, P, K, Req> Future for CircuitBreakerFuture<F, C, P, K, Req>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    C: Classify<Res, BoxError>,
    P: CarryContext<Req> + End<Res>,
    K: Scope<Req>,
{
    type Output = Result<P::Response, BoxError>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // the whole way of a good call: short, and compiled into its caller
        match self.project().state.project() {
            StateProjected::Called { future, recorder } => {
                recorder.poll::<P, _, _, _, _>(future, cx, InTheCall)
            }
            StateProjected::Failed { error } => match error.take().and_then(Arc::into_inner) {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
        }
    }
}

impl<F, C, P, K, Req> fmt::Debug for CircuitBreakerFuture<F, C, P, K, Req>
where
    P: CarryContext<Req>,
    K: Scope<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Called { .. } => "called",
            State::Failed { .. } => "failed",
        };
        f.debug_struct("CircuitBreakerFuture").field("state", &state).finish_non_exhaustive()
    }
}
