//! What all rules become.

use super::window::{Span, Window};
use crate::ratio::Ratio;
use std::time::Duration;

/// When a circuit trips, and whether it opens then or degrades.
///
/// Made `From` each of the rules, which then opens the circuit, and by their `degrade()`. A rule is `Copy`, and a
/// [snapshot] shows it with the numbers that count.
///
/// [snapshot]: crate::trip#example
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct TripRule {
    pub(crate) hit_by: HitBy,
    pub(crate) limit: Limit,
    pub(crate) action: Action,
    /// Before there are as many, a ratio is not looked at.
    pub(crate) min_calls: u32,
    pub(crate) window: Window,
}

/// When an endpoint is ejected; made `From` each of the rules.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct EjectRule(TripRule);

/// Which calls hit a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum HitBy {
    Failed,
    /// Slower than one of both, up to the head of the answer, and up to its end.
    Slow {
        head: Option<Duration>,
        total: Option<Duration>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    AtLeast(Ratio),
    Above(Ratio),
    Count(u32),
    InARow(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Degrade,
    Open,
}

impl TripRule {
    pub(super) const fn degrading(self) -> Self {
        Self { action: Action::Degrade, ..self }
    }

    /// Whether successes matter also where no call has failed yet.
    pub(crate) fn watches_successes(&self) -> bool {
        let counts_failures = matches!(self.limit, Limit::Count(_) | Limit::InARow(_));
        !counts_failures || self.needs_time() || matches!(self.window.span, Span::Last(_))
    }

    /// Whether it must be known when a call began.
    pub(crate) fn needs_time(&self) -> bool {
        self.hit_by != HitBy::Failed
    }

    /// The time up to an answer that is not slow.
    pub(crate) fn slow_limit(&self) -> Option<Duration> {
        match self.hit_by {
            HitBy::Slow { head, total } => head.or(total),
            HitBy::Failed => None,
        }
    }
}

impl EjectRule {
    pub(super) const fn of(rule: TripRule) -> Self {
        Self(rule)
    }

    pub(crate) const fn rule(self) -> TripRule {
        self.0
    }
}

/// What becomes of a rule by itself: it opens the circuit, or ejects the endpoint.
macro_rules! becomes_a_rule {
    ($($rule:ident),+) => {
        $(
            impl From<$rule> for TripRule {
                fn from(rule: $rule) -> Self {
                    rule.rule()
                }
            }

            impl From<$rule> for EjectRule {
                fn from(rule: $rule) -> Self {
                    Self::of(rule.rule())
                }
            }
        )+
    };
}
pub(super) use becomes_a_rule;
