//! What a circuit breaker was told.

use crate::circuit::{Settings, TripRule};
use crate::classify::{Classify, Evidence};
use crate::error::BoxError;
use crate::outcome::Outcome;
use crate::ratio::Ratio;
use crate::rng::Seeds;
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

impl<C, P> BreakerPolicy<C, P> {
    /// Judges a result, or tells the evidence for the outcome that was found for it.
    pub(super) fn judge<Res>(
        &self,
        result: Result<&Res, &BoxError>,
        outcome: Option<Outcome>,
    ) -> (Outcome, Evidence)
    where
        C: Classify<Res, BoxError>,
    {
        let outcome = outcome.unwrap_or_else(|| self.classify.classify(result));
        let failed = outcome.is_failed();
        (outcome, if failed { self.classify.evidence(result) } else { Evidence::default() })
    }
}

/// What circuits are made with.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) name: Arc<str>,
    /// None: the default rule.
    pub(super) rules: Vec<TripRule>,
    pub(super) settings: Settings,
    pub(super) seeds: Arc<Seeds>,
    pub(super) count_throttled: bool,
    pub(super) hang_after: HangAfter,
    pub(super) body_hang_after: Option<Duration>,
}

/// When a call that its caller gives up counts as failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum HangAfter {
    /// By the latency of good calls.
    Latency,
    Fixed(Duration),
    Never,
}

/// The latency of good calls times this is more than bad luck.
const HANG_LATENCIES: u32 = 5;
const HANG_AT_LEAST: Duration = Duration::from_millis(500);
const HANG_AT_MOST: Duration = Duration::from_secs(10);

impl HangAfter {
    pub(super) fn time(self, latency: impl FnOnce() -> Option<Duration>) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Fixed(time) => Some(time),
            Self::Latency => {
                let time = latency().unwrap_or_default().saturating_mul(HANG_LATENCIES);
                Some(time.clamp(HANG_AT_LEAST, HANG_AT_MOST))
            }
        }
    }
}

impl Terms {
    pub(super) fn new() -> Self {
        Self {
            name: Arc::from("circuit"),
            rules: Vec::new(),
            settings: Settings::default(),
            seeds: Arc::new(Seeds::random()),
            count_throttled: false,
            hang_after: HangAfter::Latency,
            body_hang_after: None,
        }
    }

    pub(super) fn rules(&self) -> &[TripRule] {
        const DEFAULT: &[TripRule] = &[TripRule::failure_ratio(Ratio::percent::<50>())];
        if self.rules.is_empty() { DEFAULT } else { &self.rules }
    }
}
