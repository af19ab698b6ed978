//! One request of a balancer.

use super::pick::NoneNow;
use super::policy::{Allow, Balancer};

use super::unready::{Late, Opening};
use crate::attempt::{CarryContext, End, Link, Recorder, RequestContext};
use crate::classify::Classify;
use crate::clock::{self, Instant};
use crate::endpoints::Member;
use crate::error::BoxError;
use crate::lazy_box::LazyBox;
use crate::striped::StripedRef;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
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
        P: CarryContext<Req>,
    {
        #[pin]
        state: State<S, Req, F>,
        recorder: Recorder<Arc<Member<S>>, P::Context>,
        balancer: StripedRef<Balancer<S, C, P, A>>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<S, Req, F>
    where
        S: Send,
        S: Sync,
        S: 'static,
    {
        // an endpoint was chosen
        Chosen { request: Option<Req> },
        // on its way
        Called { #[pin] future: F },
        // it was not ready at once, or there was none
        Late { request: Option<Req>, late: LazyBox<Late<S>> },
        Failed { none: Option<(NoneNow, Instant)> },
    }
}

impl<S, Req, C, P, A, F> BalanceFuture<S, Req, C, P, A, F>
where
    S: Send + Sync + 'static,
    P: CarryContext<Req>,
{
    #[inline(always)]
    pub(super) fn chosen(
        balancer: StripedRef<Balancer<S, C, P, A>>,
        request: Req,
        recorder: Recorder<Arc<Member<S>>, P::Context>,
    ) -> Self {
        Self { state: State::Chosen { request: Some(request) }, recorder, balancer }
    }

    /// There is no endpoint.
    #[cold]
    pub(super) fn none(
        balancer: StripedRef<Balancer<S, C, P, A>>,
        request: Req,
        context: P::Context,
        none: NoneNow,
        now: Instant,
    ) -> Self {
        let wait_for = balancer.policy.wait_for;
        let state = if wait_for.is_zero() {
            State::Failed { none: Some((none, now)) }
        } else {
            Self::waiting(request, clock::after(now, wait_for), false)
        };
        Self { state, recorder: Recorder::vacant(context), balancer }
    }

    /// Others wait for room already.
    #[cold]
    pub(super) fn queued(
        balancer: StripedRef<Balancer<S, C, P, A>>,
        request: Req,
        context: P::Context,
        now: Instant,
    ) -> Self {
        let until = clock::after(now, balancer.policy.wait_for);
        let state = Self::waiting(request, until, true);
        Self { state, recorder: Recorder::vacant(context), balancer }
    }

    fn waiting(request: Req, until: Instant, gives_way: bool) -> State<S, Req, F> {
        let late = Late::waiting(until, gives_way);
        State::Late { request: Some(request), late: LazyBox::new(late) }
    }
}

impl<S, Req, Res, E, C, P, A, F> Future for BalanceFuture<S, Req, C, P, A, F>
where
    S: Service<Req, Response = Res, Error = E, Future = F> + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    C: Classify<Res, BoxError>,
    P: CarryContext<Req> + End<Res>,
    A: Allow<Req>,
{
    type Output = Result<P::Response, BoxError>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        if let StateProjected::Chosen { request } = this.state.as_mut().project() {
            // both are there until the first poll is over
            this.recorder.enter();
            let (Some(member), Some(mut own)) = (this.recorder.in_flight(), request.take()) else {
                return Poll::Pending;
            };
            let mut service = member.service.clone();
            let (polled, link) = Link::listen(P::CARRIES, || service.poll_ready(cx));
            if !matches!(polled, Poll::Ready(Ok(()))) {
                let Some(opening) = Opening::of(this.recorder, service) else {
                    return Poll::Pending;
                };
                let late = Late::after(this.balancer, opening, polled);
                this.state.set(State::Late { request: Some(own), late: LazyBox::new(late) });
                return self.poll_late(cx);
            }
            let attempts = || this.recorder.context().attempts().cloned();
            link.put(&this.balancer.policy.kind, &mut own, attempts);
            let future = service.call(own);
            this.state.set(State::Called { future });
        }
        let StateProjected::Called { future } = this.state.project() else {
            return self.poll_late(cx);
        };
        let classify = &this.balancer.policy.classify;
        this.recorder.poll::<P, _, _, _, _>(future, cx, classify)
    }
}

impl<S, Req, Res, E, C, P, A, F> BalanceFuture<S, Req, C, P, A, F>
where
    S: Service<Req, Response = Res, Error = E, Future = F> + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    C: Classify<Res, BoxError>,
    P: CarryContext<Req> + End<Res>,
    A: Allow<Req>,
{
    /// The way to an endpoint that was not ready at once, or not there.
    #[cold]
    #[inline(never)]
    fn poll_late(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<P::Response, BoxError>> {
        let mut this = self.as_mut().project();
        let (request, late) = match this.state.as_mut().project() {
            StateProjected::Late { request, late } => (request, late),
            StateProjected::Failed { none } => {
                return match none.take() {
                    Some((none, now)) => Poll::Ready(Err(this.balancer.error(none, now))),
                    // polled again after its end
                    None => Poll::Pending,
                };
            }
            _ => return Poll::Pending,
        };
        let (Some(asked), Some(late)) = (request.as_ref(), late.get_mut()) else {
            return Poll::Pending;
        };
        let polled = ready!(late.poll(this.balancer, asked, this.recorder.context(), cx));
        // also where it failed: polled again, it must not choose another one
        let Some(mut own) = request.take() else { return Poll::Pending };
        let (opening, link) = polled?;
        let mut service = opening.hand_over(this.recorder);
        let attempts = || this.recorder.context().attempts().cloned();
        link.put(&this.balancer.policy.kind, &mut own, attempts);
        this.recorder.enter();
        let future = service.call(own);
        this.state.set(State::Called { future });
        self.poll(cx)
    }
}

impl<S, Req, C, P, A, F> fmt::Debug for BalanceFuture<S, Req, C, P, A, F>
where
    S: Send + Sync + 'static,
    P: CarryContext<Req>,
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
