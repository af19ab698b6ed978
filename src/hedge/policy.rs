//! The configuration of a hedge layer.

use super::delay::{LateWait, Percentile, Wait};
use super::handle::HedgeCounts;
use crate::budget::Budget;
use crate::classify::Evidence;
use crate::outcome::Outcome;
use crate::ratio::Ratio;
use crate::replay::Replay;
use std::fmt;
use std::sync::Arc;

/// `W`: the delay of a service, or what the layer was configured about it.
#[derive(Clone)]
pub(super) struct HedgePolicy<C, P, W = Arc<Wait>> {
    pub(super) classify: C,
    pub(super) kind: P,
    pub(super) max_hedges: u32,
    pub(super) budget: Option<Budget>,
    pub(super) wait: W,
    pub(super) neutral_wins: bool,
    pub(super) same_endpoint: bool,
    pub(super) counts: Arc<HedgeCounts>,
}

impl<C, P> HedgePolicy<C, P, LateWait> {
    pub(super) fn new(classify: C, kind: P) -> Self {
        Self {
            classify,
            kind,
            max_hedges: 1,
            budget: Some(Budget::new().ratio(Ratio::percent::<5>()).min_per_second(1)),
            wait: LateWait::new(Percentile::default().into()),
            neutral_wins: false,
            same_endpoint: false,
            counts: Arc::default(),
        }
    }

    /// That of a service.
    pub(super) fn made(self) -> HedgePolicy<C, P> {
        self.map(|same| same, |same| same, |wait| wait.get())
    }
}

impl<C, P> HedgePolicy<C, P> {
    /// Whether the request may be at two places at once.
    #[inline]
    pub(super) fn may_hedge<Req>(&self, copies: &P::Copies) -> bool
    where
        P: Replay<Req>,
    {
        self.kind.may_repeat(copies, Outcome::Failure, &Evidence::default())
    }
}

impl<C, P, W> HedgePolicy<C, P, W> {
    /// The same with another judgement, kind of request, or delay.
    pub(super) fn map<D, Q, V>(
        self,
        classify: impl FnOnce(C) -> D,
        kind: impl FnOnce(P) -> Q,
        wait: impl FnOnce(W) -> V,
    ) -> HedgePolicy<D, Q, V> {
        HedgePolicy {
            classify: classify(self.classify),
            kind: kind(self.kind),
            max_hedges: self.max_hedges,
            budget: self.budget,
            wait: wait(self.wait),
            neutral_wins: self.neutral_wins,
            same_endpoint: self.same_endpoint,
            counts: self.counts,
        }
    }
}

impl<C, P, W: fmt::Debug> fmt::Debug for HedgePolicy<C, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgePolicy")
            .field("max_hedges", &self.max_hedges)
            .field("budget", &self.budget)
            .field("wait", &self.wait)
            .field("neutral_wins", &self.neutral_wins)
            .field("same_endpoint", &self.same_endpoint)
            .finish_non_exhaustive()
    }
}
