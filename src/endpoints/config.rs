//! The configuration of a set.

use crate::attempt::HangAfter;
use crate::backoff::Backoff;
use crate::circuit::CircuitConfig;
use crate::ratio::Ratio;
use crate::trip::{Consecutive, TripRule};
use std::sync::Arc;
use std::time::Duration;

/// How endpoints are judged.
#[derive(Clone, Debug)]
pub(crate) struct SetConfig {
    pub(crate) name: Arc<str>,
    /// When an endpoint is ejected; none: the default rule.
    pub(crate) rules: Vec<TripRule>,
    pub(crate) circuit: CircuitConfig,
    pub(crate) max_ejected: Ratio,
    pub(crate) max_cool_down: Duration,
    pub(crate) slow_start: Duration,
    pub(crate) panic_threshold: Ratio,
    pub(crate) max_in_flight: u32,
    /// The latency is that of whole answers, not that of their heads.
    pub(crate) whole_latency: bool,
    pub(crate) hang_after: HangAfter,
    pub(crate) body_hang_after: Option<Duration>,
}

/// So many failures in a row, with no success between, are more than bad luck; what fails now and then is
/// avoided by its health.
const DEFAULT: Consecutive = Consecutive::count::<3>();

impl Default for SetConfig {
    fn default() -> Self {
        let circuit = CircuitConfig {
            open_for: Self::pauses(),
            forget_after: Duration::from_secs(20),
            trials: 1,
            // a trial is a call of a user: one that went well is enough, and the ramp does the rest
            successes: 1,
            ..CircuitConfig::default()
        };
        Self {
            name: Arc::from("balance"),
            rules: Vec::new(),
            circuit,
            max_ejected: Ratio::percent::<50>(),
            max_cool_down: Duration::from_secs(60),
            slow_start: Duration::from_secs(10),
            panic_threshold: Ratio::percent::<50>(),
            max_in_flight: u32::MAX,
            whole_latency: false,
            hang_after: HangAfter::Latency,
            body_hang_after: None,
        }
    }
}

impl SetConfig {
    /// The pauses between trials. Who was out for a moment is back in one; an outage of up to nine seconds is
    /// over within 1.6 s of its end, one of half a minute within 5 s, and one of minutes costs few calls.
    fn pauses() -> Backoff {
        let mut millis = vec![500, 1_000];
        millis.extend([1_300; 6]);
        millis.extend([4_000; 5]);
        millis.extend([8_000, 15_000, 30_000]);
        Backoff::sequence(millis.into_iter().map(Duration::from_millis))
            .jitter(CircuitConfig::OPEN_JITTER)
    }

    pub(crate) fn rules(&self) -> &[TripRule] {
        const RULES: &[TripRule] = &[DEFAULT.rule()];
        if self.rules.is_empty() { RULES } else { &self.rules }
    }

    /// Whether a rule counts successes from the beginning.
    pub(crate) fn watches_successes(&self) -> bool {
        self.rules().iter().any(TripRule::watches_successes)
    }
}
