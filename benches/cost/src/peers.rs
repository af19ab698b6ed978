//! tower's own: retry and hedge, with the policies that they need, and the timeout.

use crate::services::{Fail, OfNumbers, inner};
use std::hint::black_box;
use std::time::Duration;
use tower::ServiceBuilder;
use tower::retry::backoff::{
    Backoff as _, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff,
};
use tower::retry::budget::{Budget as _, TpsBudget};

pub(crate) fn retry<const PENDING: bool>(budget: bool) -> impl OfNumbers {
    tower::retry::Retry::new(TowerPolicy::new(budget), inner::<PENDING, _>())
}

pub(crate) fn hedge<const PENDING: bool>() -> impl OfNumbers {
    let second = Duration::from_secs(1);
    tower::hedge::Hedge::new(inner::<PENDING, _>(), Always, 10, 0.95, second)
}

pub(crate) fn timeout<const PENDING: bool>() -> impl OfNumbers {
    ServiceBuilder::new().timeout(Duration::from_secs(1)).service(inner::<PENDING, _>())
}

/// tower's retry needs a policy that is written by hand; this is the one of its documentation.
#[derive(Clone)]
struct TowerPolicy {
    left: usize,
    backoff: Option<(ExponentialBackoff, std::sync::Arc<TpsBudget>)>,
}

impl TowerPolicy {
    fn new(budget: bool) -> Self {
        let ms = Duration::from_millis;
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
struct Always;

impl tower::hedge::Policy<u64> for Always {
    fn clone_request(&self, request: &u64) -> Option<u64> {
        Some(*request)
    }

    fn can_retry(&self, _: &u64) -> bool {
        true
    }
}
