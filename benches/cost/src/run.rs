//! The services of the cases, and the calls of one case.

use crate::peers;
use crate::services::{OfNumbers, Reader, drive, http_inner, http_request, inner};
use crate::{endpoints, frames};
use std::time::Duration;
use tower::{Layer, ServiceBuilder};
use tower_failover::circuit_breaker::CircuitBreakerLayer;
use tower_failover::classify::ErrorsOnly;
use tower_failover::fallback::FallbackLayer;
use tower_failover::hedge::HedgeLayer;
use tower_failover::replay::Plain;
use tower_failover::retry::RetryLayer;
use tower_failover::trip::{FailureRatio, SlowRatio};

pub(crate) fn run_blocking(case: &str, pending: bool, calls: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    match pending {
        false => runtime.block_on(run::<false>(case, calls)),
        true => runtime.block_on(run::<true>(case, calls)),
    }
}

// All cases are polled by this one future: a call that is pending passes as many futures as the bare one does, and
// what it costs above that is the layers' own.
async fn run<const PENDING: bool>(case: &str, calls: u64) {
    let (plain, http) = (|call| call, |_| http_request());
    match case {
        "bare" => drive(inner::<PENDING, _>(), calls, plain).await,
        "tower retry" => drive(peers::retry::<PENDING>(false), calls, plain).await,
        "tower retry, budget" => drive(peers::retry::<PENDING>(true), calls, plain).await,
        "tower hedge" => drive(peers::hedge::<PENDING>(), calls, plain).await,
        "tower timeout" => drive(peers::timeout::<PENDING>(), calls, plain).await,
        "retry" => drive(retry::<PENDING>(), calls, plain).await,
        "fallback to a value" => drive(to_value::<PENDING>(), calls, plain).await,
        "fallback to a service" => drive(to_service::<PENDING>(), calls, plain).await,
        "fallback + retry" => drive(to_service_retried::<PENDING>(), calls, plain).await,
        "fallback + retry + breaker + timeout" => drive(stack::<PENDING>(), calls, plain).await,
        "hedge" => drive(HedgeLayer::plain().layer(inner::<PENDING, _>()), calls, plain).await,
        "breaker" => drive(breaker().layer(inner::<PENDING, _>()), calls, plain).await,
        "breaker, slow rule" => drive(slow_rule::<PENDING>(), calls, plain).await,
        "breaker, after 750 calls" | "breaker, after 6000 calls" => {
            let layer = breaker_of_an_hour();
            let before = if case.contains("750") { 750 } else { 6_000 };
            drive(layer.layer(inner::<PENDING, _>()), before, plain).await;
            drive(layer.layer(inner::<PENDING, _>()), calls, plain).await;
        }
        "http: bare" => drive(http_inner::<PENDING, _>(), calls, http).await,
        "http: retry" => {
            drive(RetryLayer::http().layer(http_inner::<PENDING, _>()), calls, http).await;
        }
        "http: retry, reader" => {
            let service = Reader(http_inner::<PENDING, _>());
            drive(RetryLayer::http().layer(service), calls, http).await;
        }
        "http: breaker" => {
            drive(CircuitBreakerLayer::http().layer(http_inner::<PENDING, _>()), calls, http).await;
        }
        frames if frames.starts_with("frames") => frames::run::<PENDING>(frames, calls).await,
        other => endpoints::run::<PENDING>(other, calls).await,
    }
}

type Breaker = CircuitBreakerLayer<ErrorsOnly, Plain>;

fn retry<const PENDING: bool>() -> impl OfNumbers {
    RetryLayer::plain().seed(1).layer(inner::<PENDING, _>())
}

fn to_value<const PENDING: bool>() -> impl OfNumbers {
    FallbackLayer::plain().value(|_| 0_u64).layer(inner::<PENDING, _>())
}

fn to_service<const PENDING: bool>() -> impl OfNumbers {
    FallbackLayer::plain().service(inner::<false, u64>()).layer(inner::<PENDING, _>())
}

fn to_service_retried<const PENDING: bool>() -> impl OfNumbers {
    ServiceBuilder::new()
        .layer(FallbackLayer::plain().service(inner::<false, u64>()))
        .layer(RetryLayer::plain().seed(1))
        .service(inner::<PENDING, _>())
}

fn stack<const PENDING: bool>() -> impl OfNumbers {
    ServiceBuilder::new()
        .layer(FallbackLayer::plain().value(|_| 0_u64))
        .layer(RetryLayer::plain().seed(1))
        .layer(breaker())
        .timeout(Duration::from_secs(1))
        .service(inner::<PENDING, _>())
}

fn breaker() -> Breaker {
    CircuitBreakerLayer::plain().seed(1)
}

fn breaker_of_an_hour() -> Breaker {
    breaker().trip_on(FailureRatio::percent::<50>().within(Duration::from_secs(3_600)))
}

fn slow_rule<const PENDING: bool>() -> impl OfNumbers {
    let rule = SlowRatio::slower_than(Duration::from_secs(1));
    breaker().trip_on(rule).layer(inner::<PENDING, _>())
}
