//! The shortest time that a setting stands for.

use std::time::Duration;

/// Timers of tokio know no shorter one.
const SHORTEST: Duration = Duration::from_millis(1);

/// The time, or 1 ms where it is shorter: what is set to zero is as short as it can be, and no special case.
pub(crate) const fn at_least_shortest(time: Duration) -> Duration {
    // `Ord::max` is not `const`
    if time.as_nanos() < SHORTEST.as_nanos() { SHORTEST } else { time }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_a_millisecond_and_longer_times_stay_as_they_are() {
        for (set, counts) in [(0, 1_000_000), (1, 1_000_000), (1_000_001, 1_000_001)] {
            assert_eq!(at_least_shortest(Duration::from_nanos(set)), Duration::from_nanos(counts));
        }
        assert_eq!(at_least_shortest(Duration::MAX), Duration::MAX);
    }
}
