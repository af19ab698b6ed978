//! The only place that reads a clock or waits.
#![expect(
    clippy::disallowed_methods,
    reason = "the runs have a clock of their own; the watchdog and the rates need the real one"
)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Microseconds that a millisecond of a plan takes.
static SCALE: AtomicU64 = AtomicU64::new(PAUSED_SCALE);

const PAUSED_SCALE: u64 = 1_000;
const REAL_SCALE: u64 = 10;

/// Makes every plan of this process run on the real clock, a hundred times as fast as it says.
pub(crate) fn use_real_time() {
    SCALE.store(REAL_SCALE, Relaxed);
}

/// Whether plans run on the real clock.
pub(crate) fn is_real_time() -> bool {
    SCALE.load(Relaxed) != PAUSED_SCALE
}

/// The duration of `n` milliseconds of a plan.
pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_micros(n.saturating_mul(SCALE.load(Relaxed)))
}

/// The present instant of the run.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits in the time of the run.
pub(crate) fn sleep(time: Duration) -> Sleep {
    tokio::time::sleep(time)
}

/// Waits until an instant of the run.
pub(crate) fn sleep_until(at: Instant) -> Sleep {
    tokio::time::sleep_until(at)
}

/// Measures the seconds that a command takes.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Blocks this thread, outside of every runtime.
pub(crate) fn block(time: Duration) {
    std::thread::sleep(time);
}
