//! Balancing over a set of endpoints.

mod faults;
mod limits;
mod outages;
mod probes;
mod shares;
mod streams;
mod throttles;
mod tiers;
mod world;
