//! Ends the process when a run hangs, which a paused clock can't see.

use crate::clock;
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

static SEED: AtomicU64 = AtomicU64::new(0);
static BEATS: AtomicU64 = AtomicU64::new(0);

const LOOK: Duration = Duration::from_secs(5);
/// A minute: the slowest runs take some seconds in a debug build.
const MAX_STILL: u32 = 12;

/// The exit code for a run that hangs.
const HANGS: i32 = 3;

/// From here on, a run of this seed is under way.
pub(crate) fn beat(seed: u64) {
    SEED.store(seed, Relaxed);
    BEATS.fetch_add(1, Relaxed);
}

pub(crate) fn start() {
    thread::spawn(|| {
        let (mut last, mut still) = (0, 0);
        while still < MAX_STILL {
            clock::block(LOOK);
            let beats = BEATS.load(Relaxed);
            still = if beats == last && beats > 0 { still + 1 } else { 0 };
            last = beats;
        }
        println!("HANGS seed {}", SEED.load(Relaxed));
        exit(HANGS);
    });
}
