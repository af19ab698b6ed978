//! Retry.
mod future;
mod handle;
mod layer;
mod policy;
mod service;
mod state;

pub use self::{
    future::RetryFuture,
    handle::{RetryHandle, RetrySnapshot},
    layer::RetryLayer,
    service::Retry,
};
