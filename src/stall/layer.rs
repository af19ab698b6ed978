//! The layer: what is allowed to the body of an answer.

use super::service::Stall;
use super::state::{Limits, MinRate};
use crate::error::InvalidSetting;
use std::fmt;
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
    /// before it asks is not counted. Default: any time.
    ///
    /// # Errors
    ///
    /// When it is zero: every body that is not there at once would break it.
    pub fn idle(mut self, time: Duration) -> Result<Self, InvalidSetting> {
        self.limits.idle = Some(not_zero("the idle limit of a body", time)?);
        Ok(self)
    }

    /// Sets how long a reader may wait for a body in all, from its head to its end. The reader's own time
    /// is not counted, so that a slow one is never cut off for being slow. Default: any time.
    ///
    /// # Errors
    ///
    /// When it is zero: every body that is not there at once would break it.
    pub fn total(mut self, time: Duration) -> Result<Self, InvalidSetting> {
        self.limits.total = Some(not_zero("the total limit of a body", time)?);
        Ok(self)
    }

    /// Sets the least bytes of data a second while the reader waits: whenever it has waited for `grace` in
    /// all since the last look, `bytes_per_second` × `grace` must have come since then, and one byte at
    /// least. What the reader was given without waiting counts as well, and its own time does not.
    /// Default: no rate.
    ///
    /// A grace that spans a few of the usual pauses takes bursts for what they are. A body that falls
    /// silent is seen after one grace, or nearly two where much has come before.
    ///
    /// # Errors
    ///
    /// When one of them is zero: such a rate could not be broken, or would be before anything can come.
    pub fn min_rate(
        mut self,
        bytes_per_second: u64,
        grace: Duration,
    ) -> Result<Self, InvalidSetting> {
        if bytes_per_second == 0 {
            return Err(InvalidSetting::new("the least rate of a body", "at least 1", 0.0));
        }
        let grace = not_zero("the grace of a least rate", grace)?;
        self.limits.min_rate = Some(MinRate::new(bytes_per_second, grace));
        Ok(self)
    }
}

fn not_zero(what: &'static str, time: Duration) -> Result<Duration, InvalidSetting> {
    if time.is_zero() { Err(InvalidSetting::new(what, "longer than zero", 0.0)) } else { Ok(time) }
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
