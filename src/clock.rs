//! The only place that reads the clock or sleeps.
//!
//! Everything goes through `tokio::time`, so that a paused clock drives the whole crate; the wall
//! clock is read for one purpose, to turn the date of a `Retry-After` into a duration.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
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

/// Counts the steps of a fixed length since a beginning.
///
/// A thread remembers the end of its last step, since nearly all calls find themselves in the step of the
/// call before: a good call through a breaker costs 144 instructions, and 203 without it. It does so
/// in a `PLACE`, of which those that stand in one stack should have different ones.
#[derive(Debug)]
pub(crate) struct Steps<const PLACE: usize> {
    id: u64,
    began: Instant,
    step: Duration,
}

/// The slices of a circuit's window.
pub(crate) type Slices = Steps<0>;
/// The milliseconds of a set of endpoints.
pub(crate) type Millis = Steps<1>;
/// The steps after which a percentile is taken anew.
pub(crate) type Looks = Steps<2>;

/// The step that a thread was in, of the steps with this id, and its name with this key.
struct Step {
    of: Cell<u64>,
    key: Cell<u64>,
    until: Cell<Option<Instant>>,
    name: Cell<u64>,
}

impl Step {
    const fn none() -> Self {
        Self { of: Cell::new(0), key: Cell::new(0), until: Cell::new(None), name: Cell::new(0) }
    }
}

thread_local! {
    static LAST: [Step; 3] = const { [Step::none(), Step::none(), Step::none()] };
}

impl<const PLACE: usize> Steps<PLACE> {
    pub(crate) fn new(began: Instant, step: Duration) -> Self {
        // Relaxed: each is handed out once, and that is all
        static IDS: AtomicU64 = AtomicU64::new(1);
        Self { id: IDS.fetch_add(1, Relaxed), began, step: step.max(Duration::from_nanos(1)) }
    }

    /// The time since the beginning.
    pub(crate) fn passed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// The number of the step at an instant.
    #[inline]
    pub(crate) fn number(&self, now: Instant) -> u64 {
        self.name(now, 0, |number| number)
    }

    /// The name of the step at an instant, made of its number and a key; the first number is 0. On one
    /// thread the instants of a clock don't go back.
    #[inline]
    pub(crate) fn name(&self, now: Instant, key: u64, make: impl FnOnce(u64) -> u64) -> u64 {
        let known = LAST.with(|last| match last[PLACE].until.get() {
            Some(until)
                if last[PLACE].of.get() == self.id
                    && last[PLACE].key.get() == key
                    && now < until =>
            {
                Some(last[PLACE].name.get())
            }
            _ => None,
        });
        known.unwrap_or_else(|| self.find(now, key, make))
    }

    #[cold]
    fn find(&self, now: Instant, key: u64, make: impl FnOnce(u64) -> u64) -> u64 {
        let passed = self.passed(now).as_nanos();
        let step = self.step.as_nanos();
        let end = u64::try_from(passed - passed % step + step).unwrap_or(u64::MAX);
        let until = Some(after(self.began, Duration::from_nanos(end)));
        let name = make(u64::try_from(passed / step).unwrap_or(u64::MAX));
        LAST.with(|last| {
            last[PLACE].of.set(self.id);
            last[PLACE].key.set(key);
            last[PLACE].until.set(until);
            last[PLACE].name.set(name);
        });
        name
    }
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
