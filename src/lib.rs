//! crate docs
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(feature = "retry", feature = "fallback", feature = "http")),
    allow(
        dead_code,
        unused_imports,
        unused_macros,
        reason = "the middlewares that are left out use the rest"
    )
)]

mod attempts;
mod backoff;
mod budget;
mod clock;
mod deadline;
mod error;
mod hint;
mod outcome;
mod policy;
mod ratio;
mod rng;
mod stripe;

pub mod classify;
#[cfg(feature = "fallback")]
pub mod fallback;
pub mod replay;
#[cfg(feature = "retry")]
pub mod retry;

pub use self::{
    attempts::Attempts,
    backoff::{Backoff, Delays, Jitter},
    budget::Budget,
    deadline::Deadline,
    error::{BoxError, InvalidSetting, Refusal},
    hint::Hint,
    outcome::Outcome,
    policy::Policy,
    ratio::Ratio,
};
