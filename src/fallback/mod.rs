//! Answers with something else when a service fails.
//!
//! Use it outermost, where some answer is better than an error: a cached or default value, another
//! service, a clean `503`. Don't use it to hide errors that the caller has to know of: what it gives
//! is marked as [`Degraded`], and the failures behind it stay visible in the [`FallbackHandle`].
//!
//! | what stands in | setter | error type |
//! |---|---|---|
//! | a value made from what [`Failed`] | [`value`](FallbackLayer::value) | [`BoxError`](crate::BoxError) |
//! | the same, for every error | [`respond`](FallbackLayer::respond) | `Infallible` |
//! | the gRPC status UNAVAILABLE, for every error | [`unavailable`](FallbackLayer::unavailable) | `Infallible` |
//! | another service | [`service`](FallbackLayer::service) | [`BoxError`](crate::BoxError) |
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::fallback::FallbackLayer;
//!
//! let backup = service_fn(|name: &'static str| async move { Ok::<_, &str>(format!("{name}?")) });
//! let service = ServiceBuilder::new()
//!     .layer(FallbackLayer::plain().service(backup))
//!     .service(service_fn(|_: &'static str| async { Err::<String, _>("broken") }));
//! assert_eq!(service.oneshot("anna").await.unwrap(), "anna?");
//! # }
//! ```
//!
//! # Example: a chain, each step with its own predicate
//!
//! Steps are layers: the innermost is asked first, and passes on what it was not made for.
//!
//! ```
//! # #[cfg(feature = "http")]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::Outcome;
//! use tower_failover::fallback::{Degraded, FallbackLayer};
//! # type Body = Full<bytes::Bytes>;
//!
//! /// A provider that answers everything with this status.
//! fn provider<B>(status: u16) -> impl tower::Service<
//!     Request<B>, Response = Response<Body>, Error = Infallible, Future: Send,
//! > + Clone {
//!     service_fn(move |_: Request<B>| async move {
//!         Ok(Response::builder().status(status).body(Body::default()).unwrap())
//!     })
//! }
//!
//! let throttled = |outcome| matches!(outcome, Outcome::Throttled { .. });
//! let unsuitable = |outcome| outcome == Outcome::Unsuitable;
//! let service = ServiceBuilder::new()
//!     .layer(FallbackLayer::http().service(provider(200)).on(throttled).name("other provider"))
//!     .layer(FallbackLayer::http().service(provider(200)).on(unsuitable).name("larger model"))
//!     .service(provider(429));
//!
//! let response = service.oneshot(Request::new(Body::default())).await.unwrap();
//! assert_eq!(response.extensions().get::<Degraded>().unwrap().by(), "other provider");
//! # }
//! # #[cfg(not(feature = "http"))]
//! # fn main() {}
//! ```
//!
//! # Example: axum
//!
//! `Router::layer` takes layers that can't fail, so `respond` stands outermost:
//!
//! ```
//! # #[cfg(feature = "http")]
//! # fn example() {
//! use axum::http::{Response, StatusCode};
//! use axum::{BoxError, Router, body::Body, routing::get};
//! use std::time::Duration;
//! use tower::{ServiceBuilder, timeout::TimeoutLayer};
//! use tower_failover::fallback::{Failed, FallbackLayer};
//!
//! let app: Router = Router::new().route("/", get(|| async { "hello" })).layer(
//!     ServiceBuilder::new()
//!         .layer(FallbackLayer::http().only_errors().respond(|_: Failed<Response<Body>>| {
//!             let mut busy = Response::new(Body::from("try again later"));
//!             *busy.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
//!             busy
//!         }))
//!         .layer(TimeoutLayer::new(Duration::from_secs(1))),
//! );
//! # }
//! ```
//!
//! # Defaults
//!
//! | setter | default |
//! |---|---|
//! | [`on`](FallbackLayer::on) | every outcome that [failed](crate::Outcome::is_failed) |
//! | [`only_errors`](FallbackLayer::only_errors) | off: answers that failed are replaced too |
//! | [`within`](FallbackLayer::within), of a service | 2 s |
//! | [`budget`](FallbackLayer::budget), of a service | none: its calls are free |
//! | [`first_result`](FallbackLayer::first_result), of a service | off: its error is returned |
//! | [`name`](FallbackLayer::name) | `fallback` |
//!
//! # What is sent to a backup service
//!
//! A request that the first service may have worked on is sent to the backup only if it may be
//! [repeated](crate::replay::Http#what-may-be-repeated): two providers that both book an order are as
//! bad as one that books it twice. A POST so gets to the backup after a refusal, a 429 and an
//! `Unsuitable`, and after a failure if it has an `Idempotency-Key` (which says something only to a
//! backup that knows the same keys) or is declared idempotent. Otherwise the first result is returned,
//! with an event, and counted as `withheld`.
//!
//! # Order
//!
//! Outermost. A backup service stands outside of the timeout layers around the first one: that is
//! what `within` is for.
//!
//! # Readiness and clones
//!
//! An error of the first service's `poll_ready` is kept, judged by the next call, and so replaced like
//! another; the service is polled again after that, so it must not be one that can't be, such as
//! tower's `future_service`. A backup service is cloned when it is needed, and
//! polled ready then. Clones share the counts, not the readiness.
//!
//! # Cancellation
//!
//! Dropping the future drops both calls; what was paid for a backup that was not called goes back to
//! the budget.
//!
//! # Errors
//!
//! [`FallbackFailed`] when a backup service fails as well, with both errors; the first service's own
//! where there is nothing to stand in for it.
//!
//! # Events
//!
//! Target `tower_failover::fallback`, level `DEBUG`, fields `name` and `outcome`:
//!
//! | event | when |
//! |---|---|
//! | `answered instead` | a value was made |
//! | `switching to the backup` | the backup service will be called |
//! | `the backup failed too` | with an error, or not in time |
//! | `not repeatable`, `not replayable`, `out of budget`, `out of time` | the first result is returned |
//!
//! # How it works
//!
//! ```text
//!  call ─► first service ─► judged ─┬─ not chosen ─► its own result
//!                                   └─ chosen ─┬─ value ────────────────────────► marked answer
//!                                              └─ may be sent again? ─► backup ─┬─► marked answer
//!                                                     │ no              within  └─► FallbackFailed
//!                                                     └─► its own result
//! ```

mod answer;
mod body;
mod error;
mod future;
mod handle;
mod layer;
mod policy;
mod service;
mod state;

#[cfg(feature = "http")]
#[doc(hidden)]
pub use self::answer::Unavailable;
#[cfg(feature = "http")]
pub use self::body::{EmptyBody, FallbackBody};
#[doc(hidden)]
pub use self::{
    answer::{Answer, Backup, Keep, KeepBy, KeepNothing, Respond, Undecided, Value},
    body::Join,
};
pub use self::{
    error::{BackupTimeout, FallbackFailed},
    future::{AnswerFuture, BackupFuture},
    handle::{FallbackHandle, FallbackSnapshot},
    layer::FallbackLayer,
    policy::{Degraded, Failed},
    service::Fallback,
};
