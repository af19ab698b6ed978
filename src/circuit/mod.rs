//! The state of a circuit: what it counts, when it trips, and how it comes back.
//!
//! | state | event | next state |
//! |---|---|---|
//! | closed, degraded, ramp | a rule that opens is reached | open |
//! | closed, degraded, ramp | a rule that degrades is reached | degraded, with a smaller share |
//! | degraded | a dwell passed without that | degraded, with a larger share; closed at the whole |
//! | open | a call after the open time | half-open, with the call as its first trial |
//! | half-open | enough trials succeeded | ramp, or closed where there is none |
//! | half-open | a trial failed, was slow, panicked, hung, was dropped at its deadline; the third in a row was dropped early | open, for longer |
//! | half-open | a trial said nothing, or was dropped early | half-open: its permit is free again |
//! | ramp | its time has passed | closed |
//! | any | forced open, forced closed, observed only | that, until it is changed |
//! | any | reset | closed, with nothing counted |
//!
//! A result counts only in the *period* in which its call was admitted: the time from one closing of
//! the circuit to its next opening, or one half-open time. Rules that degrade go by the *generation*,
//! which every change of the share begins anew, so that each share is judged by its own calls.
//!
//! `machine` holds the states and is pure, and `share` what a degraded circuit lets through; `tally` counts
//! for one rule; `shared` joins them for calls of many threads: while the circuit is closed, a call reads
//! one word of it.

mod machine;
mod share;
mod shared;
mod tally;
mod types;

pub(crate) use self::{
    shared::{Change, Circuit},
    types::{Admission, CallVerdict, CircuitConfig, Mode, Refused},
};
pub use self::{
    shared::{CircuitSnapshot, RuleSnapshot},
    types::CircuitState,
};

#[cfg(test)]
mod tests;
