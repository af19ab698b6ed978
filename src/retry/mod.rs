//! Sends requests again that failed.
//!
//! Use it when failures pass: a connection that was cut, a server that restarts, a throttle that asks
//! to come again. Don't when the service is down for longer ([`fallback`](crate::fallback) answers
//! then), or when the caller retries by itself: attempts multiply.
//!
//! Why budgets, and not only a number of retries? In an outage every request fails, and with two
//! retries each the load triples just when the service can't carry it. A [`Budget`](crate::Budget)
//! bounds the extra attempts of all requests together, so that it rises by a fifth.
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::retry::RetryLayer;
//!
//! let mut attempts = 0;
//! let mut service = ServiceBuilder::new().layer(RetryLayer::plain()).service(service_fn(move |()| {
//!     attempts += 1;
//!     std::future::ready(if attempts < 3 { Err("busy") } else { Ok(attempts) })
//! }));
//! assert_eq!(service.ready().await.unwrap().call(()).await, Ok(3));
//! # }
//! ```
//!
//! # Example: an HTTP client, customised
//!
//! ```
//! # #[cfg(feature = "http")]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::classify::HttpClassifier;
//! use tower_failover::retry::RetryLayer;
//! use tower_failover::{Backoff, Budget, Outcome, Ratio};
//!
//! let (layer, handle) = RetryLayer::http()
//!     .classify(HttpClassifier::new().status(StatusCode::CONFLICT, Outcome::Failure))
//!     .max_retries(3)
//!     .backoff(Backoff::exponential(Duration::from_millis(20)))
//!     .budget(Budget::new().ratio(Ratio::percent::<10>()))
//!     .deadline(Duration::from_secs(5))
//!     .idempotent(["/v1/embeddings"])
//!     .with_handle();
//!
//! let mut conflicts = 2;
//! let mut service = ServiceBuilder::new().layer(layer).service(service_fn(move |_: Request<_>| {
//!     let status = if conflicts > 0 { StatusCode::CONFLICT } else { StatusCode::OK };
//!     conflicts -= 1;
//!     std::future::ready(Ok::<_, Infallible>(
//!         Response::builder().status(status).body(Full::<bytes::Bytes>::default()).unwrap(),
//!     ))
//! }));
//! let request = Request::post("/v1/embeddings").body(Full::<bytes::Bytes>::from("text")).unwrap();
//! let response = service.ready().await.unwrap().call(request).await.unwrap();
//! assert_eq!(response.status(), StatusCode::OK);
//! assert_eq!(handle.snapshot().retries, 2);
//! # }
//! # #[cfg(not(feature = "http"))]
//! # fn main() {}
//! ```
//!
//! # gRPC
//!
//! Every gRPC call is a POST, so a call that may have been made is repeated only where its method is
//! declared idempotent: that is one line. `body` turns the copied body into that of the client:
//!
//! ```
//! # #[cfg(feature = "http")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tonic::transport::Endpoint;
//! use tonic_health::pb::HealthCheckRequest;
//! use tonic_health::pb::health_client::HealthClient;
//! use tower::ServiceBuilder;
//! use tower_failover::classify::GrpcClassifier;
//! use tower_failover::retry::RetryLayer;
//!
//! let retry = RetryLayer::grpc()
//!     .idempotent(["/grpc.health.v1.Health/*"])
//!     // a refused connection is seen in the error of the channel
//!     .classify(GrpcClassifier::new().with_error_type::<tonic::transport::Error>())
//!     .body(tonic::body::Body::new);
//! let channel = Endpoint::from_static("http://127.0.0.1:50051").connect_lazy();
//! let mut client = HealthClient::new(ServiceBuilder::new().layer(retry).service(channel));
//! client.check(HealthCheckRequest::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Defaults
//!
//! | setter | default | zero means |
//! |---|---|---|
//! | [`max_retries`](RetryLayer::max_retries) | 2, three attempts | no retry |
//! | [`backoff`](RetryLayer::backoff) | 100 ms × 2, at most 5 s, full jitter | at once |
//! | [`budget`](RetryLayer::budget) | its own: 20 % of the requests or 10 a second | |
//! | [`deadline`](RetryLayer::deadline) | none but the request's own | no retry, unless `min_attempt` is zero too |
//! | [`min_attempt`](RetryLayer::min_attempt) | 10 ms | an attempt may start at the deadline |
//! | [`max_hint`](RetryLayer::max_hint) | 60 s | no hint is waited for |
//! | [`replay_limit`](RetryLayer::replay_limit) | 64 KiB | a body of which something was sent is not sent again |
//!
//! # Order
//!
//! Outside of it: fallback, and a timeout for the request as a whole. Inside: a timeout for each
//! attempt, and the client.
//!
//! # Readiness and clones
//!
//! The service that was polled ready makes the first attempt, and is polled ready again before each
//! further one. Nothing is reserved during a delay. An error of `poll_ready` before the first attempt
//! is the caller's to see; during a retry it is judged like a failed attempt. Clones of the service
//! share the budget and the counts. A service between two retry layers that does not pass `poll_ready`
//! on, such as tower's `Buffer`, hides them from each other, and their attempts multiply.
//!
//! # Cancellation
//!
//! Dropping the future drops the attempt, the delay, and what is kept of the request; what was paid
//! for an attempt that did not start goes back to the budget.
//!
//! # Errors
//!
//! Those of the service, unchanged: when a request is given up, the caller gets its last real answer.
//!
//! # Events
//!
//! Target `tower_failover::retry`, level `DEBUG`:
//!
//! | event | fields | when |
//! |---|---|---|
//! | `retry` | `retry`, `outcome`, `delay` | another attempt is decided on |
//! | `gave up` | `retries`, `outcome`, `reason` | a failed result is returned; the reasons are the fields of [`RetrySnapshot`] |
//!
//! Target `tower_failover::replay`, level `DEBUG`: `body too long to keep`, with its `limit`.
//!
//! # How it works
//!
//! ```text
//!  call ─► attempt ─► judged ─┬─ success, neutral ───────────────────────────────► result
//!             ▲               └─ failed ─► repeatable? ─► retries left? ─► budget? ─┐   ▲
//!             │                                │ no            │ no          │ no   │   │
//!             │                                └───────────────┴─────────────┴──────│───┤
//!             └─ ready again ◄─ delay ◄─ copy of the request ◄─ time left? ◄────────┘   │
//!                                                                   │ no                │
//!                                                                   └───────────────────┘
//! ```
//!
//! The copy of the request is taken last, since it ends the body of the attempt before. The failed
//! answer is dropped before the delay; from then on the retry is made. A *hint* of the
//! answer takes the place of the backoff, see [`Hint`](crate::Hint); one that is longer than
//! `max_hint`, or than the time left, gives up at once. Where the record of the
//! [`Attempts`](crate::Attempts) says that another endpoint is left to try, there is no delay. A
//! refusal made on our own side goes elsewhere or nowhere.
//!
//! The first failure of a request makes one small allocation, for the timer and the plan of what
//! comes; a good call makes none of its own. Where attempts fail at once and nothing delays the next,
//! other tasks get their turn after every 32.
//!
//! It follows gRPC's [retry design] where that speaks: pushback, `grpc-previous-rpc-attempts`, no
//! retry of what may have been done. The budget is after [Finagle's].
//!
//! [retry design]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md
//! [Finagle's]: https://twitter.github.io/finagle/guide/Clients.html#retries

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
