//! Who is told how an attempt ended.

use crate::circuit::{Admission, CallVerdict};
use crate::classify::{Effect, Evaluation, Evidence};
use crate::clock::Instant;
use crate::hint::Hint;
use crate::outcome::Outcome;
use std::sync::Arc;
use std::time::Duration;

/// What attempts are recorded in: a circuit, the health of an endpoint.
pub(crate) trait AttemptObserver: Send + Sync {
    /// The head of a good answer has come, and its body goes on.
    fn answered(&self, admission: Admission, started: Option<Instant>, head: Instant);

    /// An attempt has ended well with its result; `started` is when it began, if that was noted.
    fn succeeded(&self, admission: &Admission, started: &Option<Instant>);

    /// An attempt has ended otherwise, or later than its head. One of both is told once for each.
    fn settle(&self, admission: Admission, ending: &Ending);

    /// After which time a call that its caller gave up counts as failed.
    fn hang_after(&self) -> Option<Duration>;

    /// After which silence a body that its reader left counts as failed.
    fn body_hang_after(&self) -> Option<Duration>;
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) evidence: Evidence,
    /// Its caller left before there was an answer.
    pub(crate) dropped: bool,
    /// Another attempt was faster.
    pub(crate) lost: bool,
    /// It was not polled by then.
    pub(crate) unpolled: bool,
    /// When it began, if that was noted.
    pub(crate) started: Option<Instant>,
    /// When the head of its answer came, if it went on after that.
    pub(crate) head: Option<Instant>,
}

impl Ending {
    /// Of an attempt in which the service has panicked.
    pub(crate) fn panicked() -> Self {
        Self::at_once(Outcome::Failure, Evidence::NONE)
    }

    /// Of an attempt that took no time.
    pub(crate) fn at_once(outcome: Outcome, evidence: Evidence) -> Self {
        let (dropped, lost, unpolled) = (false, false, false);
        Self { outcome, evidence, dropped, lost, unpolled, started: None, head: None }
    }
}

impl Ending {
    /// What each layer does with an attempt that ended like this.
    pub(crate) const fn effect(&self) -> Effect {
        self.outcome.effect(&self.evidence)
    }

    /// How it counts in a circuit, where this is what its outcome means to the one that asks;
    /// `counts_throttled`: whether that takes every throttle for bad.
    pub(crate) fn verdict(&self, evaluation: Evaluation, counts_throttled: bool) -> CallVerdict {
        match evaluation {
            Evaluation::Good => CallVerdict::Good,
            Evaluation::Bad => CallVerdict::Bad,
            Evaluation::Throttled if counts_throttled => CallVerdict::Bad,
            Evaluation::Throttled => CallVerdict::Neutral,
            Evaluation::Nothing if self.dropped => CallVerdict::Dropped,
            Evaluation::Nothing => CallVerdict::Neutral,
        }
    }

    /// How long the answer asks to be left alone.
    pub(crate) fn hint(&self) -> Option<Duration> {
        match self.evidence.hint(self.outcome)? {
            Hint::AtLeast(time) | Hint::Exactly(time) => Some(time),
            Hint::Never => None,
        }
    }
}

/// What a call in flight holds: it leads to who is told how the call ends.
pub(crate) trait InFlight {
    type Observer: AttemptObserver + 'static;

    fn observer(&self) -> &Self::Observer;

    /// The same, apart from this.
    fn to_shared(&self) -> Arc<dyn AttemptObserver>;
}

impl<O: AttemptObserver + 'static> InFlight for Arc<O> {
    type Observer = O;

    #[inline]
    fn observer(&self) -> &O {
        self
    }

    fn to_shared(&self) -> Arc<dyn AttemptObserver> {
        self.clone()
    }
}
