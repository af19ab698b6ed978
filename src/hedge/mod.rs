//! Sends a second request beside one that takes long.

mod delay;
mod future;
mod handle;
mod layer;
mod policy;
mod service;
mod state;

pub use self::{
    delay::{Delay, Percentile},
    future::HedgeFuture,
    handle::{HedgeHandle, HedgeSnapshot},
    layer::HedgeLayer,
    service::Hedge,
};
