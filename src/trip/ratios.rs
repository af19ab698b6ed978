//! Rules about a share of the calls.

use super::rule::{Action, EjectRule, HitBy, Limit, TripRule, becomes_a_rule};
use super::window::{Window, window_setters};
use crate::ratio::Ratio;
use std::num::NonZeroU32;
use std::time::Duration;

const MIN_CALLS: u32 = 20;

/// Trips when a share of the calls failed.
///
/// ```
/// use std::time::Duration;
/// use tower_failover::Ratio;
/// use tower_failover::trip::FailureRatio;
///
/// let half = FailureRatio::percent::<50>();
/// let above_a_quarter = FailureRatio::above(Ratio::percent::<25>())
///     .within(Duration::from_secs(30))
///     .min_calls(100);
/// ```
///
/// # Defaults
///
/// A window of 10 s in 10 buckets, and at least 20 calls in it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct FailureRatio {
    limit: Limit,
    min_calls: u32,
    window: Window,
}

/// Trips when a share of the calls was slow, whether they failed or not.
///
/// ```
/// use std::time::Duration;
/// use tower_failover::trip::SlowRatio;
///
/// let half = SlowRatio::slower_than(Duration::from_secs(2));
/// let one_in_ten = SlowRatio::slower_than(Duration::from_millis(500))
///     .or_ends_later_than(Duration::from_secs(5))
///     .percent::<10>();
/// ```
///
/// # Defaults
///
/// 50 % of the calls, a window of 10 s in 10 buckets, and at least 20 calls in it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct SlowRatio {
    head: Option<Duration>,
    total: Option<Duration>,
    limit: Limit,
    min_calls: u32,
    window: Window,
}

const fn at_least<const PERCENT: u8>() -> Limit {
    const { assert!(PERCENT > 0, "every call would trip a rule of 0 percent") };
    Limit::AtLeast(Ratio::percent::<PERCENT>())
}

impl FailureRatio {
    const fn with(limit: Limit) -> Self {
        Self { limit, min_calls: MIN_CALLS, window: Window::DEFAULT }
    }

    /// Trips when this many percent of the calls failed, or more: 1 to 100, which is checked when it is
    /// compiled.
    pub const fn percent<const PERCENT: u8>() -> Self {
        Self::with(at_least::<PERCENT>())
    }

    /// Trips when this share of the calls failed, or more. Zero is reached by the first failure.
    pub const fn new(share: Ratio) -> Self {
        Self::with(Limit::AtLeast(share))
    }

    /// Trips when more than this share of the calls failed. Zero is reached by the first failure, and 1
    /// never.
    pub const fn above(share: Ratio) -> Self {
        Self::with(Limit::Above(share))
    }

    pub(crate) const fn rule(self) -> TripRule {
        let Self { limit, min_calls, window } = self;
        let min_calls = window.at_most_all(min_calls);
        TripRule { hit_by: HitBy::Failed, limit, action: Action::Open, min_calls, window }
    }
}

impl SlowRatio {
    const fn with(head: Option<Duration>, total: Option<Duration>) -> Self {
        let limit = at_least::<50>();
        Self { head, total, limit, min_calls: MIN_CALLS, window: Window::DEFAULT }
    }

    /// Calls an attempt slow whose answer came later than this: for HTTP its head. Exactly this long is
    /// not slow, and with zero every call is slow that takes any time.
    pub const fn slower_than(time: Duration) -> Self {
        Self::with(Some(time), None)
    }

    /// Calls an attempt slow that ended later than this: for HTTP the end of the answer's body.
    pub const fn ending_later_than(time: Duration) -> Self {
        Self::with(None, Some(time))
    }

    /// Calls an attempt slow also if its answer came later than this.
    pub const fn or_slower_than(mut self, time: Duration) -> Self {
        self.head = Some(time);
        self
    }

    /// Calls an attempt slow also if it ended later than this.
    pub const fn or_ends_later_than(mut self, time: Duration) -> Self {
        self.total = Some(time);
        self
    }

    /// Trips when this many percent of the calls were slow, or more: 1 to 100, which is checked when it is
    /// compiled. Default: 50.
    pub const fn percent<const PERCENT: u8>(mut self) -> Self {
        self.limit = at_least::<PERCENT>();
        self
    }

    /// Trips when this share of the calls was slow, or more. Zero is reached by the first slow call.
    pub const fn ratio(mut self, share: Ratio) -> Self {
        self.limit = Limit::AtLeast(share);
        self
    }

    /// Trips when more than this share of the calls was slow. Zero is reached by the first slow call, and 1
    /// never.
    pub const fn above(mut self, share: Ratio) -> Self {
        self.limit = Limit::Above(share);
        self
    }

    pub(crate) const fn rule(self) -> TripRule {
        let Self { head, total, limit, min_calls, window } = self;
        let (hit_by, min_calls) = (HitBy::Slow { head, total }, window.at_most_all(min_calls));
        TripRule { hit_by, limit, action: Action::Open, min_calls, window }
    }
}

macro_rules! ratio_setters {
    ($rule:ident) => {
        impl $rule {
            /// Sets how many calls there must be in the window before the ratio counts. Default: 20. Zero
            /// counts as 1, and more than the calls of [`last`](Self::last) as all of them.
            pub const fn min_calls(mut self, calls: u32) -> Self {
                self.min_calls = calls;
                self
            }

            /// Makes the circuit admit a smaller share of the calls instead of opening it.
            pub const fn degrade(self) -> TripRule {
                self.rule().degrading()
            }
        }
    };
}

ratio_setters!(FailureRatio);
ratio_setters!(SlowRatio);
window_setters!(FailureRatio);
window_setters!(SlowRatio);
becomes_a_rule!(FailureRatio, SlowRatio);
