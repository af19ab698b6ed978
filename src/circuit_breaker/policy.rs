//! The configuration of a circuit breaker.

use crate::attempt::HangAfter;
use crate::circuit::CircuitConfig;
use crate::rng::Seeds;
use crate::trip::{FailureRatio, TripRule};
use std::sync::Arc;
use std::time::Duration;

/// How calls are judged and followed to their end.
#[derive(Clone, Debug)]
pub(super) struct BreakerPolicy<C, P> {
    pub(super) classify: C,
    pub(super) kind: P,
    /// `poll_ready` waits while calls are refused.
    pub(super) gated: bool,
}

/// What circuits are made with.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct BreakerConfig {
    pub(super) name: Arc<str>,
    /// None: the default rule.
    pub(super) rules: Vec<TripRule>,
    pub(super) circuit: CircuitConfig,
    pub(super) seeds: Arc<Seeds>,
    pub(super) count_throttled: bool,
    pub(super) hang_after: HangAfter,
    pub(super) body_hang_after: Option<Duration>,
}

impl BreakerConfig {
    pub(super) fn new() -> Self {
        Self {
            name: Arc::from("circuit"),
            rules: Vec::new(),
            circuit: CircuitConfig::default(),
            seeds: Arc::new(Seeds::random()),
            count_throttled: false,
            hang_after: HangAfter::Latency,
            body_hang_after: None,
        }
    }

    pub(super) fn rules(&self) -> &[TripRule] {
        const DEFAULT: &[TripRule] = &[FailureRatio::percent::<50>().rule()];
        if self.rules.is_empty() { DEFAULT } else { &self.rules }
    }
}
