//! Where one request stands, and whether it gets another attempt: no clock, no I/O.

use super::handle::GaveUp;
use super::policy::RetryPolicy;
use crate::attempt::{Arrival, Attempts, CountedRetry, Deadline, RequestContext};
use crate::backoff::Progress;
use crate::budget::Withdrawal;
use crate::classify::{Evidence, Route};
use crate::clock::{Instant, Sleep};
use crate::hint::Hint;
use crate::outcome::Outcome;
use pin_project_lite::pin_project;
use std::time::Duration;

/// What is known of a request from the start.
#[derive(Debug)]
pub(super) struct CallState<L> {
    pub(super) context: L,
    arrival: Arrival,
}

impl<L: RequestContext> CallState<L> {
    #[inline]
    pub(super) fn new(context: L) -> Self {
        Self { context, arrival: Arrival::default() }
    }

    /// The request has to wait, or has failed.
    #[inline]
    pub(super) fn arrive<C, P>(
        &mut self,
        policy: &RetryPolicy<C, P>,
        now: impl FnOnce() -> Instant,
    ) {
        self.arrival.note(self.context.time().within(policy.deadline), now);
    }

    /// The deadline that this layer tells those inside of it.
    pub(super) fn deadline<C, P>(&self, policy: &RetryPolicy<C, P>) -> Option<Deadline> {
        self.arrival.deadline(self.context.time().within(policy.deadline))
    }

    pub(super) fn remaining<C, P>(
        &self,
        policy: &RetryPolicy<C, P>,
        now: Instant,
    ) -> Option<Duration> {
        self.arrival.remaining(self.context.time().within(policy.deadline), now)
    }
}

pin_project! {
    /// What a request needs from its first failure on. It stands apart, in memory of its own, since
    /// most requests never need it and would carry it from hand to hand.
    pub(super) struct RetryState<Request> {
        // the delay before the attempt that is coming
        #[pin]
        pub(super) sleep: Option<Sleep>,
        pub(super) next: NextAttempt<Request>,
    }
}

/// The attempt that is coming.
pub(super) struct NextAttempt<Request> {
    pub(super) request: Option<Request>,
    withdrawal: Option<Withdrawal>,
    counted: Option<CountedRetry>,
    progress: Progress,
    /// The retries that this layer decided on.
    own_retries: u32,
}

impl<Request> RetryState<Request> {
    pub(super) fn new<C, P>(policy: &RetryPolicy<C, P>) -> Self {
        let progress = Progress::new(policy.seeds.next());
        let next = NextAttempt {
            request: None,
            withdrawal: None,
            counted: None,
            progress,
            own_retries: 0,
        };
        Self { sleep: None, next }
    }
}

impl<Request> NextAttempt<Request> {
    /// The retries of this request over all layers.
    pub(super) fn retries(&self, state: &CallState<impl RequestContext>) -> u32 {
        state.context.attempts().map_or(self.own_retries, Attempts::retries)
    }

    /// Asks for another attempt, in the order of the module page; after `Ok` it is paid for, and
    /// starts after the delay.
    pub(super) fn ask<C, P>(
        &mut self,
        policy: &RetryPolicy<C, P>,
        state: &CallState<impl RequestContext>,
        outcome: Outcome,
        evidence: &Evidence,
        now: Instant,
    ) -> Result<Duration, GaveUp> {
        let elsewhere = state.context.attempts().is_some_and(Attempts::untried_left);
        let effect = outcome.effect(evidence);
        if !elsewhere && effect.retry == Route::Elsewhere {
            return Err(GaveUp::NowhereElse);
        }
        if self.retries(state) >= policy.max_retries {
            return Err(GaveUp::OutOfRetries);
        }
        // what never left our side costs nobody anything
        let withdrawal = match policy.budget.as_ref().filter(|_| !effect.local) {
            Some(budget) => Some(budget.withdraw(now).ok_or(GaveUp::OutOfBudget)?),
            None => None,
        };
        let at_once = elsewhere && (policy.elsewhere_at_once || effect.local);
        let delay = self.delay(policy, evidence.hint(outcome), at_once)?;
        let needed = delay.saturating_add(policy.min_attempt);
        if state.remaining(policy, now).is_some_and(|remaining| needed > remaining) {
            return Err(GaveUp::OutOfTime);
        }
        self.withdrawal = withdrawal;
        Ok(delay)
    }

    fn delay<C, P>(
        &mut self,
        policy: &RetryPolicy<C, P>,
        hint: Option<Hint>,
        at_once: bool,
    ) -> Result<Duration, GaveUp> {
        let backoff = &policy.backoff;
        match hint {
            Some(Hint::Never) => Err(GaveUp::ToldNotTo),
            Some(Hint::Exactly(delay)) if delay <= policy.max_hint => {
                self.progress.restart();
                Ok(delay)
            }
            Some(Hint::Exactly(_)) => Err(GaveUp::ToldToWaitTooLong),
            _ if at_once => Ok(Duration::ZERO),
            Some(Hint::AtLeast(hint)) if hint <= policy.max_hint => {
                Ok(self.progress.after_hint(backoff, hint))
            }
            Some(Hint::AtLeast(_)) => Err(GaveUp::ToldToWaitTooLong),
            None => Ok(self.progress.next(backoff)),
        }
    }

    /// From here on the retry is made, and counts, unless the caller leaves.
    pub(super) fn commit(&mut self, state: &CallState<impl RequestContext>) {
        self.own_retries = self.own_retries.saturating_add(1);
        self.counted = state.context.attempts().map(CountedRetry::new);
    }

    /// The attempt that was asked for did not start: what was paid goes back, and it counts.
    pub(super) fn miss(&mut self) {
        self.withdrawal = None;
        self.count();
    }

    fn count(&mut self) {
        if let Some(counted) = self.counted.take() {
            counted.made();
        }
    }

    /// The attempt that was asked for starts now. Returns its number and its record.
    pub(super) fn begin(
        &mut self,
        state: &CallState<impl RequestContext>,
    ) -> (u32, Option<Attempts>) {
        if let Some(withdrawal) = self.withdrawal.take() {
            withdrawal.spend();
        }
        self.count();
        let record = state.context.attempts().map(Attempts::next);
        let number = record.as_ref().map_or(self.own_retries.saturating_add(1), Attempts::number);
        (number, record)
    }
}
