//! The library's clock, but that it shows simulated time: each thread has its own simulation.

#[path = "../../src/clock.rs"]
mod real;

use crate::scenario::Nanos;
use std::cell::Cell;
use std::sync::LazyLock;
use std::time::Duration;

pub(crate) use real::{Instant, Looks, Millis, Sleep, Slices, Steps, after, sleep_until};

thread_local! {
    static NOW: Cell<Nanos> = const { Cell::new(0) };
}

/// Sets what time it is on this thread.
pub(crate) fn set(now: Nanos) {
    NOW.set(now);
}

pub(crate) fn now() -> Instant {
    at(NOW.get())
}

/// The instant of a simulated time, which is the same in all simulations.
pub(crate) fn at(time: Nanos) -> Instant {
    static BEGAN: LazyLock<Instant> = LazyLock::new(real::now);
    *BEGAN + Duration::from_nanos(time)
}
