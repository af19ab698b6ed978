//! The time by which a request must be answered.

use crate::clock::{self, Instant};
use std::time::Duration;

/// The time by which a request must be answered, as a typed extension of the request.
///
/// It decides whether a further attempt *starts*; an attempt in flight is cut by a timeout layer.
///
/// ```
/// use std::time::Duration;
/// use tower_failover::Deadline;
///
/// let deadline = Deadline::within(Duration::from_secs(5));
/// assert!(deadline.remaining() <= Duration::from_secs(5));
/// assert_eq!(Deadline::within(Duration::ZERO).remaining(), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// Sets it to this long from now; a time too far off for the clock is as good as none.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self::after(clock::now(), time)
    }

    /// Sets it to this instant.
    #[must_use]
    pub fn at(instant: std::time::Instant) -> Self {
        Self(Instant::from_std(instant))
    }

    /// Returns the time that is left, zero when it has passed.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.remaining_at(clock::now())
    }

    pub(crate) fn after(start: Instant, time: Duration) -> Self {
        Self(clock::after(start, time))
    }

    pub(crate) fn remaining_at(&self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }
}

/// By when a request wants an answer: at a fixed time, some time after its arrival, or both.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TimeLimit {
    pub(crate) deadline: Option<Deadline>,
    pub(crate) timeout: Option<Duration>,
}

impl TimeLimit {
    /// The stricter of this one and another timeout.
    pub(crate) fn within(self, timeout: Option<Duration>) -> Self {
        Self { timeout: self.timeout.into_iter().chain(timeout).min(), ..self }
    }

    /// The stricter of this one and another deadline.
    pub(crate) fn until(self, deadline: Option<Deadline>) -> Self {
        Self { deadline: self.deadline.into_iter().chain(deadline).min(), ..self }
    }

    /// The deadline of a request that arrived at this time, which is asked for only if it matters.
    pub(crate) fn of_arrival(self, arrived: impl FnOnce() -> Instant) -> Option<Deadline> {
        let timeout = self.timeout.map(|timeout| Deadline::after(arrived(), timeout));
        timeout.into_iter().chain(self.deadline).min()
    }
}

/// When a request arrived. It is noted where a limit counts from there, and not before the request
/// has to wait: a call that is answered at once reads no clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival(Option<Instant>);

impl Arrival {
    /// Takes this for the time of the arrival, if it matters and none was taken before.
    #[inline]
    pub(crate) fn note(&mut self, limit: TimeLimit, now: impl FnOnce() -> Instant) {
        if limit.timeout.is_some() && self.0.is_none() {
            self.0 = Some(now());
        }
    }

    /// The deadline under this limit; a request whose arrival was not noted arrives now.
    pub(crate) fn deadline(self, limit: TimeLimit) -> Option<Deadline> {
        limit.of_arrival(|| self.0.unwrap_or_else(clock::now))
    }

    /// The time that is left under this limit, if it is one.
    pub(crate) fn remaining(self, limit: TimeLimit, now: Instant) -> Option<Duration> {
        let deadline = limit.of_arrival(|| self.0.unwrap_or(now));
        deadline.map(|deadline| deadline.remaining_at(now))
    }
}

/// The units of a `grpc-timeout`, finest first, in nanoseconds.
#[cfg(feature = "http")]
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3_600 * 1_000_000_000),
];

/// The largest number that the gRPC specification lets a `grpc-timeout` have: eight digits.
#[cfg(feature = "http")]
const MOST: u64 = 99_999_999;

/// Reads a `grpc-timeout`: one to eight digits and a unit. Anything else is no timeout.
#[cfg(feature = "http")]
pub(crate) fn read_grpc_timeout(value: &http::HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    let nanos = UNITS.iter().find(|(name, _)| name == unit)?.1;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    // eight digits of hours are 11 415 years: too many nanoseconds for 64 bits
    let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    Some(Duration::from_secs(number * seconds) + Duration::from_nanos(number * rest))
}

/// Writes a `grpc-timeout` in the finest unit that has room for it, rounded down, and never zero.
#[cfg(feature = "http")]
pub(crate) fn write_grpc_timeout(time: Duration) -> http::HeaderValue {
    let nanos = time.as_nanos().max(1);
    let fits = UNITS.iter().find(|(_, unit)| nanos / u128::from(*unit) <= u128::from(MOST));
    let text = match fits {
        Some((name, unit)) => format!("{}{}", nanos / u128::from(*unit), char::from(*name)),
        None => format!("{MOST}H"),
    };
    http::HeaderValue::try_from(text).unwrap_or(http::HeaderValue::from_static("1n"))
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<Duration> {
        read_grpc_timeout(&HeaderValue::from_bytes(text.as_bytes()).unwrap())
    }

    /// H7
    #[test]
    fn a_grpc_timeout_is_digits_and_a_unit_or_nothing() {
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("0S"), Some(Duration::ZERO));
        for junk in ["", "5", "H", "999999999S", "+5S", "-1S", "1.5S", "5 S", "5s", "1h", "\u{e9}S"]
        {
            assert_eq!(read(junk), None, "{junk:?}");
        }
    }

    #[test]
    fn a_written_timeout_is_short_enough_for_the_wire() {
        assert_eq!(write_grpc_timeout(Duration::ZERO), "1n");
        assert_eq!(write_grpc_timeout(Duration::MAX), "99999999H");
        assert_eq!(write_grpc_timeout(Duration::from_millis(1_500)), "1500000u");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_the_same_time_rounded_down(nanos in 1..u64::MAX) {
            let time = Duration::from_nanos(nanos);
            let text = write_grpc_timeout(time);
            prop_assert!(text.len() <= 9);
            let again = read_grpc_timeout(&text).unwrap();
            prop_assert!(again <= time);
            prop_assert!(time - again <= time / 100_000 + Duration::from_nanos(1));
        }
    }
}
