//! Rules about a number of failures.

use super::rule::{Action, EjectRule, HitBy, Limit, TripRule, becomes_a_rule};
use super::window::{Window, window_setters};
use std::num::NonZeroU32;
use std::time::Duration;

/// Trips at a number of failures in the window, however many calls went well.
///
/// ```
/// use std::time::Duration;
/// use tower_failover::trip::Failures;
///
/// let more_than_fifty_a_minute = Failures::count::<51>().within(Duration::from_secs(60));
/// ```
///
/// # Defaults
///
/// A window of 10 s in 10 buckets.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Failures {
    count: NonZeroU32,
    window: Window,
}

/// Trips at a number of failures in a row, whenever they were: a success between them starts it over.
///
/// ```
/// use tower_failover::trip::Consecutive;
///
/// let five = Consecutive::count::<5>();
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Consecutive {
    count: NonZeroU32,
}

const fn count<const COUNT: u32>() -> NonZeroU32 {
    const {
        match NonZeroU32::new(COUNT) {
            Some(count) => count,
            None => panic!("every call would trip a rule of no failures"),
        }
    }
}

impl Failures {
    /// Trips at this failure, at least 1, which is checked when it is compiled: "more than 50" is
    /// `count::<51>()`.
    pub const fn count<const COUNT: u32>() -> Self {
        Self::new(count::<COUNT>())
    }

    /// Trips at this failure. More than the calls of [`last`](Self::last) count as all of them.
    pub const fn new(count: NonZeroU32) -> Self {
        Self { count, window: Window::DEFAULT }
    }

    /// Makes the circuit admit a smaller share of the calls instead of opening it.
    pub const fn degrade(self) -> TripRule {
        self.rule().degrading()
    }

    pub(crate) const fn rule(self) -> TripRule {
        let Self { count, window } = self;
        let limit = Limit::Count(window.at_most_all(count.get()));
        TripRule { hit_by: HitBy::Failed, limit, action: Action::Open, min_calls: 1, window }
    }
}

impl Consecutive {
    /// Trips at this failure in a row, at least 1, which is checked when it is compiled.
    pub const fn count<const COUNT: u32>() -> Self {
        Self::new(count::<COUNT>())
    }

    /// Trips at this failure in a row.
    pub const fn new(count: NonZeroU32) -> Self {
        Self { count }
    }

    /// Makes the circuit admit a smaller share of the calls instead of opening it.
    pub const fn degrade(self) -> TripRule {
        self.rule().degrading()
    }

    pub(crate) const fn rule(self) -> TripRule {
        let (limit, window) = (Limit::InARow(self.count.get()), Window::DEFAULT);
        TripRule { hit_by: HitBy::Failed, limit, action: Action::Open, min_calls: 1, window }
    }
}

window_setters!(Failures);
becomes_a_rule!(Failures, Consecutive);
