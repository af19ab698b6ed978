//! What can be seen of a hedge layer from outside.

use super::delay::Wait;
use crate::reason::{ReasonCounts, reasons};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

reasons! {
    /// Why a hedge that was due was not sent.
    Skipped {
        NowhereElse => nowhere_else,
        OutOfTime => out_of_time,
        OutOfBudget => out_of_budget,
        NotReady => not_ready,
        NotReplayable => not_replayable,
        ToldNotTo => told_not_to,
    }
}

impl Skipped {
    /// Whether it may be otherwise one delay later.
    pub(super) const fn may_pass(self) -> bool {
        matches!(self, Self::OutOfBudget | Self::NotReady)
    }
}

/// Written where a hedge is due, and not on the way of other calls. Relaxed: statistics, nothing else is read
/// because of them.
#[derive(Debug, Default)]
pub(super) struct HedgeCounts {
    hedges: AtomicU64,
    won: AtomicU64,
    skipped: ReasonCounts<Skipped>,
}

impl HedgeCounts {
    pub(super) fn hedge(&self) {
        self.hedges.fetch_add(1, Relaxed);
    }

    pub(super) fn won(&self) {
        self.won.fetch_add(1, Relaxed);
    }

    pub(super) fn skipped(&self, why: Skipped) {
        self.skipped.add(why);
    }
}

/// Watches the services of one [`HedgeLayer`](super::HedgeLayer) from outside; clones watch the same.
#[derive(Clone)]
pub struct HedgeHandle {
    pub(super) counts: Arc<HedgeCounts>,
    /// Of the first service that was made.
    pub(super) wait: Arc<OnceLock<Arc<Wait>>>,
}

impl HedgeHandle {
    /// Reads the counts; those of calls in flight may be missing.
    #[must_use]
    pub fn snapshot(&self) -> HedgeSnapshot {
        let counts = &*self.counts;
        let skipped = |why: Skipped| counts.skipped.get(why);
        HedgeSnapshot {
            delay: self.wait.get().and_then(|wait| wait.delay_now()),
            hedges: counts.hedges.load(Relaxed),
            won: counts.won.load(Relaxed),
            nowhere_else: skipped(Skipped::NowhereElse),
            out_of_time: skipped(Skipped::OutOfTime),
            out_of_budget: skipped(Skipped::OutOfBudget),
            not_ready: skipped(Skipped::NotReady),
            not_replayable: skipped(Skipped::NotReplayable),
            told_not_to: skipped(Skipped::ToldNotTo),
        }
    }
}

impl fmt::Debug for HedgeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

/// How many hedges there were, what became of them, and for how many requests one that was due was not sent
/// at first, or not at all, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HedgeSnapshot {
    /// After which time a hedge is sent; none where too few latencies are known, and before there is a
    /// service.
    pub delay: Option<Duration>,
    /// Hedges that were sent.
    pub hedges: u64,
    /// Of those, the ones whose answer was taken.
    pub won: u64,
    /// No other endpoint was left to try.
    pub nowhere_else: u64,
    /// The deadline was too near.
    pub out_of_time: u64,
    /// The budget was used up.
    pub out_of_budget: u64,
    /// The service was not ready at that moment.
    pub not_ready: u64,
    /// Not all of the request was kept.
    pub not_replayable: u64,
    /// The answer of an attempt asked for no other one, or for one later.
    pub told_not_to: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    #[test]
    fn each_reason_has_its_field_in_the_snapshot() {
        let handle = HedgeHandle { counts: Arc::default(), wait: Arc::default() };
        for (at, why) in Skipped::ALL.iter().enumerate() {
            (0..=at).for_each(|_| handle.counts.skipped(*why));
        }
        let shown = format!("{:?}", handle.snapshot());
        for (at, why) in Skipped::ALL.iter().enumerate() {
            assert!(shown.contains(&format!(" {}: {}", why.name(), at + 1)), "{shown}: {why:?}");
        }
    }
}
