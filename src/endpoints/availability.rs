//! Whether an endpoint can be chosen.

use crate::ewma::Tick;

/// Whether an endpoint can be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Availability {
    Serves,
    /// This share of its weight counts.
    Ramps(f32),
    /// Not before then, unless there is a panic; then it may have a trial.
    Ejected(Tick),
    Down,
    Cools(Tick),
    /// It has cooled down, and one call may see whether that was enough.
    CoolTrial,
    Never,
}
