//! Refuses calls while a service is sick.

mod error;
mod future;
mod gate;
mod handle;
mod keyed;
mod layer;
mod policy;
mod scope;
mod service;
mod state;

pub use self::{
    error::CircuitOpen,
    future::CircuitBreakerFuture,
    handle::{CircuitChanges, CircuitHandle},
    keyed::KeyedHandle,
    layer::CircuitBreakerLayer,
    scope::{ByKey, Keyed, One, PerService, Scope, Sharing, Together},
    service::CircuitBreaker,
};
#[doc(hidden)]
pub use self::{
    scope::{CircuitTerms, Find, Through},
    state::Watched,
};
pub use crate::circuit::{CircuitSnapshot, CircuitState, RuleSnapshot, TripRule};
