//! tower's retry and hedge, with the policies that they need.

use crate::services::Fail;
use std::hint::black_box;
use tower::retry::backoff::{
    Backoff as _, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff,
};
use tower::retry::budget::{Budget as _, TpsBudget};

/// tower's retry needs a policy that is written by hand; this is the one of its documentation.
#[derive(Clone)]
pub(crate) struct TowerPolicy {
    left: usize,
    backoff: Option<(ExponentialBackoff, std::sync::Arc<TpsBudget>)>,
}

impl TowerPolicy {
    pub(crate) fn new(budget: bool) -> Self {
        let ms = std::time::Duration::from_millis;
        let rng = tower::util::rng::HasherRng::default();
        let mut backoff = ExponentialBackoffMaker::new(ms(100), ms(5_000), 0.5, rng).unwrap();
        let paid = budget.then(|| (backoff.make_backoff(), std::sync::Arc::default()));
        Self { left: 2, backoff: paid }
    }
}

impl tower::retry::Policy<u64, u64, Fail> for TowerPolicy {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, Fail>) -> Option<Self::Future> {
        match (&mut self.backoff, result) {
            (Some((_, budget)), Ok(_)) => {
                budget.deposit();
                None
            }
            (Some((backoff, budget)), Err(_)) if self.left > 0 && budget.withdraw() => {
                self.left -= 1;
                let _delay = black_box(backoff.next_backoff());
                Some(std::future::ready(()))
            }
            (None, Err(_)) if self.left > 0 => {
                self.left -= 1;
                Some(std::future::ready(()))
            }
            _ => None,
        }
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

/// tower's hedge of every call.
#[derive(Clone)]
pub(crate) struct Always;

impl tower::hedge::Policy<u64> for Always {
    fn clone_request(&self, request: &u64) -> Option<u64> {
        Some(*request)
    }

    fn can_retry(&self, _: &u64) -> bool {
        true
    }
}
