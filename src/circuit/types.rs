//! The configuration of a circuit, and its answers.

use crate::backoff::{Backoff, Jitter};
use crate::ratio::Ratio;
use crate::window::{self, Era};
use std::time::Duration;

/// The configuration of the states of a circuit.
#[derive(Clone, Debug)]
pub(crate) struct CircuitConfig {
    pub(crate) open_for: Backoff,
    /// Open times grow no further from before a good time of this length.
    pub(crate) forget_after: Duration,
    pub(crate) trials: u32,
    pub(crate) successes: u32,
    pub(crate) trial_timeout: Option<Duration>,
    pub(crate) ramp: Duration,
    pub(crate) dwell: Duration,
}

impl CircuitConfig {
    /// Breakers that open in the same moment don't trial in the same moment, and none at once.
    pub(crate) const OPEN_JITTER: Jitter = Jitter::Proportional(Ratio::percent::<20>());
}

impl Default for CircuitConfig {
    fn default() -> Self {
        let (first, last) = (Duration::from_secs(1), Duration::from_secs(30));
        Self {
            open_for: Backoff::exponential(first).cap(last).jitter(Self::OPEN_JITTER),
            forget_after: Duration::from_secs(60),
            trials: 1,
            successes: 2,
            trial_timeout: None,
            ramp: Duration::ZERO,
            dwell: Duration::from_secs(5),
        }
    }
}

impl CircuitConfig {
    pub(super) fn trial_timeout(&self) -> Duration {
        self.trial_timeout.unwrap_or(Duration::from_secs(1))
    }
}

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CircuitState {
    /// Calls flow.
    Closed,
    /// A share of the calls flows, as much as the service can carry.
    Degraded,
    /// Calls are refused.
    Open,
    /// A few calls are let through to see whether the service is back.
    HalfOpen,
    /// The service is back, and a growing share of the calls flows.
    Ramp,
    /// Calls are refused until that is changed.
    ForcedOpen,
    /// Calls flow until that is changed.
    ForcedClosed,
}

impl CircuitState {
    /// A short name for events and errors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Degraded => "degraded",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Ramp => "on its ramp",
            Self::ForcedOpen => "forced open",
            Self::ForcedClosed => "forced closed",
        }
    }
}

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Automatic,
    ForcedOpen,
    ForcedClosed,
    /// The rules do, but nobody is refused.
    ObserveOnly,
}

/// The right to make one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    pub(super) when: When,
    /// The number of a trial; zero for other calls.
    pub(super) trial: u32,
}

impl Admission {
    /// Of a call that was let pass and is not looked at.
    pub(crate) const UNWATCHED: Self = Self { when: When::NEVER, trial: 0 };
    /// Of a call that was let pass before there was a circuit: in the first period of one that is made now.
    pub(crate) const FIRST: Self = Self { when: When(1 << 32 | 1), trial: 0 };

    #[inline]
    pub(crate) fn is_trial(self) -> bool {
        self.trial != 0
    }

    /// What tells it from others with another [`slice`](Self::slice).
    #[inline]
    pub(crate) fn key(self) -> u64 {
        self.when.0
    }

    /// The slice in which it counts after so many slices.
    pub(crate) fn slice(self, elapsed: u64) -> u64 {
        window::number(elapsed, self.when.period())
    }
}

/// A period and a generation, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct When(pub(super) u64);

impl When {
    /// Before the first period.
    pub(super) const NEVER: Self = Self(0);
    /// In a period that no call was admitted in.
    pub(super) const NO_PERIOD: Self = Self(u64::MAX);

    pub(super) fn new(period: Era, generation: Era) -> Self {
        Self(u64::from(period) << 32 | u64::from(generation))
    }

    #[inline]
    pub(super) fn is_in_period_of(self, other: Self) -> bool {
        (self.0 ^ other.0) >> 32 == 0
    }

    #[inline]
    pub(super) fn period(self) -> Era {
        (self.0 >> 32) as Era
    }

    #[inline]
    pub(super) fn generation(self) -> Era {
        self.0 as Era
    }
}

/// The right to make a call was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) state: CircuitState,
    /// When another call has a chance, if that is known.
    pub(crate) retry_after: Option<Duration>,
}

/// What a call says about the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallVerdict {
    Good,
    Bad,
    /// Nothing; but it was answered.
    Neutral,
    /// Nothing, since its caller left before the answer.
    Dropped,
}
