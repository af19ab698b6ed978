//! Rules by which a circuit trips and an endpoint is ejected.
//!
//! | rule | is reached when | use it for |
//! |---|---|---|
//! | [`FailureRatio`] | a share of the calls failed | steady traffic: it does not depend on how much |
//! | [`SlowRatio`] | a share of the calls was slow, failed or not | a service that slows down before it fails |
//! | [`Failures`] | a number of calls failed | a promise about errors to keep |
//! | [`Consecutive`] | a number of calls failed in a row | a few calls a minute |
//!
//! A circuit breaker takes rules with [`trip_on`], a balancer with [`eject_on`]. Each rule counts in a
//! window of its own, which slides: by time, or over the last calls. It is asked after every outcome that
//! counts, a success included, since that may complete `min_calls`. A threshold is reached at its number:
//! "more than 50 failures" is `Failures::count::<51>()`, and "above 25 %" is [`FailureRatio::above`].
//!
//! For a circuit breaker, a rule opens the circuit, or [degrades](FailureRatio::degrade) it: then it admits
//! a smaller share of the calls, which follows what the service can carry. An endpoint can only be ejected,
//! so that a rule that degrades is no [`EjectRule`]:
//!
//! ```compile_fail,E0277
//! use tower_failover::trip::{EjectRule, FailureRatio};
//!
//! let rule: EjectRule = FailureRatio::percent::<50>().degrade().into();
//! ```
//!
//! # Example
//!
//! ```
//! # #[cfg(feature = "circuit-breaker")] {
//! use std::time::Duration;
//! use tower_failover::circuit_breaker::CircuitBreakerLayer;
//! use tower_failover::trip::{Consecutive, FailureRatio, SlowRatio};
//!
//! let errors = FailureRatio::percent::<25>().within(Duration::from_secs(30));
//! let slow = SlowRatio::slower_than(Duration::from_secs(2)).min_calls(10).degrade();
//! let (layer, circuit) = CircuitBreakerLayer::plain()
//!     .trip_on(errors)
//!     .trip_on(slow)
//!     .trip_on(Consecutive::count::<5>())
//!     .with_handle();
//!
//! let rules = circuit.snapshot().rules;
//! assert_eq!(rules[0].rule, errors.into());
//! assert_eq!(rules[1].rule, slow);
//! # drop(layer);
//! # }
//! ```
//!
//! # Defaults
//!
//! | setter | default | zero means | above its range |
//! |---|---|---|---|
//! | `percent`, `new`, `ratio`: at least this share | 50 % for [`SlowRatio`] | the first hit reaches it; `percent::<0>()` does not compile | does not compile, or is no [`Ratio`](crate::Ratio) |
//! | `above`: more than this share | | the first hit reaches it | above 1 nothing reaches it |
//! | `count`, `new`: at least this number | | does not compile, or is no `NonZeroU32` | counts as the calls of [`last`](Failures::last) |
//! | `within` | 10 s | 1 ns a bucket, the shortest window | |
//! | `last` | by time | is no `NonZeroU32` | 1 000 000 |
//! | `buckets`, of a window by time | 10 | 1 | 32 |
//! | `min_calls` | 20, or all calls of `last` | 1 | counts as the calls of `last` |
//! | `slower_than`, `ending_later_than` | none, one is needed | every call that takes any time | |
//!
//! [`trip_on`]: crate::circuit_breaker::CircuitBreakerLayer::trip_on
//! [`eject_on`]: crate::balance::BalanceLayer::eject_on

mod counts;
mod ratios;
mod rule;
mod window;

pub use self::{
    counts::{Consecutive, Failures},
    ratios::{FailureRatio, SlowRatio},
    rule::{EjectRule, TripRule},
};
pub(crate) use self::{
    rule::{Action, HitBy, Limit},
    window::Span,
};
