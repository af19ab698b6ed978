//! The calls of one case.

use crate::peers::{Always, TowerPolicy};
use crate::services::{Reader, drive, http_inner, http_request, inner};
use crate::{endpoints, frames};
use std::time::Duration;
use tower::{Layer, ServiceBuilder};
use tower_failover::circuit_breaker::CircuitBreakerLayer;
use tower_failover::fallback::FallbackLayer;
use tower_failover::hedge::HedgeLayer;
use tower_failover::retry::RetryLayer;
use tower_failover::trip::{FailureRatio, SlowRatio};

pub(crate) fn run_blocking(case: &str, pending: bool, calls: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    match pending {
        false => runtime.block_on(run::<false>(case, calls)),
        true => runtime.block_on(run::<true>(case, calls)),
    }
}

async fn run<const PENDING: bool>(case: &str, calls: u64) {
    match case {
        "bare" => drive(inner::<PENDING, _>(), calls, |call| call).await,
        "hedge" => {
            drive(HedgeLayer::plain().layer(inner::<PENDING, _>()), calls, |call| call).await;
        }
        _ if case.starts_with("tower p2c") => endpoints::run::<PENDING>(case, calls).await,
        _ if case.starts_with("tower") => tower_alone::<PENDING>(case, calls).await,
        _ if case.starts_with("http") => web::<PENDING>(case, calls).await,
        _ if case.starts_with("frames") => frames::run::<PENDING>(case, calls).await,
        _ if case.starts_with("breaker") => breaker::<PENDING>(case, calls).await,
        _ if case.contains("retry") || case.contains("fallback") => {
            attempts::<PENDING>(case, calls).await;
        }
        _ => endpoints::run::<PENDING>(case, calls).await,
    }
}

async fn tower_alone<const PENDING: bool>(case: &str, calls: u64) {
    let plain = |call| call;
    let second = Duration::from_secs(1);
    match case {
        "tower timeout" => {
            let service = ServiceBuilder::new().timeout(second).service(inner::<PENDING, _>());
            drive(service, calls, plain).await;
        }
        "tower hedge" => {
            let hedge = tower::hedge::Hedge::new(inner::<PENDING, _>(), Always, 10, 0.95, second);
            drive(hedge, calls, plain).await;
        }
        _ => {
            let policy = TowerPolicy::new(case.ends_with("budget"));
            let service = tower::retry::Retry::new(policy, inner::<PENDING, _>());
            drive(service, calls, plain).await;
        }
    }
}

/// Retry and fallback, alone and in a stack.
async fn attempts<const PENDING: bool>(case: &str, calls: u64) {
    let plain = |call| call;
    let retry = RetryLayer::plain().seed(1);
    let to_value = FallbackLayer::plain().value(|_| 0_u64);
    let to_service = FallbackLayer::plain().service(inner::<false, u64>());
    let builder = ServiceBuilder::new();
    match case {
        "retry" => drive(builder.layer(retry).service(inner::<PENDING, _>()), calls, plain).await,
        "fallback to a value" => {
            drive(builder.layer(to_value).service(inner::<PENDING, _>()), calls, plain).await;
        }
        "fallback to a service" => {
            drive(builder.layer(to_service).service(inner::<PENDING, _>()), calls, plain).await;
        }
        "fallback + retry" => {
            let service = builder.layer(to_service).layer(retry).service(inner::<PENDING, _>());
            drive(service, calls, plain).await;
        }
        "fallback + retry + breaker + timeout" => {
            let stack = builder
                .layer(to_value)
                .layer(retry)
                .layer(CircuitBreakerLayer::plain().seed(1))
                .timeout(Duration::from_secs(1));
            drive(stack.service(inner::<PENDING, _>()), calls, plain).await;
        }
        other => panic!("there is no case {other}"),
    }
}

async fn breaker<const PENDING: bool>(case: &str, calls: u64) {
    let plain = |call| call;
    let breaker = CircuitBreakerLayer::plain().seed(1);
    match case {
        "breaker" => {
            let service = ServiceBuilder::new().layer(breaker).service(inner::<PENDING, _>());
            drive(service, calls, plain).await;
        }
        "breaker, slow rule" => {
            let rule = SlowRatio::slower_than(Duration::from_secs(1));
            let service = breaker.trip_on(rule).layer(inner::<PENDING, _>());
            drive(service, calls, plain).await;
        }
        _ => {
            let rule = FailureRatio::percent::<50>().within(Duration::from_secs(3_600));
            let layer = breaker.trip_on(rule);
            let before = if case.contains("750") { 750 } else { 6_000 };
            drive(layer.layer(inner::<PENDING, _>()), before, plain).await;
            drive(layer.layer(inner::<PENDING, _>()), calls, plain).await;
        }
    }
}

async fn web<const PENDING: bool>(case: &str, calls: u64) {
    let request = |_| http_request();
    let retry = RetryLayer::http();
    match case {
        "http: bare" => drive(http_inner::<PENDING, _>(), calls, request).await,
        "http: breaker" => {
            let service = CircuitBreakerLayer::http().layer(http_inner::<PENDING, _>());
            drive(service, calls, request).await;
        }
        "http: retry" => {
            let service = ServiceBuilder::new().layer(retry).service(http_inner::<PENDING, _>());
            drive(service, calls, request).await;
        }
        _ => {
            let service = Reader(http_inner::<PENDING, _>());
            drive(ServiceBuilder::new().layer(retry).service(service), calls, request).await;
        }
    }
}
