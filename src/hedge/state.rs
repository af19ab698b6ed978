//! Where one request stands: which attempts run, and what they have answered.

use super::handle::Skipped;
use super::policy::HedgePolicy;
use crate::attempt::{Attempts, Deadline, RequestContext};
use crate::classify::{Evidence, RaceResult, Route};
use crate::clock::{self, Instant};
use crate::hint::Hint;
use crate::outcome::Outcome;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A hedge that could not be sent is due again one delay later, and after this at least.
const ASK_AGAIN: Duration = Duration::from_millis(5);
/// The least time that is left to a hedge, or it is not sent.
const MIN_ATTEMPT: Duration = Duration::from_millis(10);

/// What is known of a request from the start.
#[derive(Debug)]
pub(super) struct CallState<L> {
    pub(super) context: L,
    /// When it first had to wait.
    pub(super) began: Option<Instant>,
    /// From one attempt to the next; none where there is no hedge.
    pub(super) delay: Option<Duration>,
}

impl<L: RequestContext> CallState<L> {
    #[inline]
    pub(super) fn new(context: L) -> Self {
        Self { context, began: None, delay: None }
    }

    /// The request has to wait; returns when its first hedge is due.
    pub(super) fn begin<C, P>(
        &mut self,
        policy: &HedgePolicy<C, P>,
        may_hedge: bool,
    ) -> Option<Instant> {
        let now = clock::now();
        self.began = Some(now);
        if may_hedge {
            self.delay = policy.wait.delay(now);
        }
        let delay = self.delay?;
        let limit = self.context.time().of_arrival(|| now);
        let in_time = |left: Duration| left > delay.saturating_add(MIN_ATTEMPT);
        let due = limit.is_none_or(|limit| in_time(limit.remaining_at(now)));
        due.then(|| clock::after(now, delay))
    }

    /// When the next hedge is due after one that was due at this time, and was sent now or not. What a task
    /// that comes late has missed it does not make up for.
    pub(super) fn next_due(&self, due: Instant, sent: bool, now: Instant) -> Option<Instant> {
        let delay = self.delay.map(|delay| if sent { delay } else { delay.max(ASK_AGAIN) })?;
        let next = clock::after(due, delay);
        Some(if next > now { next } else { clock::after(now, delay) })
    }

    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        let limit = self.context.time().of_arrival(|| self.began.unwrap_or(now));
        limit.map(|limit| limit.remaining_at(now))
    }

    /// The deadline that this layer tells those inside of it.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.context.time().of_arrival(|| self.began.unwrap_or_else(clock::now))
    }

    /// How long it has waited so far.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        self.began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began))
    }

    fn hedges(&self) -> u32 {
        self.context.attempts().map_or(0, Attempts::hedges)
    }
}

/// An answer, and how it was judged.
pub(super) type Classified<Answer> = (Outcome, Answer);

/// The attempts beside the first one, and the answers that did not win. It stands apart, since most
/// requests never need it.
pub(super) struct Race<F: Future> {
    hedges: Vec<Pin<Box<F>>>,
    /// What is answered if nothing better comes.
    held: Option<Classified<F::Output>>,
    /// Hedges that were due, sent or not.
    turns: u32,
    sent: u32,
    /// One was due and could not be sent.
    missed: bool,
    /// When the next hedge is due, or that none is, where the timer is not set to that yet.
    put_off: Option<Option<Instant>>,
    /// An answer asked for no attempt before then.
    not_before: Option<Instant>,
    told_not_to: bool,
    /// An answer said that only another endpoint may help.
    only_elsewhere: bool,
}

// answers are never pinned
impl<F: Future> Unpin for Race<F> {}

impl<F: Future> Race<F> {
    pub(super) const fn new() -> Self {
        Self {
            hedges: Vec::new(),
            held: None,
            turns: 0,
            sent: 0,
            missed: false,
            put_off: None,
            not_before: None,
            told_not_to: false,
            only_elsewhere: false,
        }
    }

    pub(super) fn add(&mut self, hedge: F) {
        self.hedges.push(Box::pin(hedge));
        self.sent = self.sent.saturating_add(1);
    }

    /// The next hedge is due then, or never by the time alone.
    pub(super) fn put_off(&mut self, due: Option<Instant>) {
        self.put_off = Some(due);
    }

    /// What the timer is to be set to, if it is.
    pub(super) fn take_put_off(&mut self) -> Option<Option<Instant>> {
        self.put_off.take()
    }

    /// Whether a hedge is on its way.
    pub(super) fn runs(&self) -> bool {
        !self.hedges.is_empty()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<F::Output> {
        let (at, answer) =
            self.hedges.iter_mut().enumerate().find_map(|(at, hedge)| {
                match hedge.as_mut().poll(cx) {
                    Poll::Ready(answer) => Some((at, answer)),
                    Poll::Pending => None,
                }
            })?;
        self.hedges.remove(at);
        Some(answer)
    }

    /// Gives up what still runs, and the answers that nobody gets.
    pub(super) fn give_up(&mut self) {
        self.hedges.clear();
        self.held = None;
    }

    /// Keeps an answer that has not won: the last one, unless there is one that did not fail. Tells whether
    /// this is that one.
    pub(super) fn hold(&mut self, judged: Classified<F::Output>) -> bool {
        if self.holds_neutral() {
            return false;
        }
        self.held = Some(judged);
        self.holds_neutral()
    }

    /// Whether there is an answer that did not fail.
    pub(super) fn holds_neutral(&self) -> bool {
        let wins_alone = |outcome: Outcome| outcome.race_result() == RaceResult::WinsAlone;
        self.held.as_ref().is_some_and(|(outcome, _)| wins_alone(*outcome))
    }

    pub(super) fn take_held(&mut self) -> Option<Classified<F::Output>> {
        self.held.take()
    }

    /// Takes down what a failure asks for.
    pub(super) fn note(
        &mut self,
        state: &CallState<impl RequestContext>,
        outcome: Outcome,
        evidence: &Evidence,
    ) {
        state.context.note_failure(outcome, evidence);
        let effect = outcome.effect(evidence);
        self.only_elsewhere |= effect.hedge == RaceResult::Loses(Route::Elsewhere);
        match evidence.hint(outcome) {
            Some(Hint::Never) => self.told_not_to = true,
            Some(Hint::Exactly(delay)) => {
                let until = clock::after(clock::now(), delay);
                self.not_before = self.not_before.max(Some(until));
            }
            // what a server asks for holds for itself
            Some(Hint::AtLeast(_)) => self.only_elsewhere = true,
            None => {}
        }
    }

    /// Whether another hedge may become due.
    pub(super) fn has_turns<C, P>(
        &self,
        policy: &HedgePolicy<C, P>,
        state: &CallState<impl RequestContext>,
    ) -> bool {
        !self.told_not_to
            && !self.holds_neutral()
            && self.turns.max(state.hedges()) < policy.max_hedges
    }

    /// When a hedge is due that was due at that time, if an answer has asked to wait for longer.
    pub(super) fn postponed(&self, due: Instant) -> Option<Instant> {
        self.not_before.filter(|not_before| *not_before > due)
    }

    /// The number of the attempt that is sent next, where no record counts them.
    pub(super) const fn number(&self) -> u32 {
        self.sent.saturating_add(2)
    }

    /// The hedge that was due was not sent; where that may pass, it will be due again. Tells whether this is
    /// the first time.
    pub(super) fn miss_turn(&mut self, why: Skipped) -> bool {
        if why.may_pass() {
            self.turns = self.turns.saturating_sub(1);
        }
        !std::mem::replace(&mut self.missed, true)
    }

    /// Whether the request can do without a hedge better than others: it is the first one that is due, for the
    /// first time.
    pub(super) const fn is_early(&self) -> bool {
        self.turns == 1 && !self.missed && self.held.is_none()
    }

    /// A hedge is due: may it be sent now?
    pub(super) fn take_turn<C, P>(
        &mut self,
        policy: &HedgePolicy<C, P>,
        state: &CallState<impl RequestContext>,
        now: Instant,
    ) -> Result<(), Skipped> {
        self.turns = self.turns.saturating_add(1);
        if self.told_not_to || self.postponed(now).is_some() {
            return Err(Skipped::ToldNotTo);
        }
        let elsewhere = state.context.attempts().is_some_and(Attempts::untried_left);
        let balanced = state.context.attempts().is_some_and(Attempts::is_balanced);
        let needed = self.only_elsewhere || (balanced && !policy.same_endpoint);
        if needed && !elsewhere {
            return Err(Skipped::NowhereElse);
        }
        match state.remaining(now) {
            Some(left) if left < MIN_ATTEMPT => Err(Skipped::OutOfTime),
            _ => Ok(()),
        }
    }
}
