//! Sends each request to the endpoint that will serve it best.

mod endpoint;
mod endpoints;
mod error;
mod follow;
mod future;
mod late;
mod layer;
mod pick;
mod policy;
mod service;
mod set;
mod situation;
mod state;
mod tiers;
mod weights;

pub use self::{
    endpoint::{Endpoint, EndpointInfo},
    endpoints::{EndpointSnapshot, EndpointState, Endpoints},
    error::NoEndpoint,
    future::BalanceFuture,
    layer::{BalanceLayer, LatencyOf},
    policy::{Allow, Everyone, Only},
    service::Balance,
};
pub use crate::circuit::TripRule;
pub use crate::health::OutcomeCounts;
