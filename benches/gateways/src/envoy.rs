//! Envoy, set to do what it can about these faults.
//!
//! Two retries elsewhere within a budget of 20 %, an attempt ends after 250 ms, an endpoint is ejected for
//! 2 to 10 s after three failures in a row, and the one with the fewest requests is asked. Hedged, an
//! attempt that has not answered after 25 ms stays and another one begins beside it.

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const API: &str = "type.googleapis.com/envoy.extensions";

pub(crate) fn command(program: &Path, hedge: bool, port: u16, backends: &[u16]) -> Command {
    let mut command = Command::new(program);
    command.args(["--config-yaml", &settings(hedge, port, backends).to_string()]);
    // one worker, as the others have
    command.args(["--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]);
    command
}

fn settings(hedge: bool, port: u16, backends: &[u16]) -> Value {
    let manager = json!({
        "@type": format!("{API}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "gateway",
        "http_filters": [{
            "name": "router",
            "typed_config": { "@type": format!("{API}.filters.http.router.v3.Router") },
        }],
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": route(hedge) }],
        }] },
    });
    json!({ "static_resources": {
        "clusters": [cluster(backends)],
        "listeners": [{
            "name": "front",
            "address": address(port),
            "enable_reuse_port": false,
            "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
        }],
    } })
}

fn route(hedge: bool) -> Value {
    let elsewhere = json!({
        "name": "elsewhere",
        "typed_config": {
            "@type": format!("{API}.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
        },
    });
    json!({
        "cluster": "backends",
        "timeout": "3s",
        "hedge_policy": { "hedge_on_per_try_timeout": hedge },
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,reset,5xx",
            "num_retries": 2,
            "per_try_timeout": if hedge { "0.025s" } else { "0.25s" },
            "retry_back_off": { "base_interval": "0.005s", "max_interval": "0.05s" },
            "retry_host_predicate": [elsewhere],
            "host_selection_retry_max_attempts": 5,
        },
    })
}

fn cluster(backends: &[u16]) -> Value {
    let endpoints: Vec<Value> =
        backends.iter().map(|port| json!({ "endpoint": { "address": address(*port) } })).collect();
    json!({
        "name": "backends",
        "type": "STATIC",
        "connect_timeout": "0.25s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": {
            "cluster_name": "backends",
            "endpoints": [{ "lb_endpoints": endpoints }],
        },
        "outlier_detection": {
            "interval": "0.5s",
            "consecutive_5xx": 3,
            "consecutive_gateway_failure": 3,
            "enforcing_consecutive_gateway_failure": 100,
            "base_ejection_time": "2s",
            "max_ejection_time": "10s",
            "max_ejection_time_jitter": "0s",
            "max_ejection_percent": 67,
        },
        // with two of three ejected, the third is still preferred
        "common_lb_config": { "healthy_panic_threshold": { "value": 20 } },
        "circuit_breakers": { "thresholds": [{
            "max_requests": 4096,
            "max_pending_requests": 4096,
            "retry_budget": { "budget_percent": { "value": 20 }, "min_retry_concurrency": 10 },
        }] },
    })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}
