//! Settings that several layers have: budgets, delays, rules.

use crate::clock::ms;
use crate::random::Rng;
use crate::run::Run;
use std::time::Duration;
use tower_failover::circuit_breaker::TripRule;
use tower_failover::{Backoff, Budget, Jitter, Ratio};

/// The budget from which a layer pays its extra attempts.
pub(crate) enum Payment {
    /// The layer's default.
    Default,
    Unlimited,
    Shared(Budget),
    Own(Budget),
}

impl Payment {
    pub(crate) fn draw(run: &Run, rng: &mut Rng) -> Self {
        match rng.below(4) {
            0 => Self::Default,
            1 => Self::Unlimited,
            2 => Self::Shared(run.shared_budget.clone()),
            _ => {
                let ratio = rng.pick(&[0.0, 0.1, 1.0]);
                let budget = Budget::new()
                    .ratio(ratio_of(ratio))
                    .min_per_second(rng.pick(&[0, 1, 50]))
                    .bank(ms(rng.pick(&[0, 100, 1_000, 10_000])));
                Self::Own(budget)
            }
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Default => "own",
            Self::Unlimited => "none",
            Self::Shared(_) => "shared",
            Self::Own(_) => "custom",
        }
    }

    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }
}

pub(crate) fn ratio_of(value: f64) -> Ratio {
    Ratio::new(value).expect("sim: between 0 and 1")
}

/// Delays between attempts, or times for which a circuit is open.
pub(crate) struct Delays {
    pub(crate) backoff: Backoff,
    /// They may grow without an end.
    pub(crate) endless: bool,
}

impl Delays {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let base = ms(rng.pick(&[0, 1, 20, 100, 3_000]));
        let shape = match rng.below(4) {
            0 | 1 => Backoff::exponential(base),
            2 => Backoff::constant(base),
            _ => Backoff::sequence([ms(0), ms(5), ms(300)]),
        };
        let jitter = match rng.below(5) {
            0 => Jitter::Full,
            1 => Jitter::Equal,
            2 => Jitter::Decorrelated,
            3 => Jitter::Proportional(Ratio::percent::<50>()),
            _ => Jitter::None,
        };
        let decorrelated = matches!(jitter, Jitter::Decorrelated);
        let backoff = shape.jitter(jitter);
        if rng.chance(50) {
            let backoff = backoff.cap(ms(rng.pick(&[0, 10, 1_000, 30_000])));
            return Self { backoff, endless: false };
        }
        Self { backoff, endless: decorrelated }
    }
}

/// A rule by which a circuit opens or an endpoint is ejected.
pub(crate) fn draw_rule(rng: &mut Rng, may_degrade: bool) -> TripRule {
    let share = ratio_of(rng.pick(&[0.1, 0.5, 0.99]));
    let mut in_a_row = false;
    let mut rule = match rng.below(6) {
        0 => TripRule::failure_ratio(share),
        1 => TripRule::failure_ratio_above(share),
        2 => TripRule::slow_ratio(share).slower_than(ms(rng.pick(&[1, 50, 1_000]))),
        3 => TripRule::slow_ratio_above(share).ends_later_than(ms(rng.pick(&[1, 500, 3_000]))),
        4 => TripRule::failures(rng.range(1, 5) as u32),
        _ => {
            in_a_row = true;
            TripRule::consecutive(rng.range(1, 4) as u32)
        }
    };
    if !in_a_row {
        rule = match rng.below(3) {
            0 => {
                let span = ms(rng.pick(&[50, 1_000, 30_000]));
                rule.within(span).buckets(rng.pick(&[1, 10, 32]))
            }
            1 => rule.last(rng.range(5, 40) as u32),
            _ => rule,
        };
        rule = rule.min_calls(rng.range(0, 5) as u32);
    }
    if may_degrade && rng.chance(25) { rule.degrade() } else { rule }
}

/// The time without a response after which a call counts as hanging.
pub(crate) enum HangAfter {
    Default,
    Time(Duration),
    Never,
}

impl HangAfter {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        match rng.below(4) {
            0 => Self::Time(ms(rng.pick(&[0, 10, 300]))),
            1 => Self::Never,
            _ => Self::Default,
        }
    }
}
