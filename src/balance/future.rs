//! One request of a balancer.

use super::late::{Late, Opening};
use super::pick::NoneNow;
use super::policy::{Allow, Core};
use super::set::Seat;
use super::state::{Reserved, Unsent, hand_on};
use crate::attempts::{Attempts, Luggage};
use crate::classify::Classify;
use crate::clock::{self, Instant};
use crate::error::BoxError;
use crate::record::{End, Recorder};
use crate::replay::Carry;
use crate::stripe::Held;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_service::Service;

pin_project! {
    /// The future of a [`Balance`](super::Balance).
    ///
    /// `F` is the future of the service that is called.
    pub struct BalanceFuture<S, Req, C, P, A, F>
    where
        S: Send,
        S: Sync,
        S: 'static,
        P: Carry<Req>,
    {
        #[pin]
        state: State<S, Req, P::Luggage, F>,
        core: Held<Core<S, C, P, A>>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<S, Req, L, F>
    where
        S: Send,
        S: Sync,
        S: 'static,
        L: Luggage,
    {
        // an endpoint was chosen
        Chosen { unsent: Option<Unsent<Req, L>>, reserved: Option<Reserved<S>> },
        // it was not ready at once, or there is none
        Late { unsent: Option<Unsent<Req, L>>, late: Late<S> },
        // on its way
        Called { #[pin] future: F, recorder: Recorder<Seat<S>, L> },
        Failed { none: Option<(NoneNow, Instant)> },
    }
}

impl<S, Req, C, P, A, F> BalanceFuture<S, Req, C, P, A, F>
where
    S: Send + Sync,
    P: Carry<Req>,
{
    #[inline]
    pub(super) fn chosen(
        core: Held<Core<S, C, P, A>>,
        unsent: Unsent<Req, P::Luggage>,
        reserved: Reserved<S>,
    ) -> Self {
        Self { state: State::Chosen { unsent: Some(unsent), reserved: Some(reserved) }, core }
    }

    /// There is no endpoint.
    #[cold]
    pub(super) fn none(
        core: Held<Core<S, C, P, A>>,
        unsent: Unsent<Req, P::Luggage>,
        none: NoneNow,
        now: Instant,
    ) -> Self {
        let wait_for = core.policy.wait_for;
        let state = if wait_for.is_zero() {
            State::Failed { none: Some((none, now)) }
        } else {
            let until = clock::after(now, wait_for);
            State::Late { unsent: Some(unsent), late: Late::waiting(until) }
        };
        Self { state, core }
    }
}

impl<S, Req, Res, E, C, P, A, F> Future for BalanceFuture<S, Req, C, P, A, F>
where
    S: Service<Req, Response = Res, Error = E, Future = F> + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    C: Classify<Res, BoxError>,
    P: Carry<Req> + End<Res>,
    A: Allow<Req>,
{
    type Output = Result<P::Response, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjected::Called { future, recorder } => {
                    // polled again after its end
                    if recorder.enter().is_none() {
                        return Poll::Pending;
                    }
                    let Poll::Ready(result) = future.poll(cx) else {
                        recorder.wait();
                        return Poll::Pending;
                    };
                    let classify = &this.core.policy.classify;
                    return Poll::Ready(recorder.conclude::<_, _, _, P>(classify, result));
                }
                StateProjected::Chosen { unsent, reserved } => {
                    let (Some(own), Some(mut place)) = (unsent.take(), reserved.take()) else {
                        return Poll::Pending;
                    };
                    let Some(member) = place.member() else { return Poll::Pending };
                    let mut service = member.service.clone();
                    place.enter();
                    let (polled, inside) =
                        Attempts::listen_for_reader(P::CARRIES, || service.poll_ready(cx));
                    if let Poll::Ready(Ok(())) = polled {
                        start(this.core, own, Opening { place, service }, inside)
                    } else {
                        let late = Late::after(this.core, Opening { place, service }, polled);
                        State::Late { unsent: Some(own), late }
                    }
                }
                StateProjected::Late { unsent, late } => {
                    let Some(own) = unsent.as_ref() else { return Poll::Pending };
                    let (opening, inside) = ready!(late.poll(this.core, own, cx))?;
                    match unsent.take() {
                        Some(own) => start(this.core, own, opening, inside),
                        None => return Poll::Pending,
                    }
                }
                StateProjected::Failed { none } => {
                    return match none.take() {
                        Some((none, now)) => Poll::Ready(Err(this.core.error(none, now))),
                        // polled again after its end
                        None => Poll::Pending,
                    };
                }
            };
            this.state.set(next);
        }
    }
}

/// Makes the call.
#[inline]
fn start<S, Req, C, P, A>(
    core: &Core<S, C, P, A>,
    mut unsent: Unsent<Req, P::Luggage>,
    opening: Opening<S>,
    reader_inside: bool,
) -> State<S, Req, P::Luggage, S::Future>
where
    S: Service<Req> + Send + Sync + 'static,
    P: Carry<Req>,
{
    let Opening { mut place, mut service } = opening;
    hand_on(&core.policy.kind, &mut unsent, reader_inside);
    place.enter();
    let future = service.call(unsent.request);
    match place.seat(unsent.luggage) {
        Some(recorder) => State::Called { future, recorder },
        None => State::Failed { none: None },
    }
}

impl<S, Req, C, P, A, F> fmt::Debug for BalanceFuture<S, Req, C, P, A, F>
where
    S: Send + Sync,
    P: Carry<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Chosen { .. } => "chosen",
            State::Late { .. } => "late",
            State::Called { .. } => "called",
            State::Failed { .. } => "failed",
        };
        f.debug_struct("BalanceFuture").field("state", &state).finish_non_exhaustive()
    }
}
