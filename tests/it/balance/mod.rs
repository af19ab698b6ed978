//! Balancing over a set of endpoints.

mod faults;
mod limits;
mod outages;
mod shares;
mod streams;
mod throttles;
mod tiers;
mod world;
