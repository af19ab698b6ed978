//! The configuration of a retry layer.

use super::handle::RetryCounts;
use crate::backoff::Backoff;
use crate::budget::Budget;
use crate::classify::Evidence;
use crate::outcome::Outcome;
use crate::replay::Replay;
use crate::rng::Seeds;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub(super) struct RetryPolicy<C, P> {
    pub(super) classify: C,
    pub(super) kind: P,
    pub(super) max_retries: u32,
    pub(super) budget: Option<Budget>,
    pub(super) backoff: Backoff,
    pub(super) deadline: Option<Duration>,
    pub(super) min_attempt: Duration,
    pub(super) max_hint: Duration,
    pub(super) elsewhere_at_once: bool,
    pub(super) seeds: Arc<Seeds>,
    pub(super) counts: Arc<RetryCounts>,
}

impl<C, P> RetryPolicy<C, P> {
    pub(super) fn new(classify: C, kind: P) -> Self {
        Self {
            classify,
            kind,
            max_retries: 2,
            budget: Some(Budget::new()),
            backoff: Backoff::default(),
            deadline: None,
            min_attempt: Duration::from_millis(10),
            max_hint: Duration::from_secs(60),
            elsewhere_at_once: true,
            seeds: Arc::new(Seeds::random()),
            counts: Arc::default(),
        }
    }

    /// Whether the request can be sent again, if it fails and may have done the work.
    pub(super) fn may_follow<Req>(&self, copies: &P::Copies) -> bool
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
    ) -> RetryPolicy<D, Q> {
        RetryPolicy {
            classify: classify(self.classify),
            kind: kind(self.kind),
            max_retries: self.max_retries,
            budget: self.budget,
            backoff: self.backoff,
            deadline: self.deadline,
            min_attempt: self.min_attempt,
            max_hint: self.max_hint,
            elsewhere_at_once: self.elsewhere_at_once,
            seeds: self.seeds,
            counts: self.counts,
        }
    }
}

impl<C, P> fmt::Debug for RetryPolicy<C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("max_retries", &self.max_retries)
            .field("budget", &self.budget)
            .field("backoff", &self.backoff)
            .field("deadline", &self.deadline)
            .field("min_attempt", &self.min_attempt)
            .field("max_hint", &self.max_hint)
            .field("elsewhere_at_once", &self.elsewhere_at_once)
            .finish_non_exhaustive()
    }
}
