//! The long form: how to think about a failover stack, and how this one was thought out.
//!
//! Every block of code in it is compiled and run with the tests.

#[doc = include_str!("order.md")]
pub mod order {}

#[doc = include_str!("choosing.md")]
pub mod choosing {}

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("failure_model.md")]
pub mod failure_model {}

#[doc = include_str!("simulation.md")]
pub mod simulation {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("compiler_errors.md")]
pub mod compiler_errors {}

#[doc = include_str!("architecture.md")]
pub mod architecture {}

/// The code of the README, which is not shown a second time here.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub mod readme {}
