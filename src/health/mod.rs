//! What is known of one endpoint, from live traffic and from probes: how fast it answers, how often it
//! fails, how many calls are in flight, and whether it rests.
//!
//! | what | is kept as | and read as |
//! |---|---|---|
//! | latency | average over time of the times to good answers | the slow part of the cost, published when a call ends |
//! | health | share of good answers, which decays with time | the same |
//! | in flight | a count, up to the end of the body | at each choice |
//! | ejection | a circuit, made at the first failure | a gate: one word |
//! | cool-down | a time, of the endpoint or its scope | the same gate |
//!
//! On the way of a good call these are a few relaxed atomics; all else is behind a lock and happens when
//! something fails. The endpoints of a set share a `Roster`, which knows how many of them rest.

mod cool;
mod course;
mod endpoint;
mod gate;
mod lost;
mod roster;
mod settings;
mod trouble;

pub use self::trouble::OutcomeCounts;
pub(crate) use self::{
    cool::CoolDown,
    endpoint::{Health, Place, Standing},
    roster::Roster,
    settings::Settings,
    trouble::Checked,
};
