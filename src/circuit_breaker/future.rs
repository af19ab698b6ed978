//! One call through a circuit.

use super::scope::{CircuitInFlight, Find, Scope};
use crate::attempt::CarryContext;
use crate::attempt::RequestContext;
use crate::attempt::{End, Recorder};
use crate::classify::{Classify, assess};
use crate::error::BoxError;
use crate::outcome::Outcome;
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
        // refused by the circuit, or not ready, with the error until it is configured. It stands in an `Arc`
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
                // polled again after its end
                let Some(call) = recorder.enter() else { return Poll::Pending };
                match future.poll(cx) {
                    Poll::Pending => {
                        recorder.wait();
                        Poll::Pending
                    }
                    Poll::Ready(Ok(answer)) => match call.policy().classify.classify(Ok(&answer)) {
                        Outcome::Success => {
                            Poll::Ready(Ok(succeed::<_, _, P, _, _, _>(recorder, answer)))
                        }
                        outcome => {
                            settle(recorder, Ok(&answer), Some(outcome));
                            Poll::Ready(Ok(P::ended(answer)))
                        }
                    },
                    Poll::Ready(Err(error)) => {
                        let error = error.into();
                        settle(recorder, Err::<&Res, _>(&error), None);
                        Poll::Ready(Err(error))
                    }
                }
            }
            StateProjected::Failed { error } => match error.take().and_then(Arc::into_inner) {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
        }
    }
}

type Recording<C, P, K, O, L> = Recorder<CircuitInFlight<C, P, K, O>, L>;

/// Records a success, or hands the recorder on to the body of the answer.
#[inline(always)]
fn succeed<Res, C, P, K, O, L>(recorder: &mut Recording<C, P, K, O, L>, answer: Res) -> P::Response
where
    C: Classify<Res, BoxError>,
    P: End<Res>,
    O: Find<K>,
    L: RequestContext,
{
    if !P::LATER {
        recorder.succeed();
        return P::ended(answer);
    }
    let at_end = recorder.in_flight().and_then(|call| call.policy().classify.at_end(&answer));
    match recorder.answered(at_end) {
        Some(recorder) => P::goes_on(answer, recorder),
        None => P::ended(answer),
    }
}

/// Records a result that is no success, or not known to be one.
#[cold]
fn settle<Res, C, P, K, O, L>(
    recorder: &mut Recording<C, P, K, O, L>,
    result: Result<&Res, &BoxError>,
    outcome: Option<Outcome>,
) where
    C: Classify<Res, BoxError>,
    O: Find<K>,
    L: RequestContext,
{
    if let Some(call) = recorder.in_flight() {
        let (outcome, evidence) = assess(&call.policy().classify, result, outcome);
        recorder.settle(outcome, evidence);
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
