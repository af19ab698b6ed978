//! The events of an ejection.

use super::endpoint_ref::EndpointRef;
use crate::circuit::{Change, CircuitState};

/// Tells that the circuit of an endpoint has changed.
pub(super) fn notify(endpoint: EndpointRef<'_>, change: &Change) {
    let (endpoint, from, state) = (endpoint.name, change.from.name(), change.to.name());
    match change.to {
        CircuitState::Open => tracing::info!(
            target: "tower_failover::balance",
            endpoint, from, state, next_trial = ?change.next_trial, "ejected"
        ),
        CircuitState::HalfOpen => tracing::debug!(
            target: "tower_failover::balance", endpoint, from, state, "trial"
        ),
        _ => tracing::info!(
            target: "tower_failover::balance", endpoint, from, state, "returned"
        ),
    }
}
