//! What a result tells beside its outcome.

use crate::hint::Hint;
use crate::outcome::Outcome;

/// What a result tells beside its [`Outcome`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// The delay that the answer asks for. Where it is `None`, the `retry_after` of
    /// [`Outcome::Throttled`] counts.
    pub hint: Option<Hint>,
    /// The other side certainly did none of the work, so that even a request which is not
    /// idempotent may be sent again: a status of 429.
    pub untouched: bool,
    /// The service as a whole can't keep up, and does not just ask one caller for less: a status of
    /// 503. It counts against the service also where it comes as `Throttled`.
    pub overloaded: bool,
    /// The refusal was made on our own side of the wire.
    pub local: bool,
}

impl Evidence {
    /// Nothing is known beside the outcome.
    pub(crate) const NONE: Self =
        Self { hint: None, untouched: false, overloaded: false, local: false };

    /// The delay that was asked for, wherever it stands.
    pub(crate) fn hint(&self, outcome: Outcome) -> Option<Hint> {
        self.hint.or(outcome.retry_after().map(Hint::AtLeast))
    }
}
