//! The layer: what is allowed to the body of an answer.

use super::service::Stall;
use super::state::{Limits, MinRate};
use crate::shortest::at_least_shortest;
use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;
use tower_layer::Layer;

/// Ends the bodies of HTTP answers that stall.
///
/// See the [module](super) for an example and the table of defaults.
///
/// # Sharing
///
/// Nothing: each body is watched for itself.
#[derive(Clone)]
#[must_use]
pub struct StallLayer {
    limits: Limits,
}

impl StallLayer {
    /// For answers over HTTP, those of gRPC among them. No limit is set: it ends nothing yet.
    pub fn http() -> Self {
        Self { limits: Limits::default() }
    }

    /// Sets how long a reader may wait for the next frame, and for the first one after the head. The time
    /// before it asks is not counted. Default: any time. The shortest is 1 ns, and zero counts as that.
    pub fn idle(mut self, time: Duration) -> Self {
        self.limits.idle = Some(at_least_shortest(time));
        self
    }

    /// Sets how long a reader may wait for a body in all, from its head to its end. The reader's own time
    /// is not counted, so that a slow one is never cut off for being slow. Default: any time. The shortest
    /// is 1 ns, and zero counts as that.
    pub fn total(mut self, time: Duration) -> Self {
        self.limits.total = Some(at_least_shortest(time));
        self
    }

    /// Sets the least bytes of data a second while the reader waits: whenever it has waited for `grace` in
    /// all since the last look, `bytes_per_second` × `grace` must have come since then, and one byte at
    /// least. What the reader was given without waiting counts as well, and its own time does not.
    /// Default: no rate.
    ///
    /// A grace that spans a few of the usual pauses takes bursts for what they are. A body that falls
    /// silent is seen after one grace, or nearly two where much has come before. The shortest grace is
    /// 1 ns, and zero counts as that.
    pub fn min_rate(mut self, bytes_per_second: NonZeroU64, grace: Duration) -> Self {
        let rate = MinRate::new(bytes_per_second.get(), at_least_shortest(grace));
        self.limits.min_rate = Some(rate);
        self
    }
}

impl<S> Layer<S> for StallLayer {
    type Service = Stall<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Stall::new(inner, self.limits)
    }
}

impl fmt::Debug for StallLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StallLayer").field("limits", &self.limits).finish_non_exhaustive()
    }
}
