//! The error of a request for which there is no endpoint.

use crate::error::Refusal;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// No endpoint could take the request: there is none, all of them rest or are at their limits, or the
/// filter allows none of those that are left.
///
/// It comes in a [`BoxError`](crate::BoxError) and is a [`Refusal`]: the request never left.
#[derive(Clone, Debug)]
pub struct NoEndpoint {
    refusal: Refusal,
}

impl NoEndpoint {
    pub(super) fn new(retry_after: Option<Duration>) -> Self {
        let refusal = Refusal::new();
        Self { refusal: retry_after.map_or(refusal, |after| refusal.after(after)) }
    }

    /// Returns when an endpoint may be there again, if that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.refusal.retry_after()
    }
}

impl fmt::Display for NoEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.retry_after() {
            Some(after) => write!(f, "no endpoint is available, the next one may be in {after:?}"),
            None => f.write_str("no endpoint is available"),
        }
    }
}

impl Error for NoEndpoint {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.refusal)
    }
}
