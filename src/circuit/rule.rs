//! When a circuit trips.

use crate::error::InvalidSetting;
use crate::ratio::Ratio;
use crate::window::MOST_SLICES;
use std::time::Duration;

/// When a circuit trips, and what it does then.
///
/// Each rule counts in a window of its own, which slides: by time, or over the last so many calls. It
/// is asked after every outcome that counts, a success included, since that may complete `min_calls`.
///
/// ```
/// use std::time::Duration;
/// use tower_failover::Ratio;
/// use tower_failover::circuit_breaker::TripRule;
///
/// let half_fails = TripRule::failure_ratio(Ratio::percent::<50>()).last(10).min_calls(10);
/// let too_slow = TripRule::slow_ratio(Ratio::percent::<50>())
///     .slower_than(Duration::from_secs(2))
///     .within(Duration::from_secs(60))
///     .degrade();
/// ```
///
/// # Defaults
///
/// A window of 10 s in 10 slices, 20 calls at least before a ratio counts, and the circuit opens.
///
/// # Errors
///
/// A rule is checked when it is given to
/// [`CircuitBreakerLayer::trip_on`](crate::circuit_breaker::CircuitBreakerLayer::trip_on).
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct TripRule {
    pub(super) hit_by: HitBy,
    pub(super) limit: Limit,
    pub(super) action: Action,
    min_calls: Option<u32>,
    /// None where it was not told.
    span: Option<Span>,
    pub(super) buckets: u16,
}

/// Which calls hit a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum HitBy {
    Failed,
    /// Slower than one of both, up to the head of the answer, and up to its end.
    Slow {
        head: Option<Duration>,
        total: Option<Duration>,
    },
    /// Failures, for which a time was set: refused when the rule is checked.
    Mixed,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Limit {
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

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Span {
    Within(Duration),
    Last(u32),
}

const WINDOW: Duration = Duration::from_secs(10);
const MIN_CALLS: u32 = 20;
const LONGEST_RING: u32 = 1_000_000;

impl TripRule {
    const fn new(hit_by: HitBy, limit: Limit) -> Self {
        let (action, span) = (Action::Open, None);
        Self { hit_by, limit, action, min_calls: None, span, buckets: 10 }
    }

    /// Trips when this share of the calls in the window failed, or more. Zero is refused.
    pub const fn failure_ratio(share: Ratio) -> Self {
        Self::new(HitBy::Failed, Limit::AtLeast(share))
    }

    /// Trips when more than this share of the calls in the window failed. Zero is refused, as for all
    /// shares, and so is 1, since no share is above it.
    pub const fn failure_ratio_above(share: Ratio) -> Self {
        Self::new(HitBy::Failed, Limit::Above(share))
    }

    /// Trips when this share of the calls in the window was slow, or more, whether they failed or not.
    /// Zero is refused. What slow means is said by [`slower_than`](Self::slower_than) or
    /// [`ends_later_than`](Self::ends_later_than), of which one is needed.
    pub const fn slow_ratio(share: Ratio) -> Self {
        Self::new(HitBy::Slow { head: None, total: None }, Limit::AtLeast(share))
    }

    /// Trips when more than this share of the calls in the window was slow. Zero and 1 are refused.
    pub const fn slow_ratio_above(share: Ratio) -> Self {
        Self::new(HitBy::Slow { head: None, total: None }, Limit::Above(share))
    }

    /// Trips at the `count`th failure in the window, however many calls went well: "more than 50" is
    /// `failures(51)`. Zero is refused.
    pub const fn failures(count: u32) -> Self {
        Self::new(HitBy::Failed, Limit::Count(count))
    }

    /// Trips at the `count`th failure in a row, whenever they were. Zero is refused, and so is a window.
    pub const fn consecutive(count: u32) -> Self {
        Self::new(HitBy::Failed, Limit::InARow(count))
    }

    /// Calls an attempt slow whose answer came later than this: for HTTP its head. Exactly this long is
    /// not slow. Only for rules about slow calls.
    pub const fn slower_than(mut self, time: Duration) -> Self {
        self.hit_by = match self.hit_by {
            HitBy::Slow { total, .. } => HitBy::Slow { head: Some(time), total },
            HitBy::Failed | HitBy::Mixed => HitBy::Mixed,
        };
        self
    }

    /// Calls an attempt slow that ended later than this: for HTTP the end of the answer's body. Only
    /// for rules about slow calls.
    pub const fn ends_later_than(mut self, time: Duration) -> Self {
        self.hit_by = match self.hit_by {
            HitBy::Slow { head, .. } => HitBy::Slow { head, total: Some(time) },
            HitBy::Failed | HitBy::Mixed => HitBy::Mixed,
        };
        self
    }

    /// Counts over this time. Default: 10 s. Zero is refused. The time is cut into
    /// [`buckets`](Self::buckets), and a call is forgotten together with its bucket: after this time at
    /// the latest, and at most one bucket's share of it earlier.
    pub const fn within(mut self, time: Duration) -> Self {
        self.span = Some(Span::Within(time));
        self
    }

    /// Counts over the last so many calls, from 1 to 1 000 000, whenever they were. All threads write to
    /// one place for it at every call, so it costs more than a window by time where there are many.
    pub const fn last(mut self, calls: u32) -> Self {
        self.span = Some(Span::Last(calls));
        self
    }

    /// Sets into how many buckets a window by time is cut, from 1 to 32. Default: 10.
    pub const fn buckets(mut self, buckets: u16) -> Self {
        self.buckets = buckets;
        self
    }

    /// Sets how many calls there must be in the window before a ratio counts. Default: 20, or all of a
    /// window of fewer calls. Zero and 1 are the same. Counts of failures don't need it.
    pub const fn min_calls(mut self, calls: u32) -> Self {
        self.min_calls = Some(calls);
        self
    }

    /// Opens the circuit. This is the default.
    pub const fn open(mut self) -> Self {
        self.action = Action::Open;
        self
    }

    /// Admits a smaller share of the calls, which follows what the service can carry.
    pub const fn degrade(mut self) -> Self {
        self.action = Action::Degrade;
        self
    }

    pub(super) const fn span(&self) -> Span {
        match self.span {
            Some(span) => span,
            None => Span::Within(WINDOW),
        }
    }

    pub(super) fn enough_calls(&self) -> u32 {
        match (self.min_calls, self.span) {
            (Some(calls), _) => calls,
            (None, Some(Span::Last(calls))) => MIN_CALLS.min(calls),
            (None, _) => MIN_CALLS,
        }
    }

    /// Whether successes matter also where no call has failed yet.
    pub(crate) fn watches_successes(&self) -> bool {
        let counts_failures = matches!(self.limit, Limit::Count(_) | Limit::InARow(_));
        !counts_failures || self.needs_time() || matches!(self.span, Some(Span::Last(_)))
    }

    /// Whether it lets a share of the calls through.
    pub(crate) fn degrades(&self) -> bool {
        self.action == Action::Degrade
    }

    /// Whether it must be known when a call began.
    pub(super) fn needs_time(&self) -> bool {
        self.hit_by != HitBy::Failed
    }

    /// The time up to an answer that is not slow.
    pub(super) fn slow_limit(&self) -> Option<Duration> {
        match self.hit_by {
            HitBy::Slow { head, total } => head.or(total),
            HitBy::Failed | HitBy::Mixed => None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), InvalidSetting> {
        let wrong = |what, must_be, got| Err(InvalidSetting::new(what, must_be, got));
        match self.limit {
            Limit::AtLeast(share) if share.get() <= 0.0 => {
                return wrong("the share at which a rule trips", "above 0", share.get());
            }
            Limit::Above(share) if share.get() <= 0.0 || share.get() >= 1.0 => {
                return wrong("the share above which a rule trips", "between 0 and 1", share.get());
            }
            Limit::Count(0) => {
                return wrong("the failures at which a rule trips", "at least 1", 0.0);
            }
            Limit::InARow(0) => {
                return wrong("the failures in a row at which a rule trips", "at least 1", 0.0);
            }
            _ => {}
        }
        match self.hit_by {
            HitBy::Slow { head: None, total: None } => {
                return wrong("the time of a rule about slow calls", "set", 0.0);
            }
            HitBy::Mixed => {
                return wrong("a time for slow calls", "of a rule about slow calls", 0.0);
            }
            _ => {}
        }
        match self.span {
            Some(Span::Within(time)) if time.is_zero() => {
                return wrong("a rule's window", "longer than zero", 0.0);
            }
            Some(Span::Last(calls)) if !(1..=LONGEST_RING).contains(&calls) => {
                return wrong("the calls of a rule's window", "1 to 1 000 000", calls.into());
            }
            Some(_) if matches!(self.limit, Limit::InARow(_)) => {
                return wrong("the windows of a rule for failures in a row", "none", 1.0);
            }
            Some(Span::Last(calls)) if self.min_calls.is_some_and(|min| min > calls) => {
                return wrong(
                    "min_calls",
                    "at most the calls of the window",
                    self.enough_calls().into(),
                );
            }
            Some(Span::Last(calls)) if matches!(self.limit, Limit::Count(count) if count > calls) =>
            {
                return wrong(
                    "the calls of a rule's window",
                    "at least its failures",
                    calls.into(),
                );
            }
            _ => {}
        }
        if !(1..=MOST_SLICES).contains(&self.buckets) {
            return wrong("the buckets of a rule's window", "1 to 32", self.buckets.into());
        }
        Ok(())
    }
}
