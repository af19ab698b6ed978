//! Settings that several layers have: budgets, delays, rules.

use crate::clock::ms;
use crate::random::Rng;
use crate::run::Run;
use std::num::NonZeroU32;
use std::time::Duration;
use tower_failover::trip::{Consecutive, EjectRule, FailureRatio, Failures, SlowRatio, TripRule};
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
#[derive(Debug)]
pub(crate) enum Rule {
    FailureRatio(FailureRatio),
    SlowRatio(SlowRatio),
    Failures(Failures),
    Consecutive(Consecutive),
}

impl Rule {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let share = ratio_of(rng.pick(&[0.1, 0.5, 0.99]));
        let rule = match rng.below(6) {
            0 => Self::FailureRatio(FailureRatio::new(share)),
            1 => Self::FailureRatio(FailureRatio::above(share)),
            2 => {
                Self::SlowRatio(SlowRatio::slower_than(ms(rng.pick(&[1, 50, 1_000]))).ratio(share))
            }
            3 => {
                let end = ms(rng.pick(&[1, 500, 3_000]));
                Self::SlowRatio(SlowRatio::ending_later_than(end).above(share))
            }
            4 => Self::Failures(Failures::new(nonzero(rng.range(1, 5) as u32))),
            _ => return Self::Consecutive(Consecutive::new(nonzero(rng.range(1, 4) as u32))),
        };
        let rule = match rng.below(3) {
            0 => rule.within(ms(rng.pick(&[50, 1_000, 30_000])), rng.pick(&[1, 10, 32])),
            1 => rule.last(nonzero(rng.range(5, 40) as u32)),
            _ => rule,
        };
        rule.min_calls(rng.range(0, 5) as u32)
    }

    /// The rule of a circuit, which in a part of the stacks only degrades.
    pub(crate) fn or_degrading(self, rng: &mut Rng) -> TripRule {
        if !rng.chance(25) {
            return match self {
                Self::FailureRatio(rule) => rule.into(),
                Self::SlowRatio(rule) => rule.into(),
                Self::Failures(rule) => rule.into(),
                Self::Consecutive(rule) => rule.into(),
            };
        }
        match self {
            Self::FailureRatio(rule) => rule.degrade(),
            Self::SlowRatio(rule) => rule.degrade(),
            Self::Failures(rule) => rule.degrade(),
            Self::Consecutive(rule) => rule.degrade(),
        }
    }

    fn within(self, span: Duration, buckets: u16) -> Self {
        match self {
            Self::FailureRatio(rule) => Self::FailureRatio(rule.within(span).buckets(buckets)),
            Self::SlowRatio(rule) => Self::SlowRatio(rule.within(span).buckets(buckets)),
            Self::Failures(rule) => Self::Failures(rule.within(span).buckets(buckets)),
            Self::Consecutive(_) => self,
        }
    }

    fn last(self, calls: NonZeroU32) -> Self {
        match self {
            Self::FailureRatio(rule) => Self::FailureRatio(rule.last(calls)),
            Self::SlowRatio(rule) => Self::SlowRatio(rule.last(calls)),
            Self::Failures(rule) => Self::Failures(rule.last(calls)),
            Self::Consecutive(_) => self,
        }
    }

    /// Only a share needs calls to be a share of.
    fn min_calls(self, calls: u32) -> Self {
        match self {
            Self::FailureRatio(rule) => Self::FailureRatio(rule.min_calls(calls)),
            Self::SlowRatio(rule) => Self::SlowRatio(rule.min_calls(calls)),
            Self::Failures(_) | Self::Consecutive(_) => self,
        }
    }
}

impl From<Rule> for EjectRule {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::FailureRatio(rule) => rule.into(),
            Rule::SlowRatio(rule) => rule.into(),
            Rule::Failures(rule) => rule.into(),
            Rule::Consecutive(rule) => rule.into(),
        }
    }
}

/// A number that was drawn from one upwards.
pub(crate) fn nonzero(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("sim: one at least")
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
