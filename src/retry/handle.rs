//! What can be seen of a retry layer from outside.

use crate::reason::{ReasonCounts, reasons};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

reasons! {
    /// Why a request that failed gets no further attempt.
    GaveUp {
        NowhereElse => nowhere_else,
        NotRepeatable => not_repeatable,
        NotReplayable => not_replayable,
        OutOfRetries => out_of_retries,
        OutOfBudget => out_of_budget,
        OutOfTime => out_of_time,
        ToldNotTo => told_not_to,
        ToldToWaitTooLong => told_to_wait_too_long,
    }
}

/// Written on the bad path only. Relaxed: statistics, nothing else is read because of them.
#[derive(Debug, Default)]
pub(super) struct RetryCounts {
    retries: AtomicU64,
    gave_up: ReasonCounts<GaveUp>,
}

impl RetryCounts {
    pub(super) fn retry(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn gave_up(&self, why: GaveUp) {
        self.gave_up.add(why);
    }
}

/// Watches the services of one [`RetryLayer`](super::RetryLayer) from outside; clones watch the same.
#[derive(Clone)]
pub struct RetryHandle(pub(super) Arc<RetryCounts>);

impl RetryHandle {
    /// Reads the counts; those of calls in flight may be missing.
    #[must_use]
    pub fn snapshot(&self) -> RetrySnapshot {
        let gave_up = |why: GaveUp| self.0.gave_up.get(why);
        RetrySnapshot {
            retries: self.0.retries.load(Relaxed),
            nowhere_else: gave_up(GaveUp::NowhereElse),
            not_repeatable: gave_up(GaveUp::NotRepeatable),
            not_replayable: gave_up(GaveUp::NotReplayable),
            out_of_retries: gave_up(GaveUp::OutOfRetries),
            out_of_budget: gave_up(GaveUp::OutOfBudget),
            out_of_time: gave_up(GaveUp::OutOfTime),
            told_not_to: gave_up(GaveUp::ToldNotTo),
            told_to_wait_too_long: gave_up(GaveUp::ToldToWaitTooLong),
        }
    }
}

impl fmt::Debug for RetryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// How many retries there were, and why requests that failed got none (any more).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetrySnapshot {
    /// Retries that were started.
    pub retries: u64,
    /// Only another endpoint would have helped, and none was left to try.
    pub nowhere_else: u64,
    /// The request must not reach the other side twice.
    pub not_repeatable: u64,
    /// The request could not be copied, or not all of its body was kept.
    pub not_replayable: u64,
    /// It had all its retries.
    pub out_of_retries: u64,
    /// The budget was used up.
    pub out_of_budget: u64,
    /// The deadline would have passed before the next attempt.
    pub out_of_time: u64,
    /// The answer asked for no retry.
    pub told_not_to: u64,
    /// The answer asked for a longer delay than `max_hint`.
    pub told_to_wait_too_long: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn each_reason_has_its_field_in_the_snapshot() {
        let handle = RetryHandle(Arc::default());
        for (at, why) in GaveUp::ALL.iter().enumerate() {
            (0..=at).for_each(|_| handle.0.gave_up(*why));
        }
        let shown = format!("{:?}", handle.snapshot());
        for (at, why) in GaveUp::ALL.iter().enumerate() {
            assert!(shown.contains(&format!(" {}: {}", why.name(), at + 1)), "{shown}: {why:?}");
        }
    }
}
