//! The attempts of one request, one after another.

use super::handle::GaveUp;
use super::policy::RetryPolicy;
use super::state::{CallState, NextAttempt, RetryState};
use crate::attempt::{CarryContext, Link, RequestContext};
use crate::classify::Classify;
use crate::clock;
use crate::lazy_box::LazyBox;
use crate::outcome::Outcome;
use crate::replay::Replay;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower_service::Service;

pin_project! {
    /// The future of [`Retry`](super::Retry).
    ///
    /// `S` is the service that is called and `F` its future. No bound on `S` stands here: rustc would
    /// have to show again in every task that sends the future to a thread that it holds, and can't for
    /// services with a `BoxError`.
    pub struct RetryFuture<S, F, C, P, Req>
    where
        P: Replay<Req>,
    {
        #[pin]
        state: State<F>,
        parts: Parts<S, C, P, P::Copies, P::Request, <P as CarryContext<Req>>::Context>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<F> {
        // an attempt is on its way
        Attempt { #[pin] future: F },
        // the next one waits its delay, and then for the service to be ready again
        Between,
    }
}

/// All that stays in its place from attempt to attempt.
struct Parts<S, C, P, Copies, Request, L> {
    /// The service that was ready and called: it will be ready again before the next attempt.
    inner: S,
    policy: Arc<RetryPolicy<C, P>>,
    copies: Option<Copies>,
    state: CallState<L>,
    retry: LazyBox<RetryState<Request>>,
}

impl<S, F, C, P, Req> RetryFuture<S, F, C, P, Req>
where
    P: Replay<Req>,
{
    #[inline]
    pub(super) fn new(
        inner: S,
        first: F,
        policy: Arc<RetryPolicy<C, P>>,
        copies: P::Copies,
        context: <P as CarryContext<Req>>::Context,
    ) -> Self {
        let state = CallState::new(context);
        let parts = Parts { inner, policy, copies: Some(copies), state, retry: LazyBox::NONE };
        Self { state: State::Attempt { future: first }, parts }
    }
}

impl<S, C, P, Req> Future for RetryFuture<S, S::Future, C, P, Req>
where
    S: Service<P::Request>,
    C: Classify<S::Response, S::Error>,
    P: Replay<Req>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // the whole way of a good call: short, and compiled into its caller
        let this = self.as_mut().project();
        let StateProjected::Attempt { future } = this.state.project() else {
            return self.go_on(cx, None);
        };
        let Poll::Ready(result) = future.poll(cx) else {
            this.parts.state.arrive(&this.parts.policy, clock::now);
            return Poll::Pending;
        };
        let outcome = this.parts.policy.classify.classify(result.as_ref());
        if !outcome.is_failed() {
            return Poll::Ready(result);
        }
        self.go_on(cx, Some((outcome, result)))
    }
}

/// How many attempts are started in one poll.
const MOST_TURNS: u32 = 32;

type Classified<Res, E> = (Outcome, Result<Res, E>);

impl<S, C, P, Req> RetryFuture<S, S::Future, C, P, Req>
where
    S: Service<P::Request>,
    C: Classify<S::Response, S::Error>,
    P: Replay<Req>,
{
    /// The way from a failure to the next answer, and so on.
    #[cold]
    fn go_on(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut failed: Option<Classified<S::Response, S::Error>>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let mut this = self.project();
        let parts = this.parts;
        let mut turns = 0;
        loop {
            if let Some((outcome, result)) = failed.take() {
                // the attempt goes before anything is decided: it may hold what was counted for it
                this.state.set(State::Between);
                let Some(delay) = parts.after_failure::<Req>(outcome, &result) else {
                    return Poll::Ready(result);
                };
                // and its answer goes before the delay begins
                drop(result);
                parts.wait(delay);
            }
            let result = match this.state.as_mut().project() {
                StateProjected::Attempt { future } => ready!(future.poll(cx)),
                StateProjected::Between => match ready!(parts.start_again::<Req>(cx)) {
                    Ok(future) => {
                        this.state.set(State::Attempt { future });
                        turns += 1;
                        if turns < MOST_TURNS {
                            continue;
                        }
                        // attempts that fail at once, without a delay: others have to run as well
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Err(error) => Err(error),
                },
            };
            let outcome = parts.policy.classify.classify(result.as_ref());
            if !outcome.is_failed() {
                return Poll::Ready(result);
            }
            failed = Some((outcome, result));
        }
    }
}

impl<S, C, P, Copies, Request, L> Parts<S, C, P, Copies, Request, L>
where
    S: Service<Request>,
    L: RequestContext,
{
    /// Decides on another attempt and prepares it; returns the delay before it.
    fn after_failure<Req>(
        &mut self,
        outcome: Outcome,
        result: &Result<S::Response, S::Error>,
    ) -> Option<Duration>
    where
        P: Replay<Req, Copies = Copies, Request = Request>,
        C: Classify<S::Response, S::Error>,
    {
        let policy = &*self.policy;
        let evidence = policy.classify.evidence(result.as_ref());
        let now = clock::now();
        let state = &mut self.state;
        state.arrive(policy, || now);
        let retry = self.retry.get_or_insert_with(|| RetryState::new(policy));
        let next = retry.project().next;
        let known = state.context.note_failure(outcome, &evidence);
        let asked = match &mut self.copies {
            None => Err(GaveUp::OutOfRetries),
            Some(_) if policy.max_retries == 0 => Err(GaveUp::OutOfRetries),
            Some(copies) if !policy.kind.may_repeat(copies, known, &evidence) => {
                Err(GaveUp::NotRepeatable)
            }
            Some(copies) => {
                next.ask(policy, state, outcome, &evidence, now).and_then(|delay| {
                    // one that was prepared and never sent serves again
                    next.request = next.request.take().or_else(|| policy.kind.instead(copies));
                    next.request.as_ref().map(|_| delay).ok_or(GaveUp::NotReplayable)
                })
            }
        };
        match asked {
            Ok(delay) => {
                next.commit(state);
                tracing::debug!(
                    target: "tower_failover::retry",
                    retry = next.retries(state),
                    outcome = outcome.name(),
                    delay = ?delay,
                    "retry"
                );
                Some(delay)
            }
            Err(why) => {
                next.miss();
                policy.counts.gave_up(why);
                tracing::debug!(
                    target: "tower_failover::retry",
                    retries = next.retries(state),
                    outcome = outcome.name(),
                    reason = why.name(),
                    "gave up"
                );
                None
            }
        }
    }

    fn wait(&mut self, delay: Duration) {
        if let Some(retry) = self.retry.as_pin_mut().filter(|_| !delay.is_zero()) {
            let until = clock::after(clock::now(), delay);
            retry.project().sleep.set(Some(clock::sleep_until(until)));
        }
    }

    /// Waits out the delay, polls the service ready and starts the attempt.
    fn start_again<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<S::Future, S::Error>>
    where
        P: Replay<Req, Copies = Copies, Request = Request>,
    {
        // polled again after a panic
        let Some(retry) = self.retry.as_pin_mut() else { return Poll::Pending };
        let mut retry = retry.project();
        if let Some(sleep) = retry.sleep.as_mut().as_pin_mut() {
            ready!(sleep.poll(cx));
            retry.sleep.set(None);
        }
        let next = retry.next;
        let carries = <P as CarryContext<Req>>::CARRIES;
        let (ready, link) = Link::listen(carries, || self.inner.poll_ready(cx));
        if let Err(error) = ready!(ready) {
            next.miss();
            return Poll::Ready(Err(error));
        }
        if next.retries(&self.state) >= self.policy.max_retries {
            self.copies = None;
        }
        let copies = self.copies.as_ref();
        let may_follow = copies.is_some_and(|copies| self.policy.may_follow::<Req>(copies));
        let record = (link, may_follow);
        let Some(request) = Self::next_request(next, &self.policy, &self.state, record) else {
            return Poll::Pending;
        };
        self.policy.counts.retry();
        Poll::Ready(Ok(self.inner.call(request)))
    }

    /// The request of the attempt that starts now; none if the last one panicked.
    fn next_request<Req>(
        next: &mut NextAttempt<Request>,
        policy: &RetryPolicy<C, P>,
        state: &CallState<L>,
        (link, may_follow): (Link, bool),
    ) -> Option<Request>
    where
        P: Replay<Req, Copies = Copies, Request = Request>,
    {
        let mut request = next.request.take()?;
        let (number, record) = next.begin(state);
        policy.kind.stamp(&mut request, number, state.remaining(policy, clock::now()));
        link.put(&policy.kind, &mut request, || {
            Some(record?.until(state.deadline(policy)).followed(may_follow))
        });
        Some(request)
    }
}

impl<S, F, C, P, Req> fmt::Debug for RetryFuture<S, F, C, P, Req>
where
    P: Replay<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").field("state", &self.parts.state).finish_non_exhaustive()
    }
}
