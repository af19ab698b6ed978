//! The call of the first service, and what stands in for it.

use super::answer::{Answer, Backup};
use super::body::Join;
use super::error::BackupTimeout;
use super::handle::PanicGuard;
use super::policy::{Failed, FallbackPolicy, attempts_made};
use crate::attempts::Attempts;
use crate::budget::Withdrawal;
use crate::classify::{Classify, Evidence};
use crate::clock::{self, Instant, Sleep};
use crate::deadline::TimeLeft;
use crate::error::{BoxError, FallbackFailed};
use crate::outcome::Outcome;
use crate::replay::Replay;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

pin_project! {
    /// The call of the first service.
    #[project = PrimaryProjected]
    pub(super) enum Primary<F> {
        // on its way
        Called { #[pin] future: F },
        // it was not ready, with this error; taken when it is told
        Unready { error: Option<BoxError> },
    }
}

impl<F> Primary<F> {
    /// Returns the result, and whether the service was called at all.
    fn poll_result<Res, E>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<(Result<Res, BoxError>, bool)>
    where
        F: Future<Output = Result<Res, E>>,
        E: Into<BoxError>,
    {
        match self.project() {
            PrimaryProjected::Called { future } => {
                let result = ready!(future.poll(cx));
                Poll::Ready((result.map_err(Into::into), true))
            }
            PrimaryProjected::Unready { error } => match error.take() {
                Some(error) => Poll::Ready((Err(error), false)),
                // told already
                None => Poll::Pending,
            },
        }
    }
}

pin_project! {
    /// The future of a [`Fallback`](super::Fallback) that makes its answer itself.
    pub struct AnswerFuture<F, A, C, P, Kept, Req> {
        #[pin]
        primary: Primary<F>,
        policy: Arc<FallbackPolicy<A, C, P>>,
        attempts: Option<Attempts>,
        // what was kept of the request, until it is told
        kept: Option<Kept>,
        allowed: bool,
        request: PhantomData<fn(Req)>,
    }
}

impl<F, A, C, P, Kept, Req> AnswerFuture<F, A, C, P, Kept, Req> {
    pub(super) fn new(
        primary: Primary<F>,
        policy: Arc<FallbackPolicy<A, C, P>>,
        attempts: Option<Attempts>,
        kept: Kept,
        allowed: bool,
    ) -> Self {
        Self { primary, policy, attempts, kept: Some(kept), allowed, request: PhantomData }
    }
}

impl<F, Res, E, A, C, P, Req> Future for AnswerFuture<F, A, C, P, A::Kept, Req>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    A: Answer<Req, Res>,
    C: Classify<Res, BoxError>,
    P: Join<Res, A::Alt>,
{
    type Output = Result<P::Response, A::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (result, called) = ready!(this.primary.poll_result(cx));
        let policy = &**this.policy;
        let outcome = policy.classify.classify(result.as_ref());
        let replaced = *this.allowed && policy.replaces(outcome, result.is_err());
        let result = match result {
            Ok(answer) if !replaced => return Poll::Ready(Ok(policy.kind.first(answer))),
            result => result,
        };
        let Some(kept) = this.kept.take() else { return Poll::Pending };
        let attempts = attempts_made(called, this.attempts.as_ref());
        let failed = |result| Failed { result, outcome, attempts, kept };
        policy.counts.primary(outcome);
        let _guard = PanicGuard(policy.counts.clone());
        let answer = match result {
            Err(error) if !replaced => {
                match policy.alternative.unchosen(error, |error| failed(Err(error))) {
                    Ok(answer) => answer,
                    Err(error) => {
                        policy.counts.withheld();
                        return Poll::Ready(Err(error));
                    }
                }
            }
            result => policy.alternative.answer(failed(result)),
        };
        policy.counts.answered();
        policy.tell(outcome, "answered instead");
        Poll::Ready(Ok(policy.kind.fallback(answer, || policy.degraded(outcome))))
    }
}

impl<F, A, C, P, Kept, Req> fmt::Debug for AnswerFuture<F, A, C, P, Kept, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerFuture").field("policy", &self.policy).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of a [`Fallback`](super::Fallback) to another service.
    pub struct BackupFuture<S, T, C, P, Req>
    where
        S: Service<P::Request>,
        T: Service<P::Request>,
        P: Replay<Req>,
    {
        #[pin]
        state: State<S::Future, T, T::Future>,
        // the limit of the backup, armed when it is first waited for
        #[pin]
        limit: Option<Sleep>,
        rest: Rest<T, C, P, P::Copies, P::Request, S::Response>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<F, T, G> {
        First { #[pin] primary: Primary<F> },
        // the backup is asked whether it is ready
        Ready { backup: T },
        // and called
        Backup { #[pin] future: G },
        Done,
    }
}

struct Rest<T, C, P, Copies, Request, Res> {
    policy: Arc<FallbackPolicy<Backup<T>, C, P>>,
    attempts: Option<Attempts>,
    time: TimeLeft,
    allowed: bool,
    copies: Option<Copies>,
    /// What the backup will be sent; there from the start where the first service was not called.
    request: Option<Request>,
    switch: Option<Switch<Res>>,
}

/// Why and until when the backup stands in.
struct Switch<Res> {
    because: Outcome,
    until: Instant,
    withdrawal: Option<Withdrawal>,
    /// The first result, as far as it may still be told.
    first: Option<Result<Res, BoxError>>,
    /// The first service did none of the work.
    untouched: bool,
    called: bool,
}

impl<S, T, C, P, Req> BackupFuture<S, T, C, P, Req>
where
    S: Service<P::Request>,
    T: Service<P::Request>,
    P: Replay<Req>,
{
    pub(super) fn new(
        primary: Primary<S::Future>,
        policy: Arc<FallbackPolicy<Backup<T>, C, P>>,
        attempts: Option<Attempts>,
        time: TimeLeft,
        allowed: bool,
        copies: P::Copies,
        unsent: Option<P::Request>,
    ) -> Self {
        let copies = Some(copies);
        let rest = Rest { policy, attempts, time, allowed, copies, request: unsent, switch: None };
        Self { state: State::First { primary }, limit: None, rest }
    }
}

impl<S, T, C, P, Req> Future for BackupFuture<S, T, C, P, Req>
where
    S: Service<P::Request>,
    S::Error: Into<BoxError>,
    T: Service<P::Request> + Clone,
    T::Error: Into<BoxError>,
    C: Classify<S::Response, BoxError>,
    P: Replay<Req> + Join<S::Response, T::Response>,
{
    type Output = Result<<P as Join<S::Response, T::Response>>::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let rest = this.rest;
        loop {
            let polled = match this.state.as_mut().project() {
                StateProjected::First { primary } => {
                    let Poll::Ready((result, called)) = primary.poll_result(cx) else {
                        rest.time.arrive(clock::now);
                        return Poll::Pending;
                    };
                    let policy = &*rest.policy;
                    let outcome = policy.classify.classify(result.as_ref());
                    if !(rest.allowed && policy.replaces(outcome, result.is_err())) {
                        return Poll::Ready(result.map(|answer| policy.kind.first(answer)));
                    }
                    if let Some(result) = rest.switch::<Req>(outcome, result, called) {
                        return Poll::Ready(result.map(|answer| rest.policy.kind.first(answer)));
                    }
                    let _guard = PanicGuard(rest.policy.counts.clone());
                    let backup = rest.policy.alternative.service();
                    this.state.set(State::Ready { backup });
                    continue;
                }
                StateProjected::Ready { backup } => {
                    let _guard = PanicGuard(rest.policy.counts.clone());
                    match Attempts::listen_for_reader(|| backup.poll_ready(cx)) {
                        (Poll::Ready(Ok(())), reader_inside) => {
                            let Some(request) = rest.request::<Req>(reader_inside) else {
                                return Poll::Pending;
                            };
                            let future = backup.call(request);
                            this.state.set(State::Backup { future });
                            continue;
                        }
                        (Poll::Ready(Err(error)), _) => Poll::Ready(Err(error)),
                        (Poll::Pending, _) => Poll::Pending,
                    }
                }
                StateProjected::Backup { future } => {
                    let _guard = PanicGuard(rest.policy.counts.clone());
                    future.poll(cx)
                }
                StateProjected::Done => return Poll::Pending,
            };
            let Some(switch) = rest.switch.as_ref() else { return Poll::Pending };
            let policy = &*rest.policy;
            let result = match polled {
                Poll::Ready(result) => result.map_err(Into::into),
                Poll::Pending => {
                    if this.limit.is_none() {
                        this.limit.set(Some(clock::sleep_until(switch.until)));
                    }
                    if let Some(limit) = this.limit.as_mut().as_pin_mut() {
                        ready!(limit.poll(cx));
                    }
                    Err(BackupTimeout::new(policy.within).into())
                }
            };
            // the backup's call goes before the result does
            this.state.set(State::Done);
            return Poll::Ready(match result {
                Ok(answer) => {
                    policy.counts.answered();
                    let because = switch.because;
                    Ok(policy.kind.fallback(answer, || policy.degraded(because)))
                }
                Err(error) => rest.both_failed(error).map(|first| rest.policy.kind.first(first)),
            });
        }
    }
}

impl<T, C, P, Copies, Request, Res> Rest<T, C, P, Copies, Request, Res> {
    /// Prepares the call of the backup; returns the result where there will be none.
    #[cold]
    fn switch<Req>(
        &mut self,
        because: Outcome,
        result: Result<Res, BoxError>,
        called: bool,
    ) -> Option<Result<Res, BoxError>>
    where
        P: Replay<Req, Copies = Copies, Request = Request>,
        C: Classify<Res, BoxError>,
    {
        let policy = self.policy.clone();
        policy.counts.primary(because);
        let evidence = policy.classify.evidence(result.as_ref());
        let now = clock::now();
        self.time.arrive(|| now);
        let withdrawal = match self.may_switch::<Req>(because, &evidence, now) {
            Ok(withdrawal) => withdrawal,
            Err(why) => {
                policy.counts.withheld();
                policy.tell(because, why);
                return Some(result);
            }
        };
        policy.tell(because, "switching to the backup");
        self.switch = Some(Switch {
            because,
            until: clock::after(now, policy.within),
            withdrawal,
            untouched: !called || because == Outcome::Refused || evidence.untouched,
            called,
            // an answer that won't be told goes now, an error stays to be the source of another
            first: Some(result).filter(|result| policy.first_result || result.is_err()),
        });
        None
    }

    /// Sees that there is a request to send and that it is paid for.
    fn may_switch<Req>(
        &mut self,
        because: Outcome,
        evidence: &Evidence,
        now: Instant,
    ) -> Result<Option<Withdrawal>, &'static str>
    where
        P: Replay<Req, Copies = Copies, Request = Request>,
    {
        let policy = &*self.policy;
        let Some(mut copies) = self.copies.take() else { return Err("not replayable") };
        if self.request.is_none() && !policy.kind.may_repeat(&copies, because, evidence) {
            return Err("not repeatable");
        }
        let withdrawal = match policy.budget.as_ref().filter(|_| !evidence.local) {
            Some(budget) => Some(budget.withdraw(now).ok_or("out of budget")?),
            None => None,
        };
        self.request = self.request.take().or_else(|| policy.kind.instead(&mut copies));
        if self.request.is_none() { Err("not replayable") } else { Ok(withdrawal) }
    }

    /// The backup is called now.
    fn request<Req>(&mut self, reader_inside: bool) -> Option<Request>
    where
        P: Replay<Req, Copies = Copies, Request = Request>,
    {
        let (switch, mut request) = (self.switch.as_mut()?, self.request.take()?);
        if let Some(withdrawal) = switch.withdrawal.take() {
            withdrawal.spend();
        }
        let kind = &self.policy.kind;
        let record = self.attempts.as_ref().filter(|_| switch.called).map(Attempts::next);
        let number = record.as_ref().map_or(1 + u32::from(switch.called), Attempts::number);
        kind.stamp(&mut request, number, self.time.remaining(clock::now()));
        let record = record.or_else(|| self.attempts.clone()).filter(|_| reader_inside);
        if let Some(record) = record {
            kind.put(&mut request, record);
        }
        Some(request)
    }

    fn both_failed(&mut self, error: BoxError) -> Result<Res, BoxError> {
        let policy = &*self.policy;
        policy.counts.failed();
        let Some(switch) = self.switch.take() else { return Err(error) };
        policy.tell(switch.because, "the backup failed too");
        match switch.first {
            Some(first) if policy.first_result => first,
            first => {
                let first = first.and_then(Result::err);
                Err(FallbackFailed::new(error, first, switch.untouched).into())
            }
        }
    }
}

impl<S, T, C, P, Req> fmt::Debug for BackupFuture<S, T, C, P, Req>
where
    S: Service<P::Request>,
    T: Service<P::Request>,
    P: Replay<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupFuture").field("policy", &self.rest.policy).finish_non_exhaustive()
    }
}
