//! Balancing over a set of endpoints.

mod faults;
mod probes;
