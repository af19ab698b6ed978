//! The attempts of one request, one after another.

use super::handle::GaveUp;
use super::policy::RetryPolicy;
use super::state::Course;
use crate::attempts::Attempts;
use crate::classify::Classify;
use crate::clock::{self, Sleep};
use crate::outcome::Outcome;
use crate::replay::{Carry, Replay};
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
    pub struct RetryFuture<S, C, P, Req>
    where
        S: Service<P::Request>,
        P: Replay<Req>,
    {
        #[pin]
        state: State<S::Future>,
        rest: Rest<S, C, P, P::Copies, P::Request>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<F> {
        // an attempt is on its way
        Attempt { #[pin] future: F },
        // the next one waits its delay
        Delay { #[pin] sleep: Sleep },
        // and for the service to be ready again
        Ready,
    }
}

/// All that stays in its place from attempt to attempt.
struct Rest<S, C, P, Copies, Request> {
    /// The service that was ready and called: it will be ready again before the next attempt.
    inner: S,
    policy: Arc<RetryPolicy<C, P>>,
    copies: Option<Copies>,
    /// The request of the attempt that is coming.
    next: Option<Request>,
    course: Course,
}

impl<S, C, P, Req> RetryFuture<S, C, P, Req>
where
    S: Service<P::Request>,
    P: Replay<Req>,
{
    pub(super) fn new(
        inner: S,
        first: S::Future,
        policy: Arc<RetryPolicy<C, P>>,
        copies: P::Copies,
        course: Course,
    ) -> Self {
        let rest = Rest { inner, policy, copies: Some(copies), next: None, course };
        Self { state: State::Attempt { future: first }, rest }
    }
}

impl<S, C, P, Req> Future for RetryFuture<S, C, P, Req>
where
    S: Service<P::Request>,
    C: Classify<S::Response, S::Error>,
    P: Replay<Req>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let rest = this.rest;
        loop {
            let result = match this.state.as_mut().project() {
                StateProjected::Attempt { future } => {
                    let Poll::Ready(result) = future.poll(cx) else {
                        rest.course.time.arrive(clock::now);
                        return Poll::Pending;
                    };
                    result
                }
                StateProjected::Delay { sleep } => {
                    ready!(sleep.poll(cx));
                    this.state.set(State::Ready);
                    continue;
                }
                StateProjected::Ready => match ready!(rest.ready_again::<Req>(cx)) {
                    Ok(reader_inside) => {
                        // taken already only if the last attempt panicked
                        let Some(future) = rest.attempt::<Req>(reader_inside) else {
                            return Poll::Pending;
                        };
                        this.state.set(State::Attempt { future });
                        continue;
                    }
                    Err(error) => {
                        rest.course.take_back();
                        Err(error)
                    }
                },
            };
            let outcome = rest.policy.classify.classify(result.as_ref());
            if !outcome.is_failed() {
                return Poll::Ready(result);
            }
            let Some(delay) = rest.after_failure::<Req>(outcome, &result) else {
                return Poll::Ready(result);
            };
            // the attempt goes before its answer does, and both before the delay begins
            this.state.set(State::Ready);
            drop(result);
            if !delay.is_zero() {
                let until = clock::after(clock::now(), delay);
                this.state.set(State::Delay { sleep: clock::sleep_until(until) });
            }
        }
    }
}

impl<S, C, P, Copies, Request> Rest<S, C, P, Copies, Request>
where
    S: Service<Request>,
{
    /// Polls the service ready and says whether a service in it reads the record.
    fn ready_again<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, S::Error>>
    where
        P: Replay<Req, Copies = Copies, Request = Request>,
    {
        if !<P as Carry<Req>>::CARRIES {
            return self.inner.poll_ready(cx).map_ok(|()| false);
        }
        let (polled, inside) = Attempts::listen_for_reader(|| self.inner.poll_ready(cx));
        polled.map_ok(|()| inside)
    }

    fn attempt<Req>(&mut self, reader_inside: bool) -> Option<S::Future>
    where
        P: Replay<Req, Copies = Copies, Request = Request>,
    {
        let mut request = self.next.take()?;
        let kind = &self.policy.kind;
        let (number, record) = self.course.begin();
        let remaining = self.course.time.remaining(clock::now());
        kind.stamp(&mut request, number, remaining);
        if let Some(record) = record.filter(|_| reader_inside) {
            kind.put(&mut request, record);
        }
        if self.course.retries() >= self.policy.max_retries {
            self.copies = None;
        }
        self.policy.counts.retry();
        Some(self.inner.call(request))
    }

    /// Decides on another attempt and prepares it; returns the delay before it.
    #[cold]
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
        self.course.time.arrive(|| now);
        let asked = match &mut self.copies {
            None => Err(GaveUp::OutOfRetries),
            Some(copies) if !policy.kind.may_repeat(copies, outcome, &evidence) => {
                Err(GaveUp::NotRepeatable)
            }
            Some(copies) => self.course.ask(policy, outcome, &evidence, now).and_then(|delay| {
                // one that was prepared and never sent serves again
                self.next = self.next.take().or_else(|| policy.kind.instead(copies));
                self.next.as_ref().map(|_| delay).ok_or(GaveUp::NotReplayable)
            }),
        };
        match asked {
            Ok(delay) => {
                self.course.commit();
                tracing::debug!(
                    target: "tower_failover::retry",
                    retry = self.course.retries(),
                    outcome = outcome.name(),
                    delay = ?delay,
                    "retry"
                );
                Some(delay)
            }
            Err(why) => {
                self.course.take_back();
                policy.counts.gave_up(why);
                tracing::debug!(
                    target: "tower_failover::retry",
                    retries = self.course.retries(),
                    outcome = outcome.name(),
                    reason = why.name(),
                    "gave up"
                );
                None
            }
        }
    }
}

impl<S, C, P, Req> fmt::Debug for RetryFuture<S, C, P, Req>
where
    S: Service<P::Request>,
    P: Replay<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryFuture").field("course", &self.rest.course).finish_non_exhaustive()
    }
}
