//! What is known of one endpoint, from live traffic and from probes: how fast it answers, how often it
//! fails, how many calls are in flight, and whether it rests.
//!
//! | what | is kept as | and read as |
//! |---|---|---|
//! | latency | average over time of the times to good answers | the slow part of the cost, published when a call ends |
//! | health | share of good answers, which decays with time | the same |
//! | in flight | a count, up to the end of the body | at each choice |
//! | ejection | a circuit, made at the first failure | a gate: one word |
//! | cool-down | a time, of the endpoint or its account | the same gate |
//!
//! On the way of a good call these are a few relaxed atomics; all else is behind a lock and happens when
//! something fails. The endpoints of a set share a `SetState`, which knows how many of them rest.

mod availability;
mod census;
mod change_count;
mod checked;
mod config;
mod content;
mod cool_down;
mod endpoint;
mod endpoint_ref;
#[expect(clippy::module_inception, reason = "the handle has the name of the set")]
mod endpoints;
mod events;
mod failure_state;
mod follow;
mod gate;
mod health;
#[cfg(feature = "http")]
mod http_check;
mod loser;
mod probe;
mod set;
mod set_state;
mod situation;
mod tiers;
mod update;
mod weight;
mod weights;

#[cfg(feature = "http")]
pub use self::http_check::HttpCheck;
pub(crate) use self::{
    availability::Availability,
    config::SetConfig,
    endpoint_ref::EndpointRef,
    endpoints::EndpointSet,
    gate::Beginning,
    health::Health,
    set::{Band, Member, Snapshot, Tier},
    set_state::SetState,
    tiers::Load,
    weights::Weights,
};
pub use self::{
    endpoint::{Endpoint, EndpointInfo},
    endpoints::{EndpointSnapshot, EndpointState, Endpoints},
    failure_state::OutcomeCounts,
    probe::{Check, Probe, Report},
    weight::Weight,
};
