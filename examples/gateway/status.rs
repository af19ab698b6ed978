//! What goes on, as JSON and as a page.

use super::cli::Args;
use super::proxy::{Handles, OwnAnswers};
use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::Redirect;
use axum::routing::get;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;
use tower_failover::balance::EndpointSnapshot;
use tower_failover::hedge::HedgeHandle;

const PAGE: &str = include_str!("page.html");

/// The page asks for nothing but the status.
const ONLY_ITSELF: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// What the status is read from.
pub(crate) struct Watch {
    pub(crate) endpoints: Box<dyn Fn() -> Vec<EndpointSnapshot> + Send + Sync>,
    pub(crate) handles: Handles,
    pub(crate) own: Arc<OwnAnswers>,
    pub(crate) requests: Arc<AtomicU64>,
    pub(crate) started: Instant,
    pub(crate) urls: HashMap<String, String>,
}

impl Watch {
    fn status(&self) -> Value {
        let endpoints = (self.endpoints)();
        let endpoints: Vec<_> = endpoints.iter().map(|endpoint| self.endpoint(endpoint)).collect();
        json!({ "gateway": self.gateway(), "endpoints": endpoints })
    }

    fn gateway(&self) -> Value {
        let count = |count: &AtomicU64| count.load(Relaxed);
        let (retries, own) = (self.handles.retries.snapshot(), &*self.own);
        let hedges = self.handles.hedges.as_ref().map(HedgeHandle::snapshot).unwrap_or_default();
        json!({
            "uptime_s": self.started.elapsed().as_secs_f64(),
            "requests": count(&self.requests),
            "retries": retries.retries,
            // why requests that failed got no further attempt
            "gave_up": {
                "nowhere_else": retries.nowhere_else,
                "not_repeatable": retries.not_repeatable,
                "not_replayable": retries.not_replayable,
                "out_of_retries": retries.out_of_retries,
                "out_of_budget": retries.out_of_budget,
                "out_of_time": retries.out_of_time,
                "told_not_to": retries.told_not_to,
                "told_to_wait_too_long": retries.told_to_wait_too_long,
            },
            "hedges": hedges.hedges,
            "hedges_won": hedges.won,
            "hedge_after_ms": hedges.delay.map(millis),
            // why hedges that were due were not sent
            "not_hedged": {
                "nowhere_else": hedges.nowhere_else,
                "out_of_time": hedges.out_of_time,
                "out_of_budget": hedges.out_of_budget,
                "not_ready": hedges.not_ready,
                "not_replayable": hedges.not_replayable,
                "told_not_to": hedges.told_not_to,
            },
            // what callers were told when no endpoint had an answer for them
            "answered_here": {
                "bad_request": count(&own.bad_request),
                "bad_gateway": count(&own.bad_gateway),
                "unavailable": count(&own.unavailable),
                "timed_out": count(&own.timed_out),
            },
        })
    }

    fn endpoint(&self, endpoint: &EndpointSnapshot) -> Value {
        let counts = &endpoint.counts;
        json!({
            "name": &*endpoint.name,
            "url": self.urls.get(&*endpoint.name),
            "tier": endpoint.tier,
            "weight": endpoint.weight,
            "state": endpoint.state.name(),
            "health": endpoint.health,
            "in_flight": endpoint.in_flight,
            "latency_ms": endpoint.latency.map(millis),
            "ejected_for_ms": endpoint.out_for.map(millis),
            "ejections": endpoint.ejections,
            "counts": {
                "successes": counts.successes,
                "failures": counts.failures,
                "refused": counts.refused,
                "throttled": counts.throttled,
                "unsuitable": counts.unsuitable,
                "neutral": counts.neutral,
            },
        })
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// By the names of the endpoints.
pub(crate) fn urls(args: &Args) -> HashMap<String, String> {
    args.endpoints.iter().map(|endpoint| (endpoint.name.clone(), endpoint.url())).collect()
}

/// The page, what it polls, and the way there.
pub(crate) fn pages(watch: Watch) -> Router {
    let watch = Arc::new(watch);
    let status = move || {
        let status = watch.status().to_string();
        let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
        async { (headers, status) }
    };
    let page = || async {
        let headers = [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CACHE_CONTROL, "no-store"),
            (CONTENT_SECURITY_POLICY, ONLY_ITSELF),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (headers, PAGE)
    };
    Router::new()
        .route("/_failover", get(|| async { Redirect::permanent("/_failover/") }))
        .route("/_failover/", get(page))
        .route("/_failover/status", get(status))
}
