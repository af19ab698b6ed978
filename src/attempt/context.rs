//! What a request brings along.

use super::attempts::Attempts;
use super::deadline::TimeLimit;
use super::policy::RequestPolicy;
use crate::budget::Budget;
use crate::classify::Evidence;
use crate::outcome::Outcome;
use crate::sealed::Sealed;
use std::fmt;

/// What a request brings along: nothing (`()`) where its kind can't carry anything, which then costs
/// nothing.
#[doc(hidden)]
pub trait RequestContext: Sealed + fmt::Debug {
    /// The record of the call.
    fn attempts(&self) -> Option<&Attempts>;

    /// Puts in a record, unless there is one.
    fn open(&mut self);

    /// By when the request wants an answer.
    fn time(&self) -> TimeLimit;

    /// What the request allows.
    fn policy(&self) -> RequestPolicy;

    /// Pays for this request into the budget that a layer has, if it has one.
    fn deposit(&self, budget: Option<&Budget>) {
        match (budget, self.attempts()) {
            (Some(budget), Some(attempts)) if attempts.note_paid(budget) => budget.deposit(),
            (Some(budget), None) => budget.deposit(),
            _ => {}
        }
    }

    /// Notes a failure, and returns the outcome by which to ask whether the request may be repeated:
    /// a refusal does not make good that an attempt before it may have done the work.
    fn note_failure(&self, outcome: Outcome, evidence: &Evidence) -> Outcome {
        let Some(attempts) = self.attempts() else { return outcome };
        let untouched = outcome.effect(evidence).untouched;
        let touched = attempts.note_touched(untouched);
        if touched && untouched { Outcome::Failure } else { outcome }
    }
}

impl RequestContext for () {
    fn attempts(&self) -> Option<&Attempts> {
        None
    }

    fn open(&mut self) {}

    fn time(&self) -> TimeLimit {
        TimeLimit::default()
    }

    fn policy(&self) -> RequestPolicy {
        RequestPolicy::new()
    }
}

/// What an HTTP request brings along, or one with a slot.
#[doc(hidden)]
#[derive(Debug)]
pub struct FullContext {
    attempts: Option<Attempts>,
    time: TimeLimit,
    policy: RequestPolicy,
}

impl FullContext {
    /// `time` and `policy`: what the request itself says.
    pub(crate) fn new(attempts: Option<Attempts>, time: TimeLimit, policy: RequestPolicy) -> Self {
        let time = time.until(attempts.as_ref().and_then(Attempts::deadline));
        Self { attempts, time, policy }
    }
}

impl Sealed for FullContext {}

impl RequestContext for FullContext {
    fn attempts(&self) -> Option<&Attempts> {
        self.attempts.as_ref()
    }

    fn open(&mut self) {
        self.attempts.get_or_insert_with(Attempts::new);
    }

    fn time(&self) -> TimeLimit {
        self.time
    }

    fn policy(&self) -> RequestPolicy {
        self.policy
    }
}
