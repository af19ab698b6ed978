//! Balancing over a set of endpoints.

mod cancel;
mod changes;
mod contract;
mod elsewhere;
mod faults;
mod model;
mod panics;
mod readiness;
mod size;
mod stage;
