//! The cases over sets of endpoints: ours, and tower's `p2c`, which needs no more than this but a `Buffer`
//! where it is to be cloned.

use super::{drive, inner};
use std::fmt;
use std::time::Duration;
use tower::balance::p2c;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PeakEwma};
use tower::{Layer, Service};
use tower_failover::balance::{Balance, BalanceLayer, Endpoint, Endpoints};
use tower_failover::classify::ErrorsOnly;
use tower_failover::replay::Plain;

pub(super) fn set<S>(count: usize, service: impl Fn() -> S) -> Endpoints<S> {
    (0..count).map(|index| Endpoint::new(index.to_string(), service())).collect()
}

fn balance<S>(count: usize, service: impl Fn() -> S) -> Balance<S, ErrorsOnly, Plain> {
    BalanceLayer::plain().seed(1).layer(set(count, service))
}

fn count(case: &str) -> usize {
    case.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a case ends with a number")
}

/// Drives a case whose name begins with `balance` or `tower p2c`, and ends with a number of endpoints.
pub(super) async fn run<const PENDING: bool>(case: &str, calls: u64) {
    let count = count(case);
    if case.starts_with("balance") {
        drive(balance(count, inner::<PENDING, u64>), calls, |call| call).await;
    } else {
        drive(p2c::<PENDING>(count), calls, |call| call).await;
    }
}

fn p2c<const PENDING: bool>(count: usize) -> impl Service<u64, Response = u64, Error: fmt::Debug> {
    let load = |_| {
        let (rtt, decay) = (Duration::from_millis(30), Duration::from_secs(10).as_nanos() as f64);
        PeakEwma::new(inner::<PENDING, u64>(), rtt, decay, CompleteOnResponse::default())
    };
    p2c::Balance::new(ServiceList::new::<u64>((0..count).map(load).collect::<Vec<_>>()))
}
