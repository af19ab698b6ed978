//! The configuration of the layer.

use std::fmt;
use std::time::Duration;

#[derive(Clone)]
pub(super) struct FirstFramePolicy<J> {
    pub(super) judge: J,
    pub(super) timeout: Option<Duration>,
    pub(super) limit: usize,
    pub(super) exempt_last: bool,
}

impl<J> FirstFramePolicy<J> {
    pub(super) const fn new(judge: J) -> Self {
        Self { judge, timeout: None, limit: 64 * 1_024, exempt_last: false }
    }

    /// The same with another judge.
    pub(super) fn judge<K>(self, judge: K) -> FirstFramePolicy<K> {
        FirstFramePolicy {
            judge,
            timeout: self.timeout,
            limit: self.limit,
            exempt_last: self.exempt_last,
        }
    }
}

impl<J: fmt::Debug> fmt::Debug for FirstFramePolicy<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstFramePolicy")
            .field("judge", &self.judge)
            .field("timeout", &self.timeout)
            .field("limit", &self.limit)
            .field("exempt_last", &self.exempt_last)
            .finish_non_exhaustive()
    }
}
