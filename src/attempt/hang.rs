//! When a call that hangs is taken for one that failed.

use std::time::Duration;

/// When a call that its caller gives up counts as failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum HangAfter {
    /// By the latency of good calls.
    Latency,
    Fixed(Duration),
    Never,
}

/// The latency of good calls times this is more than bad luck.
const HANG_LATENCIES: u32 = 5;
const HANG_AT_LEAST: Duration = Duration::from_millis(500);
const HANG_AT_MOST: Duration = Duration::from_secs(10);

impl HangAfter {
    /// How long an answer is waited for before it is taken for one that does not come.
    pub(crate) fn patience(self, latency: impl FnOnce() -> Option<Duration>) -> Duration {
        self.time(latency).unwrap_or(HANG_AT_MOST)
    }

    pub(crate) fn time(self, latency: impl FnOnce() -> Option<Duration>) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Fixed(time) => Some(time),
            Self::Latency => {
                let time = latency().unwrap_or_default().saturating_mul(HANG_LATENCIES);
                Some(time.clamp(HANG_AT_LEAST, HANG_AT_MOST))
            }
        }
    }
}
