//! The call of the first service, and what stands in for it.

use super::answer::{Answer, Backup};
use super::body::Join;
use super::error::BackupTimeout;
use super::handle::PanicGuard;
use super::policy::{Failed, FallbackPolicy, attempts_made};
use crate::attempts::{Attempts, Luggage};
use crate::budget::Withdrawal;
use crate::classify::{Classify, Evidence};
use crate::clock::{self, Instant, Sleep};
use crate::error::{BoxError, FallbackFailed};
use crate::outcome::Outcome;
use crate::replay::{Carry, Replay};
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

pin_project! {
    /// The future of a [`Fallback`](super::Fallback) that makes its answer itself.
    pub struct AnswerFuture<F, A, C, P, Kept, L, Req> {
        #[pin]
        primary: Primary<F>,
        policy: Arc<FallbackPolicy<A, C, P>>,
        luggage: L,
        // what was kept of the request, until it is told
        kept: Option<Kept>,
        allowed: bool,
        request: PhantomData<fn(Req)>,
    }
}

impl<F, A, C, P, Kept, L, Req> AnswerFuture<F, A, C, P, Kept, L, Req> {
    #[inline]
    pub(super) fn new(
        primary: Primary<F>,
        policy: Arc<FallbackPolicy<A, C, P>>,
        luggage: L,
        kept: Kept,
        allowed: bool,
    ) -> Self {
        Self { primary, policy, luggage, kept: Some(kept), allowed, request: PhantomData }
    }
}

impl<F, Res, E, A, C, P, L, Req> Future for AnswerFuture<F, A, C, P, A::Kept, L, Req>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    A: Answer<Req, Res>,
    C: Classify<Res, BoxError>,
    P: Join<Res, A::Alt>,
    L: Luggage,
{
    type Output = Result<P::Response, A::Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // the whole way of a good call: short, so that it can be compiled into its caller
        let this = self.as_mut().project();
        let result = match this.primary.project() {
            PrimaryProjected::Called { future } => ready!(future.poll(cx)),
            PrimaryProjected::Unready { error } => match error.take() {
                Some(error) => return self.replace(Err(error), false),
                // told already
                None => return Poll::Pending,
            },
        };
        let policy = &**this.policy;
        match result {
            Ok(answer) if !(*this.allowed && policy.replaces_answer(&answer)) => {
                Poll::Ready(Ok(policy.kind.first(answer)))
            }
            result => self.replace(result, true),
        }
    }
}

impl<F, A, C, P, Kept, L, Req> AnswerFuture<F, A, C, P, Kept, L, Req> {
    /// Replaces an answer that is to be replaced, or an error that may be; `called`: by the service
    /// that failed, and not because it was not ready.
    #[cold]
    fn replace<Res, E>(
        self: Pin<&mut Self>,
        result: Result<Res, E>,
        called: bool,
    ) -> Poll<Result<P::Response, A::Error>>
    where
        E: Into<BoxError>,
        A: Answer<Req, Res, Kept = Kept>,
        C: Classify<Res, BoxError>,
        P: Join<Res, A::Alt>,
        L: Luggage,
    {
        let this = self.project();
        let policy = &**this.policy;
        let result = result.map_err(Into::into);
        let outcome = policy.classify.classify(result.as_ref());
        let Some(kept) = this.kept.take() else { return Poll::Pending };
        let attempts = attempts_made(called, this.luggage.attempts());
        // an error that is passed on was not to be replaced, and is not counted
        let failed = |result| {
            policy.counts.primary(outcome);
            Failed { result, outcome, attempts, kept }
        };
        let _guard = PanicGuard(policy.counts.clone());
        let answer = match result {
            Err(error) if !(*this.allowed && policy.replaces(outcome, true)) => {
                match policy.alternative.unchosen(error, |error| failed(Err(error))) {
                    Ok(answer) => answer,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            result => policy.alternative.answer(failed(result)),
        };
        policy.counts.answered();
        policy.tell(outcome, "answered instead");
        Poll::Ready(Ok(policy.kind.fallback(answer, || policy.degraded(outcome))))
    }
}

impl<F, A, C, P, Kept, L, Req> fmt::Debug for AnswerFuture<F, A, C, P, Kept, L, Req> {
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
        rest: Rest<T, C, P, P::Copies, P::Request, <P as Carry<Req>>::Luggage, S::Response>,
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

struct Rest<T, C, P, Copies, Request, L, Res> {
    policy: Arc<FallbackPolicy<Backup<T>, C, P>>,
    luggage: L,
    /// When the request arrived, known where a limit counts from there.
    arrived: Option<Instant>,
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
    #[inline]
    pub(super) fn new(
        primary: Primary<S::Future>,
        policy: Arc<FallbackPolicy<Backup<T>, C, P>>,
        luggage: <P as Carry<Req>>::Luggage,
        allowed: bool,
        copies: P::Copies,
        unsent: Option<P::Request>,
    ) -> Self {
        let rest = Rest {
            policy,
            luggage,
            arrived: None,
            allowed,
            copies: Some(copies),
            request: unsent,
            switch: None,
        };
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

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // the whole way of a good call: short, so that it can be compiled into its caller
        let this = self.as_mut().project();
        let StateProjected::First { primary } = this.state.project() else {
            return self.back_up(cx);
        };
        let result = match primary.project() {
            PrimaryProjected::Called { future } => {
                let Poll::Ready(result) = future.poll(cx) else {
                    this.rest.arrive(clock::now);
                    return Poll::Pending;
                };
                result
            }
            PrimaryProjected::Unready { error } => match error.take() {
                Some(error) => return self.after_failure(cx, Err(error), false),
                // told already
                None => return Poll::Pending,
            },
        };
        let policy = &*this.rest.policy;
        match result {
            Ok(answer) if !(this.rest.allowed && policy.replaces_answer(&answer)) => {
                Poll::Ready(Ok(policy.kind.first(answer)))
            }
            result => self.after_failure(cx, result, true),
        }
    }
}

type Joined<P, A, B> = <P as Join<A, B>>::Response;

impl<S, T, C, P, Req> BackupFuture<S, T, C, P, Req>
where
    S: Service<P::Request>,
    T: Service<P::Request> + Clone,
    T::Error: Into<BoxError>,
    C: Classify<S::Response, BoxError>,
    P: Replay<Req> + Join<S::Response, T::Response>,
{
    /// Turns to the backup, or returns the result that failed; `called`: by the service that failed,
    /// and not because it was not ready.
    #[cold]
    fn after_failure<E: Into<BoxError>>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        result: Result<S::Response, E>,
        called: bool,
    ) -> Poll<Result<Joined<P, S::Response, T::Response>, BoxError>> {
        let mut this = self.as_mut().project();
        let rest = this.rest;
        let policy = rest.policy.clone();
        let result = result.map_err(Into::into);
        let outcome = policy.classify.classify(result.as_ref());
        if !(rest.allowed && policy.replaces(outcome, result.is_err())) {
            return Poll::Ready(result.map(|answer| policy.kind.first(answer)));
        }
        if let Some(result) = rest.switch::<Req>(outcome, result, called) {
            return Poll::Ready(result.map(|answer| policy.kind.first(answer)));
        }
        let guard = PanicGuard(policy.counts.clone());
        let backup = policy.alternative.service();
        drop(guard);
        this.state.set(State::Ready { backup });
        self.back_up(cx)
    }

    /// The way of the backup's call, within its limit.
    #[cold]
    fn back_up(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Joined<P, S::Response, T::Response>, BoxError>> {
        let mut this = self.project();
        let rest = this.rest;
        let policy = rest.policy.clone();
        let guard = PanicGuard(policy.counts.clone());
        let polled = loop {
            match this.state.as_mut().project() {
                StateProjected::Ready { backup } => {
                    match Attempts::listen_for_reader(|| backup.poll_ready(cx)) {
                        (Poll::Ready(Ok(())), reader_inside) => {
                            // taken already only if the call panicked
                            let Some(request) = rest.request::<Req>(reader_inside) else {
                                return Poll::Pending;
                            };
                            let future = backup.call(request);
                            this.state.set(State::Backup { future });
                        }
                        (Poll::Ready(Err(error)), _) => break Poll::Ready(Err(error)),
                        (Poll::Pending, _) => break Poll::Pending,
                    }
                }
                StateProjected::Backup { future } => break future.poll(cx),
                StateProjected::First { .. } | StateProjected::Done => return Poll::Pending,
            }
        };
        drop(guard);
        let Some(switch) = rest.switch.as_ref() else { return Poll::Pending };
        let because = switch.because;
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
        Poll::Ready(match result {
            Ok(answer) => {
                policy.counts.answered();
                Ok(policy.kind.fallback(answer, || policy.degraded(because)))
            }
            Err(error) => rest.both_failed(error).map(|first| policy.kind.first(first)),
        })
    }
}

impl<T, C, P, Copies, Request, L: Luggage, Res> Rest<T, C, P, Copies, Request, L, Res> {
    /// Takes this for the time of the arrival, if it is needed and was not taken before.
    fn arrive(&mut self, now: impl FnOnce() -> Instant) {
        if self.arrived.is_none() && self.luggage.time().timeout.is_some() {
            self.arrived = Some(now());
        }
    }

    /// Prepares the call of the backup; returns the result where there will be none.
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
        self.arrive(|| now);
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
        let record = self.luggage.attempts().filter(|_| switch.called).map(Attempts::next);
        let number = record.as_ref().map_or(1 + u32::from(switch.called), Attempts::number);
        let now = clock::now();
        let deadline = self.luggage.time().of_arrival(|| self.arrived.unwrap_or(now));
        kind.stamp(&mut request, number, deadline.map(|deadline| deadline.remaining_at(now)));
        let record = record.or_else(|| self.luggage.attempts().cloned()).filter(|_| reader_inside);
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
