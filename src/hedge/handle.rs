//! What can be seen of a hedge layer from outside.

use super::delay::Wait;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Why a hedge that was due was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    NowhereElse,
    OutOfTime,
    OutOfBudget,
    NotReady,
    NotReplayable,
    ToldNotTo,
}

impl Skipped {
    /// Whether it may be otherwise one delay later.
    pub(super) const fn may_pass(self) -> bool {
        matches!(self, Self::OutOfBudget | Self::NotReady)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NowhereElse => "nowhere_else",
            Self::OutOfTime => "out_of_time",
            Self::OutOfBudget => "out_of_budget",
            Self::NotReady => "not_ready",
            Self::NotReplayable => "not_replayable",
            Self::ToldNotTo => "told_not_to",
        }
    }
}

/// Written where a hedge is due, and not on the way of other calls. Relaxed: statistics, nothing else is read
/// because of them.
#[derive(Debug, Default)]
pub(super) struct HedgeCounts {
    hedges: AtomicU64,
    won: AtomicU64,
    skipped: [AtomicU64; 6],
}

impl HedgeCounts {
    pub(super) fn hedge(&self) {
        self.hedges.fetch_add(1, Relaxed);
    }

    pub(super) fn won(&self) {
        self.won.fetch_add(1, Relaxed);
    }

    pub(super) fn skipped(&self, why: Skipped) {
        self.skipped[why as usize].fetch_add(1, Relaxed);
    }
}

/// Watches the services of one [`HedgeLayer`](super::HedgeLayer) from outside; clones watch the same.
#[derive(Clone)]
pub struct HedgeHandle {
    pub(super) counts: Arc<HedgeCounts>,
    pub(super) wait: Arc<Wait>,
}

impl HedgeHandle {
    /// Reads the counts; those of calls in flight may be missing.
    #[must_use]
    pub fn snapshot(&self) -> HedgeSnapshot {
        let counts = &*self.counts;
        let skipped = |why: Skipped| counts.skipped[why as usize].load(Relaxed);
        HedgeSnapshot {
            delay: self.wait.delay_now(),
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
    /// After which time a hedge is sent; none where too few latencies are known.
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
