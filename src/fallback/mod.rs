//! Fallback.
mod answer;
mod body;
mod error;
mod future;
mod handle;
mod layer;
mod policy;
mod service;

#[cfg(feature = "http")]
pub use self::{
    answer::Unavailable,
    body::{EmptyBody, FallbackBody},
};
pub use self::{
    answer::{Answer, Backup, Keep, KeepNothing, Respond, Undecided, Value},
    body::Join,
    error::{BackupTimeout, FallbackFailed},
    future::{AnswerFuture, BackupFuture},
    handle::{FallbackHandle, FallbackSnapshot},
    layer::FallbackLayer,
    policy::{Degraded, Failed},
    service::Fallback,
};
