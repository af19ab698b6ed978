//! Where one request stands, and whether it gets another attempt: no clock, no I/O.

use super::handle::GaveUp;
use super::policy::RetryPolicy;
use crate::attempts::Attempts;
use crate::backoff::Progress;
use crate::budget::Withdrawal;
use crate::classify::Evidence;
use crate::clock::Instant;
use crate::deadline::TimeLeft;
use crate::hint::Hint;
use crate::outcome::Outcome;
use std::time::Duration;

/// One request on its way through its attempts.
#[derive(Debug)]
pub(super) struct Course {
    /// The record that this layer found or made; without one it counts for itself.
    attempts: Option<Attempts>,
    pub(super) time: TimeLeft,
    retries: u32,
    /// The payment for the attempt that is coming.
    withdrawal: Option<Withdrawal>,
    progress: Option<Progress>,
}

impl Course {
    pub(super) fn new(attempts: Option<Attempts>, time: TimeLeft) -> Self {
        Self { attempts, time, retries: 0, withdrawal: None, progress: None }
    }

    /// The retries of this request over all layers.
    pub(super) fn retries(&self) -> u32 {
        self.attempts.as_ref().map_or(self.retries, Attempts::retries)
    }

    /// Asks for another attempt, in the order of the module page; after `Ok` it is paid for, and
    /// starts after the delay.
    pub(super) fn ask<C, P>(
        &mut self,
        policy: &RetryPolicy<C, P>,
        outcome: Outcome,
        evidence: &Evidence,
        now: Instant,
    ) -> Result<Duration, GaveUp> {
        let elsewhere = self.attempts.as_ref().is_some_and(Attempts::untried_left);
        let local = evidence.local && outcome == Outcome::Refused;
        if !elsewhere && (local || outcome == Outcome::Unsuitable) {
            return Err(GaveUp::NowhereElse);
        }
        if self.retries() >= policy.max_retries {
            return Err(GaveUp::OutOfRetries);
        }
        // what never left our side costs nobody anything
        let withdrawal = match policy.budget.as_ref().filter(|_| !local) {
            Some(budget) => Some(budget.withdraw(now).ok_or(GaveUp::OutOfBudget)?),
            None => None,
        };
        let at_once = elsewhere && (policy.elsewhere_at_once || local);
        let delay = self.delay(policy, evidence.hint(outcome), at_once)?;
        let needed = delay.saturating_add(policy.min_attempt);
        if self.time.remaining(now).is_some_and(|remaining| needed > remaining) {
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
        let progress = self.progress.get_or_insert_with(|| Progress::new(policy.seeds.next()));
        match hint {
            Some(Hint::Never) => Err(GaveUp::ToldNotTo),
            Some(Hint::Exactly(delay)) if delay <= policy.max_hint => {
                progress.restart();
                Ok(delay)
            }
            Some(Hint::Exactly(_)) => Err(GaveUp::ToldToWaitTooLong),
            _ if at_once => Ok(Duration::ZERO),
            Some(Hint::AtLeast(hint)) if hint <= policy.max_hint => {
                Ok(progress.after_hint(backoff, hint))
            }
            Some(Hint::AtLeast(_)) => Err(GaveUp::ToldToWaitTooLong),
            None => Ok(progress.next(backoff)),
        }
    }

    /// From here on the retry is made.
    pub(super) fn commit(&mut self) {
        self.retries = self.retries.saturating_add(1);
        if let Some(attempts) = &self.attempts {
            attempts.count_retry();
        }
    }

    /// The attempt that was asked for did not start: what was paid goes back.
    pub(super) fn take_back(&mut self) {
        self.withdrawal = None;
    }

    /// The attempt that was asked for starts now. Returns its number and its record.
    pub(super) fn begin(&mut self) -> (u32, Option<Attempts>) {
        if let Some(withdrawal) = self.withdrawal.take() {
            withdrawal.spend();
        }
        let record = self.attempts.as_ref().map(Attempts::next);
        let number = record.as_ref().map_or(self.retries.saturating_add(1), Attempts::number);
        (number, record)
    }
}
