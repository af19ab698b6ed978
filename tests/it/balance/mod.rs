//! Balancing over a set of endpoints.

mod cancel;
mod changes;
mod contract;
mod elsewhere;
mod faults;
mod http_checks;
mod limits;
mod model;
mod outages;
mod panics;
mod probes;
mod readiness;
mod shares;
mod size;
mod streams;
mod throttles;
mod tiers;
mod world;
