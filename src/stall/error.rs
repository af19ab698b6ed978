//! The error of an answer that stalled.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// The body of an answer stalled: it broke one of the limits of its layer.
///
/// It takes the place of the rest of the body. Layers outside of this one count it as a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    limit: StallLimit,
}

/// A limit that a body can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StallLimit {
    /// No frame came for so long, see [`idle`](super::StallLayer::idle).
    Idle(Duration),
    /// Its reader has waited for so long in all, see [`total`](super::StallLayer::total).
    Total(Duration),
    /// Fewer bytes a second came, over so long a time of waiting, see
    /// [`min_rate`](super::StallLayer::min_rate).
    MinRate(u64, Duration),
}

impl Stalled {
    pub(super) const fn new(limit: StallLimit) -> Self {
        Self { limit }
    }

    /// Returns the limit that was broken, with its setting.
    #[must_use]
    pub const fn limit(&self) -> StallLimit {
        self.limit
    }
}

impl StallLimit {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Idle(_) => "idle",
            Self::Total(_) => "total",
            Self::MinRate(..) => "min_rate",
        }
    }
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.limit {
            StallLimit::Idle(time) => write!(f, "the answer stalled: nothing came for {time:?}"),
            StallLimit::Total(time) => {
                write!(f, "the answer stalled: it was waited for {time:?} in all")
            }
            StallLimit::MinRate(rate, time) => {
                write!(f, "the answer stalled: fewer than {rate} bytes a second came for {time:?}")
            }
        }
    }
}

impl Error for Stalled {}
