//! The configuration of a hedge layer.

use super::delay::{Delay, Percentile, Wait};
use super::handle::HedgeCounts;
use crate::budget::Budget;
use crate::classify::Evidence;
use crate::clock;
use crate::outcome::Outcome;
use crate::ratio::Ratio;
use crate::replay::Replay;
use std::fmt;
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct HedgePolicy<C, P> {
    pub(super) classify: C,
    pub(super) kind: P,
    pub(super) max_hedges: u32,
    pub(super) budget: Option<Budget>,
    pub(super) wait: Arc<Wait>,
    pub(super) neutral_wins: bool,
    pub(super) same_endpoint: bool,
    pub(super) counts: Arc<HedgeCounts>,
}

impl<C, P> HedgePolicy<C, P> {
    pub(super) fn new(classify: C, kind: P) -> Self {
        Self {
            classify,
            kind,
            max_hedges: 1,
            budget: Some(Budget::new().ratio(Ratio::percent::<5>()).min_per_second(1)),
            wait: Self::wait(Percentile::default().into()),
            neutral_wins: false,
            same_endpoint: false,
            counts: Arc::default(),
        }
    }

    pub(super) fn wait(delay: Delay) -> Arc<Wait> {
        Arc::new(Wait::new(delay, clock::now()))
    }

    /// Whether the request may be at two places at once.
    #[inline]
    pub(super) fn may_hedge<Req>(&self, copies: &P::Copies) -> bool
    where
        P: Replay<Req>,
    {
        self.kind.may_repeat(copies, Outcome::Failure, &Evidence::default())
    }

    /// The same with another judgement and kind of request.
    pub(super) fn map<D, Q>(
        self,
        classify: impl FnOnce(C) -> D,
        kind: impl FnOnce(P) -> Q,
    ) -> HedgePolicy<D, Q> {
        HedgePolicy {
            classify: classify(self.classify),
            kind: kind(self.kind),
            max_hedges: self.max_hedges,
            budget: self.budget,
            wait: self.wait,
            neutral_wins: self.neutral_wins,
            same_endpoint: self.same_endpoint,
            counts: self.counts,
        }
    }
}

impl<C, P> fmt::Debug for HedgePolicy<C, P> {
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
