//! The attempts of one request, side by side.

use super::handle::Skipped;
use super::policy::HedgePolicy;
use super::state::{CallState, Classified, Race};
use crate::attempt::{Attempts, CarryContext, Link, RequestContext, drop_loser};
use crate::classify::{Classify, RaceResult};
use crate::clock::{self, Instant, Sleep};
use crate::lazy_box::LazyBox;
use crate::outcome::Outcome;
use crate::replay::Replay;
use crate::striped::StripedRef;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_service::Service;

pin_project! {
    /// The future of [`Hedge`](super::Hedge).
    ///
    /// `S` is the service that is called and `F` its future.
    pub struct HedgeFuture<S, F, C, P, Req>
    where
        F: Future,
        P: Replay<Req>,
    {
        #[pin]
        first: First<F>,
        // up to the next hedge, or to the end of the wait for something better than a neutral answer
        #[pin]
        timer: Option<Sleep>,
        parts: Parts<S, F, C, P, P::Copies, <P as CarryContext<Req>>::Context>,
    }
}

pin_project! {
    #[project = FirstProjected]
    enum First<F> {
        // the attempt that was there from the beginning is on its way
        Runs { #[pin] future: F },
        // it has ended, or lost
        Over,
    }
}

impl<F> First<F> {
    const fn runs(&self) -> bool {
        matches!(self, Self::Runs { .. })
    }
}

/// All that stays in its place.
struct Parts<S, F: Future, C, P, Copies, L> {
    /// The service that was called; hedges are sent by clones of it.
    inner: S,
    policy: StripedRef<HedgePolicy<C, P>>,
    /// None where the request must not be at two places.
    copies: Option<Copies>,
    state: CallState<L>,
    race: LazyBox<Race<F>>,
}

impl<S, F, C, P, Req> HedgeFuture<S, F, C, P, Req>
where
    F: Future,
    P: Replay<Req>,
{
    #[inline]
    pub(super) fn new(
        inner: S,
        first: F,
        policy: StripedRef<HedgePolicy<C, P>>,
        copies: Option<P::Copies>,
        context: <P as CarryContext<Req>>::Context,
    ) -> Self {
        let state = CallState::new(context);
        let parts = Parts { inner, policy, copies, state, race: LazyBox::NONE };
        Self { first: First::Runs { future: first }, timer: None, parts }
    }
}

impl<S, C, P, Req> Future for HedgeFuture<S, S::Future, C, P, Req>
where
    S: Service<P::Request> + Clone,
    C: Classify<S::Response, S::Error>,
    P: Replay<Req>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // the whole way of a call whose first attempt is good: short, and compiled into its caller
        let mut this = self.as_mut().project();
        let FirstProjected::Runs { future } = this.first.as_mut().project() else {
            return self.go_on(cx, None);
        };
        match future.poll(cx) {
            Poll::Ready(result) => {
                let outcome = this.parts.policy.classify.classify(result.as_ref());
                if outcome.is_failed() || !this.parts.race.is_none() {
                    return self.go_on(cx, Some((outcome, result)));
                }
                this.parts.note_latency(outcome);
                // polled again, it sends nothing
                this.parts.copies = None;
                Poll::Ready(result)
            }
            Poll::Pending => {
                if this.parts.state.began.is_none() {
                    let due = this.parts.begin();
                    this.timer.as_mut().set(due.map(clock::sleep_until));
                }
                let due = match this.timer.as_pin_mut() {
                    Some(timer) => timer.poll(cx).is_ready(),
                    None => false,
                };
                if due || !this.parts.race.is_none() { self.go_on(cx, None) } else { Poll::Pending }
            }
        }
    }
}

/// How many attempts are started in one poll.
const MOST_TURNS: u32 = 32;

impl<S, C, P, Req> HedgeFuture<S, S::Future, C, P, Req>
where
    S: Service<P::Request> + Clone,
    C: Classify<S::Response, S::Error>,
    P: Replay<Req>,
{
    /// The way of a request whose first attempt takes long, or has failed.
    #[cold]
    fn go_on(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut first: Option<Classified<Result<S::Response, S::Error>>>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let mut this = self.project();
        let parts = this.parts;
        if first.is_some() {
            // it goes before anything is decided: it may hold what was counted for it
            this.first.set(First::Over);
            if parts.state.began.is_none() {
                parts.begin();
            }
        } else if parts.race.is_none() && !this.first.runs() {
            // polled again after its end
            return Poll::Pending;
        }
        let mut starts = 0;
        loop {
            let mut by_hedge = first.is_none();
            while let Some((outcome, result)) = first.take().or_else(|| parts.poll_hedges(cx)) {
                if parts.wins(outcome, this.first.runs()) {
                    drop_loser(|| this.first.set(First::Over));
                    return Poll::Ready(parts.win((outcome, result), by_hedge));
                }
                if parts.lose((outcome, result)) {
                    let until = clock::after(clock::now(), parts.state.delay.unwrap_or_default());
                    this.timer.set(Some(clock::sleep_until(until)));
                }
                by_hedge = true;
            }
            let runs = this.first.runs() || parts.race().runs();
            let now = clock::now();
            if runs {
                if let Some(next) = parts.race().take_put_off() {
                    this.timer.set(next.map(clock::sleep_until));
                }
                let Some(mut timer) = this.timer.as_mut().as_pin_mut() else {
                    return Poll::Pending;
                };
                ready!(timer.as_mut().poll(cx));
                if parts.race().holds_neutral() {
                    drop_loser(|| this.first.set(First::Over));
                    return parts.answer();
                }
                let (has_turns, postponed) = (parts.has_turns(), parts.race().postponed(now));
                if let Some(until) = postponed.filter(|_| has_turns) {
                    timer.reset(until);
                    continue;
                }
                let sent = has_turns && parts.send::<Req>(cx, now, true);
                let next = parts.next_due(timer.deadline(), sent, now);
                this.timer.set(next.map(clock::sleep_until));
            } else if parts.has_turns() && parts.send::<Req>(cx, now, false) {
                // that one may answer at once, and then no timer is needed, nor a runtime
                let next = parts.next_due(now, true, now);
                parts.race().put_off(next);
            } else {
                return parts.answer();
            }
            starts += 1;
            if starts == MOST_TURNS {
                // attempts that are due, or fail, at once: others have to run as well
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl<S, F, C, P, Copies, L> Parts<S, F, C, P, Copies, L>
where
    F: Future,
    L: RequestContext,
{
    /// The request has to wait; returns when its first hedge is due.
    #[inline(never)]
    fn begin(&mut self) -> Option<Instant> {
        self.state.begin(&self.policy, self.copies.is_some())
    }

    #[inline]
    fn note_latency(&self, outcome: Outcome) {
        if let Some(began) = self.state.began.filter(|_| outcome == Outcome::Success) {
            self.policy.wait.record(began);
        }
    }

    fn race(&mut self) -> &mut Race<F> {
        self.race.get_or_insert_with(Race::new).get_mut()
    }

    /// Whether another hedge may become due.
    fn has_turns(&self) -> bool {
        self.copies.is_some()
            && self.state.delay.is_some()
            && self.race.get().is_none_or(|race| race.has_turns(&self.policy, &self.state))
    }

    /// Whether an answer of this outcome is the answer, where the first attempt runs or not.
    fn wins(&mut self, outcome: Outcome, first_runs: bool) -> bool {
        match outcome.race_result() {
            RaceResult::Wins => true,
            RaceResult::WinsAlone => {
                self.policy.neutral_wins || !(first_runs || self.race().runs())
            }
            RaceResult::Loses(_) => false,
        }
    }

    fn next_due(&self, due: Instant, sent: bool, now: Instant) -> Option<Instant> {
        self.state.next_due(due, sent, now).filter(|_| self.has_turns())
    }

    /// This is the answer; all that still runs has lost.
    fn win(&mut self, (outcome, answer): Classified<F::Output>, by_hedge: bool) -> F::Output {
        drop_loser(|| self.race().give_up());
        self.copies = None;
        self.note_latency(outcome);
        if by_hedge {
            self.policy.counts.won();
            tracing::debug!(
                target: "tower_failover::hedge", outcome = outcome.name(), "a hedge was faster"
            );
        }
        answer
    }

    /// The best of the answers that did not win.
    fn answer(&mut self) -> Poll<F::Output> {
        match self.race().take_held() {
            Some(judged) => Poll::Ready(self.win(judged, false)),
            None => Poll::Pending,
        }
    }
}

impl<S, F, Res, E, C, P, Copies, L> Parts<S, F, C, P, Copies, L>
where
    F: Future<Output = Result<Res, E>>,
    L: RequestContext,
{
    /// The answer of a hedge, if one has come.
    fn poll_hedges(&mut self, cx: &mut Context<'_>) -> Option<Classified<Result<Res, E>>>
    where
        C: Classify<Res, E>,
    {
        let result = self.race().poll(cx)?;
        Some((self.policy.classify.classify(result.as_ref()), result))
    }

    /// An answer has come that does not win; tells whether the wait for something better begins.
    fn lose(&mut self, (outcome, result): Classified<Result<Res, E>>) -> bool
    where
        C: Classify<Res, E>,
    {
        if outcome.is_failed() {
            let evidence = self.policy.classify.evidence(result.as_ref());
            let race = self.race.get_or_insert_with(Race::new).get_mut();
            race.note(&self.state, outcome, &evidence);
        }
        self.race().hold((outcome, result))
    }

    /// Sends a hedge that is due, if that can be now; `beside` others, or after all have failed.
    fn send<Req>(&mut self, cx: &mut Context<'_>, now: Instant, beside: bool) -> bool
    where
        S: Service<P::Request, Response = Res, Error = E, Future = F> + Clone,
        P: Replay<Req, Copies = Copies>,
    {
        match self.hedge::<Req>(cx, now, beside) {
            Ok(hedge) => {
                self.race().add(hedge);
                true
            }
            Err(why) => {
                if self.race().miss_turn(why) {
                    self.policy.counts.skipped(why);
                    tracing::debug!(
                        target: "tower_failover::hedge", reason = why.name(), "no hedge"
                    );
                }
                false
            }
        }
    }

    fn hedge<Req>(&mut self, cx: &mut Context<'_>, now: Instant, beside: bool) -> Result<F, Skipped>
    where
        S: Service<P::Request, Response = Res, Error = E, Future = F> + Clone,
        P: Replay<Req, Copies = Copies>,
    {
        let race = self.race.get_or_insert_with(Race::new).get_mut();
        race.take_turn(&self.policy, &self.state, now)?;
        let paid = match &self.policy.budget {
            Some(budget) if race.is_early() => Some(budget.withdraw_spare(now)),
            Some(budget) => Some(budget.withdraw(now)),
            None => None,
        };
        let paid = paid.map(|paid| paid.ok_or(Skipped::OutOfBudget)).transpose()?;
        // it is never waited for: a clone that is not ready is dropped, with its place in any queue
        let mut service = self.inner.clone();
        let carries = <P as CarryContext<Req>>::CARRIES;
        let (ready, link) = Link::listen(carries, || service.poll_ready(cx));
        if !matches!(ready, Poll::Ready(Ok(()))) {
            return Err(Skipped::NotReady);
        }
        let copies = self.copies.as_mut().ok_or(Skipped::NotReplayable)?;
        let mut request = self.policy.kind.beside(copies).ok_or(Skipped::NotReplayable)?;
        if let Some(paid) = paid {
            paid.spend();
        }
        self.policy.counts.hedge();
        let record = self.state.context.attempts().map(Attempts::next_hedge);
        let number = record.as_ref().map_or(race.number(), Attempts::number);
        let remaining = self.state.remaining(now);
        self.policy.kind.stamp(&mut request, number, remaining);
        link.put(&self.policy.kind, &mut request, || {
            // where others run it is not the last, whatever becomes of it
            let record = record?;
            let may_follow =
                beside || record.may_follow() || race.has_turns(&self.policy, &self.state);
            let record = record.until(self.state.deadline()).followed(may_follow);
            Some(if self.policy.same_endpoint { record } else { record.elsewhere() })
        });
        tracing::debug!(target: "tower_failover::hedge", number, delay = ?self.state.waited(now), "hedge");
        Ok(service.call(request))
    }
}

impl<S, F, C, P, Req> fmt::Debug for HedgeFuture<S, F, C, P, Req>
where
    F: Future,
    P: Replay<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeFuture").field("state", &self.parts.state).finish_non_exhaustive()
    }
}
