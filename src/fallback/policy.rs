//! The configuration of a fallback layer, and what it says of an answer.

use super::handle::FallbackCounts;
use crate::attempt::Attempts;
use crate::budget::Budget;
use crate::classify::Classify;
use crate::error::BoxError;
use crate::outcome::Outcome;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What failed, as the closure of a fallback is given it.
#[non_exhaustive]
pub struct Failed<Res, Kept = ()> {
    /// The answer that was judged a failure, or the error.
    pub result: Result<Res, BoxError>,
    /// The judgement on it.
    pub outcome: Outcome,
    /// How many attempts were made: 0 where the service was not ready to take one, and 1 where the
    /// record of the attempts can't travel.
    pub attempts: u32,
    /// What was kept of the request, `()` unless the layer was told to keep something.
    pub kept: Kept,
}

impl<Res, Kept> fmt::Debug for Failed<Res, Kept> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failed")
            .field("is_error", &self.result.is_err())
            .field("outcome", &self.outcome)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// Marks the answer of a fallback, as a typed extension of HTTP answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    by: Arc<str>,
    because: Outcome,
}

impl Degraded {
    /// Returns the name of the fallback layer that answered.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Returns the outcome that made it answer.
    #[must_use]
    pub const fn because(&self) -> Outcome {
        self.because
    }
}

type Chosen = Arc<dyn Fn(Outcome) -> bool + Send + Sync>;

#[derive(Clone)]
pub(super) struct FallbackPolicy<A, C, P> {
    pub(super) alternative: A,
    pub(super) classify: C,
    pub(super) kind: P,
    pub(super) name: Arc<str>,
    pub(super) chosen: Option<Chosen>,
    /// Answers pass, whatever their outcome is.
    pub(super) only_errors: bool,
    pub(super) within: Duration,
    pub(super) budget: Option<Budget>,
    /// When the backup fails too, the first result is returned.
    pub(super) first_result: bool,
    pub(super) counts: Arc<FallbackCounts>,
}

impl<A, C, P> FallbackPolicy<A, C, P> {
    pub(super) fn new(alternative: A, classify: C, kind: P) -> Self {
        Self {
            alternative,
            classify,
            kind,
            name: Arc::from("fallback"),
            chosen: None,
            only_errors: false,
            within: Duration::from_secs(2),
            budget: None,
            first_result: false,
            counts: Arc::default(),
        }
    }

    /// The same with another alternative, judgement and kind of request.
    pub(super) fn map<B, D, Q>(
        self,
        alternative: impl FnOnce(A) -> B,
        classify: impl FnOnce(C) -> D,
        kind: impl FnOnce(P) -> Q,
    ) -> FallbackPolicy<B, D, Q> {
        FallbackPolicy {
            alternative: alternative(self.alternative),
            classify: classify(self.classify),
            kind: kind(self.kind),
            name: self.name,
            chosen: self.chosen,
            only_errors: self.only_errors,
            within: self.within,
            budget: self.budget,
            first_result: self.first_result,
            counts: self.counts,
        }
    }

    /// Whether a result of this outcome is to be replaced; a success never is.
    #[inline]
    pub(super) fn replaces(&self, outcome: Outcome, is_error: bool) -> bool {
        if outcome == Outcome::Success {
            return false;
        }
        let chosen = match &self.chosen {
            Some(chosen) => chosen(outcome),
            None => outcome.is_failed(),
        };
        chosen && (is_error || !self.only_errors)
    }

    /// Whether this answer is to be replaced.
    #[inline]
    pub(super) fn replaces_answer<Res>(&self, answer: &Res) -> bool
    where
        C: Classify<Res, BoxError>,
    {
        self.replaces(self.classify.classify(Ok(answer)), false)
    }

    pub(super) fn tell(&self, outcome: Outcome, what: &'static str) {
        tracing::debug!(
            target: "tower_failover::fallback",
            name = &*self.name,
            outcome = outcome.name(),
            "{what}"
        );
    }

    pub(super) fn degraded(&self, because: Outcome) -> Degraded {
        Degraded { by: self.name.clone(), because }
    }
}

/// How many attempts were made for a call that reached the primary.
pub(super) fn attempts_made(called: bool, record: Option<&Attempts>) -> u32 {
    if called { record.map_or(1, Attempts::started) } else { 0 }
}

impl<A, C, P> fmt::Debug for FallbackPolicy<A, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackPolicy")
            .field("name", &self.name)
            .field("only_errors", &self.only_errors)
            .field("within", &self.within)
            .field("budget", &self.budget)
            .field("first_result", &self.first_result)
            .finish_non_exhaustive()
    }
}
