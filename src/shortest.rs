//! The shortest time that a setting stands for.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_nanos(1);

/// The time, or the shortest one where it is zero: what is set to zero is as short as it can be, and no special
/// case.
pub(crate) const fn at_least_shortest(time: Duration) -> Duration {
    if time.is_zero() { SHORTEST } else { time }
}
