//! One call whose answer is held back.

use super::body::FirstFrameBody;
use super::error::FirstFrameTimeout;
use super::judge::Judge;
use super::policy::FirstFramePolicy;
use super::state::{Holding, is_decided, pass};
use crate::clock::{self, Sleep};
use crate::error::BoxError;
use crate::lazy_box::LazyBox;
use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pin_project! {
    /// The future of a [`FirstFrame`](super::FirstFrame).
    ///
    /// `F` is the future of the service that is called, `B` the body of its answer.
    pub struct FirstFrameFuture<F, B, J>
    where
        J: Judge,
    {
        #[pin]
        state: State<F, Holding<B, J::Reader>>,
        // armed when the call is first pending
        timer: LazyBox<Sleep>,
        // none where the call is exempt: its answer passes as it is
        policy: Option<Arc<FirstFramePolicy<J>>>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<F, H> {
        // there is no answer yet
        Called { #[pin] future: F },
        // its body is waited for. It has memory of its own, since most futures never get here
        Holding { holding: Option<Box<H>> },
        // the result was returned
        Done,
    }
}

impl<F, B, J: Judge> FirstFrameFuture<F, B, J> {
    pub(super) fn new(future: F, policy: Option<Arc<FirstFramePolicy<J>>>) -> Self {
        Self { state: State::Called { future }, timer: LazyBox::NONE, policy }
    }
}

impl<F, B, E, J> Future for FirstFrameFuture<F, B, J>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin,
    J: Judge,
{
    type Output = Result<Response<FirstFrameBody<B>>, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let head = match this.state.as_mut().project() {
            StateProjected::Called { future } => match future.poll(cx) {
                Poll::Pending => false,
                Poll::Ready(result) => {
                    this.state.set(State::Done);
                    let mut answer = result.map_err(Into::into)?;
                    let policy = match this.policy {
                        Some(policy) if !is_decided::<J, _>(&mut answer) => policy,
                        _ => return Poll::Ready(Ok(pass(answer))),
                    };
                    let mut holding = Holding::new::<J>(answer);
                    match holding.poll(cx, policy) {
                        Poll::Ready(found) => {
                            return Poll::Ready(Ok(holding.release(found, policy)));
                        }
                        Poll::Pending => {
                            let holding = Some(Box::new(holding));
                            this.state.set(State::Holding { holding });
                            true
                        }
                    }
                }
            },
            StateProjected::Holding { holding: place } => {
                // a judge that panics leaves nothing to be polled again
                let (Some(mut holding), Some(policy)) = (place.take(), &this.policy) else {
                    return Poll::Pending;
                };
                match holding.poll(cx, policy) {
                    Poll::Ready(found) => return Poll::Ready(Ok(holding.release(found, policy))),
                    Poll::Pending => *place = Some(holding),
                }
                true
            }
            StateProjected::Done => return Poll::Pending,
        };
        let Some(timeout) = this.policy.as_ref().and_then(|policy| policy.timeout) else {
            return Poll::Pending;
        };
        let timer = this
            .timer
            .get_or_insert_with(|| clock::sleep_until(clock::after(clock::now(), timeout)));
        if timer.poll(cx).is_pending() {
            return Poll::Pending;
        }
        // the other side is let go of before the caller hears of it
        this.state.set(State::Done);
        tracing::debug!(
            target: "tower_failover::first_frame",
            ?timeout,
            head,
            "timeout"
        );
        Poll::Ready(Err(FirstFrameTimeout::new(timeout, head).into()))
    }
}

impl<F, B, J: Judge> fmt::Debug for FirstFrameFuture<F, B, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Called { .. } => "called",
            State::Holding { .. } => "holding",
            State::Done => "done",
        };
        f.debug_struct("FirstFrameFuture").field("state", &state).finish_non_exhaustive()
    }
}
