//! What can be seen of a fallback layer from outside.

use crate::outcome::Outcome;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Written on the bad path only. Relaxed: statistics, nothing else is read because of them.
#[derive(Debug, Default)]
pub(super) struct FallbackCounts {
    failure: AtomicU64,
    refused: AtomicU64,
    throttled: AtomicU64,
    unsuitable: AtomicU64,
    neutral: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    withheld: AtomicU64,
}

impl FallbackCounts {
    /// The first service gave a result that the fallback is to replace.
    pub(super) fn primary(&self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Failure => &self.failure,
            Outcome::Refused => &self.refused,
            Outcome::Throttled { .. } => &self.throttled,
            Outcome::Unsuitable => &self.unsuitable,
            Outcome::Success | Outcome::Neutral => &self.neutral,
        };
        count.fetch_add(1, Relaxed);
    }

    pub(super) fn answered(&self) {
        self.answered.fetch_add(1, Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub(super) fn withheld(&self) {
        self.withheld.fetch_add(1, Relaxed);
    }
}

/// Watches the services of one [`FallbackLayer`](super::FallbackLayer) from outside; clones watch the
/// same.
#[derive(Clone)]
pub struct FallbackHandle(pub(super) Arc<FallbackCounts>);

impl FallbackHandle {
    /// Reads the counts; those of calls in flight may be missing.
    #[must_use]
    pub fn snapshot(&self) -> FallbackSnapshot {
        let read = |count: &AtomicU64| count.load(Relaxed);
        FallbackSnapshot {
            failure: read(&self.0.failure),
            refused: read(&self.0.refused),
            throttled: read(&self.0.throttled),
            unsuitable: read(&self.0.unsuitable),
            neutral: read(&self.0.neutral),
            answered: read(&self.0.answered),
            failed: read(&self.0.failed),
            withheld: read(&self.0.withheld),
        }
    }
}

impl fmt::Debug for FallbackHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// What the first service did that the fallback was to replace, and what became of it. The primary's
/// failures stay visible here also when the fallback answers all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FallbackSnapshot {
    /// Results of the first service that were to be replaced, judged `Failure`.
    pub failure: u64,
    /// The same, judged `Refused`.
    pub refused: u64,
    /// The same, judged `Throttled`.
    pub throttled: u64,
    /// The same, judged `Unsuitable`.
    pub unsuitable: u64,
    /// The same, judged otherwise: errors that had to be answered.
    pub neutral: u64,
    /// Answers of the fallback.
    pub answered: u64,
    /// Errors, timeouts and panics of the fallback.
    pub failed: u64,
    /// Results that were returned as they were: the request can't be or must not be sent to the
    /// backup, its deadline has passed, or the budget was used up.
    pub withheld: u64,
}
