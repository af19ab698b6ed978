//! The call of the first service, and what stands in for it.

use super::answer::{Answer, Backup};
use super::body::Join;
use super::policy::{Failed, FallbackPolicy, attempts_made};
use super::state::{Standby, Switch};
use crate::attempt::{Arrival, Attempts, CarryContext, RequestContext};
use crate::budget::Withdrawal;
use crate::classify::{Classify, Evidence};
use crate::clock::{self, Instant};
use crate::error::{BoxError, FallbackFailed};
use crate::outcome::Outcome;
use crate::panic_guard::PanicGuard;
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
    /// The call of the first service, and what was kept of its request.
    #[project = FirstProjected]
    #[project_replace = FirstReplaced]
    pub(super) enum First<F, Kept> {
        // on its way
        Called { #[pin] future: F, kept: Kept },
        // it was not ready, with this error, or has gone. The error stands in an `Arc` of its own
        // since little code is needed to drop one, and every call has to
        Uncalled { unready: Option<(Arc<BoxError>, Kept)> },
    }
}

pin_project! {
    /// The future of a [`Fallback`](super::Fallback) that makes its answer itself.
    ///
    /// `F` is the future of the service that is called and `Res` its answer.
    pub struct AnswerFuture<F, Res, A, C, P, Req>
    where
        A: Answer<Req, Res>,
        P: CarryContext<Req>,
    {
        #[pin]
        first: First<F, A::Kept>,
        policy: Arc<FallbackPolicy<A, C, P>>,
        context: P::Context,
    }
}

impl<F, Res, A, C, P, Req> AnswerFuture<F, Res, A, C, P, Req>
where
    A: Answer<Req, Res>,
    P: CarryContext<Req>,
{
    #[inline]
    pub(super) fn new(
        first: First<F, A::Kept>,
        policy: Arc<FallbackPolicy<A, C, P>>,
        context: P::Context,
    ) -> Self {
        Self { first, policy, context }
    }
}

impl<F, Res, E, A, C, P, Req> Future for AnswerFuture<F, Res, A, C, P, Req>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    A: Answer<Req, Res>,
    C: Classify<Res, BoxError>,
    P: CarryContext<Req> + Join<Res, A::Alt>,
{
    type Output = Result<P::Response, A::Error>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // the whole way of a good call: short, and compiled into its caller
        let mut this = self.project();
        let policy = &**this.policy;
        let result = match this.first.as_mut().project() {
            FirstProjected::Called { future, .. } => match ready!(future.poll(cx)) {
                Ok(answer)
                    if this.context.policy().no_fallback || !policy.replaces_answer(&answer) =>
                {
                    return Poll::Ready(Ok(policy.kind.first(answer)));
                }
                result => result.map_err(Into::into),
            },
            FirstProjected::Uncalled { unready } => match unready.take() {
                Some((error, kept)) => {
                    let Some(error) = Arc::into_inner(error) else { return Poll::Pending };
                    return Poll::Ready(policy.replace(&*this.context, kept, Err(error), false));
                }
                None => return Poll::Pending,
            },
        };
        // the call goes before the fallback begins
        match this.first.project_replace(First::Uncalled { unready: None }) {
            FirstReplaced::Called { kept, .. } => {
                Poll::Ready(policy.replace(&*this.context, kept, result, true))
            }
            FirstReplaced::Uncalled { .. } => Poll::Pending,
        }
    }
}

impl<A, C, P> FallbackPolicy<A, C, P> {
    /// Replaces an answer that is to be replaced, or an error that may be; `called`: by the service
    /// that failed, and not because it was not ready.
    #[cold]
    fn replace<Req, Res>(
        &self,
        context: &impl RequestContext,
        kept: A::Kept,
        result: Result<Res, BoxError>,
        called: bool,
    ) -> Result<P::Response, A::Error>
    where
        A: Answer<Req, Res>,
        C: Classify<Res, BoxError>,
        P: Join<Res, A::Alt>,
    {
        let outcome = self.classify.classify(result.as_ref());
        let attempts = attempts_made(called, context.attempts());
        // an error that is passed on was not to be replaced, and is not counted
        let failed = |result| {
            self.counts.primary(outcome);
            Failed { result, outcome, attempts, kept }
        };
        let passes = context.policy().no_fallback || !self.replaces(outcome, result.is_err());
        let guard = PanicGuard::new(|| self.counts.failed());
        let answer = match result {
            Err(error) if passes => self.alternative.unchosen(error, |error| failed(Err(error))),
            result => Ok(self.alternative.answer(failed(result))),
        };
        guard.disarm();
        let answer = answer?;
        self.counts.answered();
        self.tell(outcome, "answered instead");
        Ok(self.kind.fallback(answer, || self.degraded(outcome)))
    }
}

impl<F, Res, A, C, P, Req> fmt::Debug for AnswerFuture<F, Res, A, C, P, Req>
where
    A: Answer<Req, Res>,
    P: CarryContext<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerFuture").field("policy", &self.policy).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of a [`Fallback`](super::Fallback) to another service.
    ///
    /// `F` is the future of the service that is called and `Res` its answer; `T` is the backup and `G`
    /// its future.
    pub struct BackupFuture<F, Res, T, G, C, P, Req>
    where
        P: Replay<Req>,
    {
        #[pin]
        state: State<F, P::Request>,
        parts: Parts<T, C, P, P::Copies, <P as CarryContext<Req>>::Context>,
        standby: Option<Pin<Box<Standby<T, G, P::Request, Res>>>>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<F, Request> {
        // with the request itself where the service was not called
        First { #[pin] first: First<F, Option<Box<Request>>> },
        // it is the backup's turn
        Backup,
    }
}

struct Parts<T, C, P, Copies, L> {
    policy: Arc<FallbackPolicy<Backup<T>, C, P>>,
    context: L,
    arrival: Arrival,
    copies: Option<Copies>,
}

impl<F, Res, T, G, C, P, Req> BackupFuture<F, Res, T, G, C, P, Req>
where
    P: Replay<Req>,
{
    #[inline]
    pub(super) fn new(
        first: First<F, Option<Box<P::Request>>>,
        policy: Arc<FallbackPolicy<Backup<T>, C, P>>,
        context: <P as CarryContext<Req>>::Context,
        copies: P::Copies,
    ) -> Self {
        let arrival = Arrival::default();
        let parts = Parts { policy, context, arrival, copies: Some(copies) };
        Self { state: State::First { first }, parts, standby: None }
    }
}

impl<F, Res, E, T, C, P, Req> Future for BackupFuture<F, Res, T, T::Future, C, P, Req>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    T: Service<P::Request> + Clone,
    T::Error: Into<BoxError>,
    C: Classify<Res, BoxError>,
    P: Replay<Req> + Join<Res, T::Response>,
{
    type Output = Result<<P as Join<Res, T::Response>>::Response, BoxError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // the whole way of a good call: short, and compiled into its caller
        let this = self.as_mut().project();
        let StateProjected::First { first } = this.state.project() else {
            return self.back_up(cx);
        };
        let policy = &*this.parts.policy;
        let (result, unsent) = match first.project() {
            FirstProjected::Called { future, .. } => match future.poll(cx) {
                Poll::Ready(Ok(answer))
                    if this.parts.context.policy().no_fallback
                        || !policy.replaces_answer(&answer) =>
                {
                    return Poll::Ready(Ok(policy.kind.first(answer)));
                }
                Poll::Ready(result) => (result.map_err(Into::into), None),
                Poll::Pending => {
                    let parts = this.parts;
                    parts.arrival.note(parts.context.time(), clock::now);
                    return Poll::Pending;
                }
            },
            FirstProjected::Uncalled { unready } => match unready.take() {
                Some((error, unsent)) => match Arc::into_inner(error) {
                    Some(error) => (Err(error), unsent.map(|unsent| *unsent)),
                    None => return Poll::Pending,
                },
                None => return Poll::Pending,
            },
        };
        self.after_failure(cx, result, unsent)
    }
}

type Joined<P, A, B> = Poll<Result<<P as Join<A, B>>::Response, BoxError>>;

impl<F, Res, T, C, P, Req> BackupFuture<F, Res, T, T::Future, C, P, Req>
where
    T: Service<P::Request> + Clone,
    T::Error: Into<BoxError>,
    C: Classify<Res, BoxError>,
    P: Replay<Req> + Join<Res, T::Response>,
{
    /// Turns to the backup, or returns the result that failed; `unsent` is the request where the first
    /// service was not ready for it.
    #[cold]
    fn after_failure(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        result: Result<Res, BoxError>,
        unsent: Option<P::Request>,
    ) -> Joined<P, Res, T::Response> {
        let mut this = self.as_mut().project();
        let parts = this.parts;
        let policy = &*parts.policy.clone();
        let outcome = policy.classify.classify(result.as_ref());
        if parts.context.policy().no_fallback || !policy.replaces(outcome, result.is_err()) {
            return Poll::Ready(result.map(|answer| policy.kind.first(answer)));
        }
        let evidence = policy.classify.evidence(result.as_ref());
        policy.counts.primary(outcome);
        let now = clock::now();
        parts.arrival.note(parts.context.time(), || now);
        let sent = unsent.is_none();
        let known = if sent { parts.context.note_failure(outcome, &evidence) } else { outcome };
        let late = parts.arrival.remaining(parts.context.time(), now) == Some(Duration::ZERO);
        let request = match parts.copies.take() {
            _ if late => Err("out of time"),
            Some(copies) => request::<_, _, Req, _>(policy, copies, unsent, known, &evidence, now),
            None => Err("not replayable"),
        };
        let (request, withdrawal) = match request {
            Ok(request) => request,
            Err(why) => {
                policy.counts.withheld();
                policy.tell(outcome, why);
                return Poll::Ready(result.map(|answer| policy.kind.first(answer)));
            }
        };
        policy.tell(outcome, "switching to the backup");
        // the first call goes before the backup's begins
        this.state.set(State::Backup);
        let guard = PanicGuard::new(|| policy.counts.failed());
        *this.standby = Some(Box::pin(Standby::new(
            policy.alternative.service(),
            clock::after(now, policy.within),
            Switch {
                because: outcome,
                untouched: !sent || known.effect(&evidence).untouched,
                sent,
                // an answer that won't be told goes now, an error stays as the source of another
                first: Some(result).filter(|result| policy.first_result || result.is_err()),
                request: Some(request),
                withdrawal,
            },
        )));
        guard.disarm();
        self.back_up(cx)
    }

    /// The way of the backup's call.
    #[cold]
    fn back_up(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Joined<P, Res, T::Response> {
        let this = self.project();
        let (policy, context, arrival) =
            (&*this.parts.policy, &this.parts.context, this.parts.arrival);
        let Some(standby) = this.standby else { return Poll::Pending };
        let guard = PanicGuard::new(|| policy.counts.failed());
        let called = standby.as_mut().poll_call(cx, policy.within, |request, switch, link| {
            let own = context.attempts().cloned().or_else(|| {
                // nobody read a record in the first service, and somebody does here
                let record = link.has_reader().then(Attempts::new)?;
                if let Some(budget) = &policy.budget {
                    record.note_paid(budget);
                }
                Some(record)
            });
            let record = own.map(|own| if switch.sent { own.next() } else { own });
            let number = record.as_ref().map_or(1 + u32::from(switch.sent), Attempts::number);
            let left = arrival.remaining(context.time(), clock::now());
            policy.kind.stamp(request, number, left);
            link.put(&policy.kind, request, || record);
        });
        guard.disarm();
        let result = ready!(called);
        let Switch { because, untouched, .. } = standby.switch;
        let first = standby.as_mut().take_first();
        // the backup's call goes before the result does
        *this.standby = None;
        Poll::Ready(match result {
            Ok(answer) => {
                policy.counts.answered();
                Ok(policy.kind.fallback(answer, || policy.degraded(because)))
            }
            Err(error) => {
                policy.counts.failed();
                policy.tell(because, "the backup failed too");
                match first {
                    Some(first) if policy.first_result => {
                        first.map(|answer| policy.kind.first(answer))
                    }
                    first => {
                        let first = first.and_then(Result::err);
                        Err(FallbackFailed::new(error, first, untouched).into())
                    }
                }
            }
        })
    }
}

/// The request for the backup, and what pays for it; or why there is none.
fn request<A, C, Req, P>(
    policy: &FallbackPolicy<A, C, P>,
    mut copies: P::Copies,
    unsent: Option<P::Request>,
    outcome: Outcome,
    evidence: &Evidence,
    now: Instant,
) -> Result<(P::Request, Option<Withdrawal>), &'static str>
where
    P: Replay<Req>,
{
    if unsent.is_none() && !policy.kind.may_repeat(&copies, outcome, evidence) {
        return Err("not repeatable");
    }
    let withdrawal = match policy.budget.as_ref().filter(|_| !evidence.local) {
        Some(budget) => Some(budget.withdraw(now).ok_or("out of budget")?),
        None => None,
    };
    let request = unsent.or_else(|| policy.kind.instead(&mut copies)).ok_or("not replayable")?;
    Ok((request, withdrawal))
}

impl<F, Res, T, G, C, P, Req> fmt::Debug for BackupFuture<F, Res, T, G, C, P, Req>
where
    P: Replay<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupFuture").field("policy", &self.parts.policy).finish_non_exhaustive()
    }
}
