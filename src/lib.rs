//! Layers for [tower] that keep a service answering when what it calls fails.
//!
//! Each layer is one middleware, wraps any [`Service`], and stands in a `ServiceBuilder` beside
//! tower's own. Use one of them, or build a failover stack from several: they know of each other
//! through a few small shared types, not through a framework.
//!
//! | module | stops | main knob, default |
//! |---|---|---|
//! | [`retry`] | failures that pass | [`max_retries`](retry::RetryLayer::max_retries), 2 |
//! | [`circuit_breaker`] | calls to what is sick | [`trip_on`](circuit_breaker::CircuitBreakerLayer::trip_on), half of at least 20 calls in 10 s |
//! | [`balance`] | requests to endpoints that are sick, slow or full | [`eject_on`](balance::BalanceLayer::eject_on), three failures in a row |
//! | [`hedge`] | slow answers that another attempt would give sooner | [`delay`](hedge::HedgeLayer::delay), 95th percentile |
//! | [`fallback`] | failures that stay | what stands in: a value, a service |
//! | [`first_frame`] | answers whose head is good, and nothing behind it | [`timeout`](first_frame::FirstFrameLayer::timeout), none |
//! | [`stall`] | answers that fall silent | [`idle`](stall::StallLayer::idle), none |
//!
//! [`trip`] has the rules by which circuits trip and endpoints are ejected, and [`track`] records an endpoint as [`balance`] does, for the balancers of tower.
//!
//! # Example
//!
//! A service that fails is asked again, and when that does not help, something else answers:
//!
//! ```
//! # #[cfg(all(feature = "retry", feature = "fallback"))]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::fallback::FallbackLayer;
//! use tower_failover::retry::RetryLayer;
//!
//! let mut calls = 0;
//! let flaky = service_fn(move |question: &'static str| {
//!     calls += 1;
//!     std::future::ready(match (question, calls) {
//!         ("hard", _) | (_, 1) => Err("no idea"),
//!         _ => Ok("42"),
//!     })
//! });
//! let mut service = ServiceBuilder::new()
//!     .layer(FallbackLayer::plain().value(|_| "ask me later"))
//!     .layer(RetryLayer::plain())
//!     .service(flaky);
//!
//! assert_eq!(service.ready().await.unwrap().call("easy").await.unwrap(), "42"); // the second attempt
//! assert_eq!(service.ready().await.unwrap().call("hard").await.unwrap(), "ask me later");
//! # }
//! # #[cfg(not(all(feature = "retry", feature = "fallback")))]
//! # fn main() {}
//! ```
//!
//! # What the layers share
//!
//! * **One judgement.** A [`Classify`](classify::Classify) turns a `Result` into an [`Outcome`], and
//!   every layer goes by that: a 503 is a failure although it is an `Ok`, and a request that our own
//!   side refused is held against nobody, although it is an `Err`.
//! * **One way to copy a request.** [`replay`] copies `Clone` requests by clone, and HTTP requests
//!   with the frames of their bodies as they are first sent.
//! * **One end of an attempt.** [`attempt`] settles each attempt once, where it really ends: at the
//!   end of its body, in the trailers, by a drop.
//! * **One budget.** A [`Budget`] bounds extra attempts; clones of one can be given to several
//!   layers.
//! * **One record.** [`Attempts`] travels with an HTTP request, so that nested layers count together
//!   instead of multiplying one another, and a retry goes to an endpoint that was not tried.
//! * **What a request says of itself.** A [`RequestPolicy`] and a [`Deadline`] are typed extensions.
//!
//! Every layer has the constructors `plain()`, `http()` and `grpc()`: they choose how a request is
//! copied and an answer judged.
//!
//! # Features
//!
//! Nothing is on by default, and a feature only adds: `retry`, `circuit-breaker`, `hedge`, `fallback`,
//! `balance` (with [`track`]), `http` (requests and answers of HTTP and gRPC), `first-frame` and `stall` (each
//! with `http`), and `full` for all of them.
//!
//! # What it does not do
//!
//! Limit rates or cut slow attempts (tower's own layers do), continue a broken stream by replaying
//! text, count tokens, translate between providers, find endpoints ([`follow`](balance::Endpoints::follow) takes
//! them from a tower `Discover`), or spawn tasks: probes and `follow` are futures to be spawned. On the way of
//! a good call it allocates nothing of its own for a `Clone` request, and boxes no future. The
//! locks that it takes are few, and none is held while anything is awaited: a balancer finds its set behind a
//! read lock of the thread's stripe, and reads the settings behind another one while a body has nothing yet; a
//! breaker with a circuit for each key takes the lock of its map; and a request that streams, or that carries a
//! record, takes its own. The guide lists them under `architecture`.
//!
//! # Guide
//!
//! The long form is in the module `guide`: the order of layers, which of them to choose, the reason of
//! each default, how they fail, how well calls are balanced, how to test them, and what compiler errors
//! mean. Four examples show stacks over real servers that fail: `quickstart`, `circuit_breaker`, `streaming`,
//! which is about answers that stream, and `gateway`, a reverse proxy.
//!
//! # Runtime
//!
//! Time is `tokio::time`. Layers and services can be built, cloned and dropped anywhere; a call that
//! has to wait needs a tokio runtime with time enabled, and panics without one, as `tokio::time::sleep`
//! does.
//!
//! [tower]: https://docs.rs/tower
//! [`Service`]: tower_service::Service

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(
        feature = "retry",
        feature = "circuit-breaker",
        feature = "fallback",
        feature = "balance",
        feature = "hedge",
        feature = "http"
    )),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        unused_macros,
        reason = "what a middleware that is left out would use"
    )
)]

pub mod attempt;
mod backoff;
mod budget;
mod circuit;
mod clock;
#[cfg(feature = "balance")]
mod endpoints;
mod error;
mod ewma;
mod hint;
mod histogram;
mod lazy_box;
mod outcome;
mod padded;
mod panic_guard;
mod ratio;
mod reason;
mod rng;
mod sealed;
mod shortest;
mod snapshot_cell;
mod striped;
mod sync;
mod waiters;
mod window;

#[cfg(feature = "balance")]
pub mod balance;
#[cfg(feature = "circuit-breaker")]
pub mod circuit_breaker;
pub mod classify;
#[cfg(feature = "fallback")]
pub mod fallback;
#[cfg(feature = "first-frame")]
pub mod first_frame;
#[cfg(all(doc, feature = "full"))]
pub mod guide;
#[cfg(feature = "hedge")]
pub mod hedge;
pub mod replay;
#[cfg(feature = "retry")]
pub mod retry;
#[cfg(feature = "stall")]
pub mod stall;
#[cfg(feature = "balance")]
pub mod track;
#[cfg(any(feature = "balance", feature = "circuit-breaker"))]
pub mod trip;
#[cfg(not(any(feature = "balance", feature = "circuit-breaker")))]
mod trip;

pub use self::{
    attempt::{attempts::Attempts, deadline::Deadline, policy::RequestPolicy},
    backoff::{Backoff, Delays, Jitter},
    budget::Budget,
    error::{BoxError, InvalidSetting, Refusal, chain as error_chain},
    hint::Hint,
    outcome::Outcome,
    ratio::Ratio,
};
