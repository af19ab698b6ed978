//! One word that says whether an endpoint can be chosen, and what is to be asked before.

use crate::ewma::{LAST_TICK, Tick, tick};
use std::time::Duration;

// below the flags stands the end of a ramp, above them its length
pub(crate) const WATCHED: u64 = 1 << 40;
pub(crate) const HAS_ACCOUNT: u64 = 1 << 41;
pub(crate) const LIMITED: u64 = 1 << 42;
pub(crate) const EJECTED: u64 = 1 << 43;
pub(crate) const COOLS: u64 = 1 << 44;
pub(crate) const RAMPS: u64 = 1 << 45;
pub(crate) const DOWN: u64 = 1 << 46;
pub(crate) const BARRED: u64 = 1 << 47;
pub(crate) const GONE: u64 = 1 << 48;
/// Neither its tier nor those that are ejected in it are counted with this one.
pub(crate) const AWAY: u64 = 1 << 49;
const RAMP_SHIFT: u32 = 50;
const RAMP_STEP: Tick = 100;
/// Where a success is more than a number and a latency.
pub(crate) const ATTENTION: u64 = WATCHED | HAS_ACCOUNT | EJECTED | COOLS;

pub(crate) fn ramp_word(from: Tick, length: Duration) -> u64 {
    let steps = tick(length).div_ceil(RAMP_STEP).min((1 << (64 - RAMP_SHIFT)) - 1);
    if steps == 0 {
        return 0;
    }
    steps << RAMP_SHIFT | RAMPS | from.saturating_add(steps * RAMP_STEP).min(LAST_TICK)
}

pub(crate) const fn without_ramp(gate: u64) -> u64 {
    gate & ((1 << RAMP_SHIFT) - 1) & !(RAMPS | LAST_TICK)
}

/// The end of the ramp that stands in a gate, and its length.
pub(crate) const fn ramp(gate: u64) -> (Tick, Tick) {
    (gate & LAST_TICK, (gate >> RAMP_SHIFT) * RAMP_STEP)
}
