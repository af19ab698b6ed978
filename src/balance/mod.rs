//! Sends each request to the endpoint that will serve it best.

mod content;
mod endpoint;
mod endpoints;
mod error;
mod follow;
mod future;
#[cfg(feature = "http")]
mod http_check;
mod late;
mod layer;
mod pick;
mod policy;
mod probe;
mod service;
mod set;
mod situation;
mod state;
mod tiers;
mod weights;

#[cfg(feature = "http")]
pub use self::http_check::HttpCheck;
pub use self::{
    endpoint::{Endpoint, EndpointInfo},
    endpoints::{EndpointSnapshot, EndpointState, Endpoints},
    error::NoEndpoint,
    future::BalanceFuture,
    layer::{BalanceLayer, LatencyOf},
    policy::{Allow, Everyone, Only},
    probe::{Check, Probe, Report},
    service::Balance,
};
pub use crate::circuit::TripRule;
pub use crate::health::OutcomeCounts;
