//! The only place that reads the clock or sleeps.
//!
//! Everything goes through `tokio::time`, so that a paused clock drives the whole crate; the wall
//! clock is read for one purpose, to turn the date of a `Retry-After` into a duration.

use std::time::Duration;
pub(crate) use tokio::time::{Instant, Sleep};

/// Stands for "never" where an addition would overflow: thirty years, as tokio itself does it.
const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);

#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(feature = "http")]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn wall() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn sleep_until(at: Instant) -> Sleep {
    tokio::time::sleep_until(at)
}

/// `start + duration`, which `Instant`'s own `+` answers with a panic when it overflows.
pub(crate) fn after(start: Instant, duration: Duration) -> Instant {
    start.checked_add(duration).or_else(|| start.checked_add(FAR)).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D4
    #[test]
    fn an_instant_that_does_not_exist_becomes_a_far_one() {
        let start = now();
        assert_eq!(after(start, Duration::MAX), start + FAR);
        assert_eq!(after(after(start, Duration::MAX), Duration::MAX), start + FAR + FAR);
        assert_eq!(after(start, Duration::from_secs(1)), start + Duration::from_secs(1));
    }
}
