//! The error of an answer that did not begin.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// No good first record came in time.
///
/// It is an ordinary failure: the other side may have done the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstFrameTimeout {
    timeout: Duration,
    head: bool,
}

impl FirstFrameTimeout {
    pub(super) const fn new(timeout: Duration, head: bool) -> Self {
        Self { timeout, head }
    }

    /// Tells whether the head of the answer was there, and only its first record was not.
    #[must_use]
    pub const fn after_head(&self) -> bool {
        self.head
    }
}

impl fmt::Display for FirstFrameTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.head { "first frame" } else { "answer" };
        write!(f, "no {what} within {:?}", self.timeout)
    }
}

impl Error for FirstFrameTimeout {}
