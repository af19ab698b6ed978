//! Sends a second request beside one that takes long, and takes the first good answer.
//!
//! A server that stops for a moment, to collect garbage or to fill a cache, makes one call in a hundred slow,
//! and a request that needs ten such calls slow once in ten. Another server would have answered meanwhile.
//! This layer asks it when an answer takes longer than nearly all others do, and drops what is slower.
//!
//! Use it over a [balancer](crate::balance), so that the second request goes to another endpoint. Don't use
//! it where each request is costly: a model provider may charge for both.
//!
//! Why a budget? When everything is slow, every request is due for a hedge, and the load would double
//! just when the service can't carry it. Hedges are paid from a [`Budget`](crate::Budget) of 5 %.
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower::BoxError> {
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! use std::time::Duration;
//! use tokio::time::{Instant, sleep};
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::hedge::HedgeLayer;
//!
//! // answers in 10 ms, but every 50th call takes a second
//! static CALLS: AtomicU32 = AtomicU32::new(0);
//! let server = service_fn(|()| async {
//!     let stalls = CALLS.fetch_add(1, Relaxed) % 50 == 49;
//!     sleep(Duration::from_millis(if stalls { 1_000 } else { 10 })).await;
//!     Ok::<_, BoxError>(())
//! });
//! let (layer, handle) = HedgeLayer::plain().with_handle();
//! let mut service = ServiceBuilder::new().layer(layer).service(server);
//!
//! let mut slow = 0;
//! for _ in 0..1_000 {
//!     let began = Instant::now();
//!     service.ready().await?.call(()).await?;
//!     slow += u32::from(began.elapsed() > Duration::from_millis(50));
//! }
//! assert_eq!(slow, 2, "no hedge before a hundred latencies are known, and then there is always one");
//! assert_eq!(handle.snapshot().won, 18);
//! # Ok(())
//! # }
//! ```
//!
//! # Example: HTTP over several endpoints
//!
//! ```
//! # #[cfg(all(feature = "http", feature = "balance", feature = "retry"))]
//! # fn example<S>(endpoints: tower_failover::balance::Endpoints<S>)
//! # where S: tower::Service<http::Request<tower_failover::replay::ReplayBody<tower_failover::replay::ReplayBody<http_body_util::Full<bytes::Bytes>>>>, Response = http::Response<http_body_util::Full<bytes::Bytes>>, Error = tower_failover::BoxError> + Clone + Send + Sync + 'static,
//! # {
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//! use tower_failover::balance::BalanceLayer;
//! use tower_failover::hedge::{HedgeLayer, Percentile};
//! use tower_failover::retry::RetryLayer;
//! use tower_failover::{Budget, Ratio};
//!
//! // one account for all extra attempts
//! let budget = Budget::new().ratio(Ratio::percent::<20>());
//! let p99 = Percentile::new(Ratio::percent::<99>()).ceiling(Duration::from_secs(3));
//! let service = ServiceBuilder::new()
//!     .layer(RetryLayer::http().budget(budget.clone()))
//!     .layer(HedgeLayer::http().delay(p99).budget(budget))
//!     .layer(BalanceLayer::http())
//!     .service(endpoints);
//! # fn is_service<S: tower::Service<http::Request<http_body_util::Full<bytes::Bytes>>>>(_: S) {}
//! # is_service(service);
//! # }
//! ```
//!
//! # What may be hedged
//!
//! Requests that may reach the other side twice: idempotent ones, as [`Http`](crate::replay::Http) says, and
//! those of [`plain`](HedgeLayer::plain), which are all taken for repeatable. A POST is not hedged, nor is
//! a request with [`RequestPolicy::no_hedge`](crate::RequestPolicy::no_hedge), nor one whose body was too long to be kept.
//!
//! # Whose answer is taken
//!
//! | an attempt | then |
//! |---|---|
//! | succeeds | it is the answer; what still runs is dropped before the caller has it |
//! | says nothing (`Neutral`, a 404) | it is, where nothing else runs; else one delay later, unless a better one comes; with [`neutral_wins`](HedgeLayer::neutral_wins) at once |
//! | fails, and others run | those are waited for |
//! | fails, as have all others | the next one starts at once, if there is one; else the last answer is the answer |
//! | is throttled, unsuitable, or refused on our own side | the same, but the next one has to go to another endpoint |
//! | asks for no other one (gRPC pushback) | no hedge is sent any more; if it asks for one later, none before that |
//!
//! # Defaults
//!
//! | setter | default | zero means |
//! |---|---|---|
//! | [`delay`](HedgeLayer::delay) | the 95th percentile of the last 30 s, from 5 ms to 1 s, once 100 are known | all attempts at once |
//! | [`max_hedges`](HedgeLayer::max_hedges) | 1, two attempts | no hedge |
//! | [`budget`](HedgeLayer::budget) | its own: 5 % of the requests or 1 a second | |
//! | [`neutral_wins`](HedgeLayer::neutral_wins), [`same_endpoint`](HedgeLayer::same_endpoint) | off | |
//! | `replay_limit` | 64 KiB | a body of which something was sent is not sent again |
//!
//! # Order
//!
//! Inside of retry, outside of balance. Attempts are counted over both: a request makes at most
//! 1 + `max_retries` + `max_hedges`. Over a balancer each attempt goes to an endpoint that was not tried, and
//! where there is none left no hedge is sent; that is known where the record of the attempts travels, with
//! `http()`, `grpc()` and a [`Slot`](crate::replay::Slot).
//!
//! # Readiness and clones
//!
//! The service that was polled ready makes the first attempt. A hedge is made by a clone of it that
//! is ready when it is due. One that is not is dropped, and its place in any queue with it; another is asked one
//! delay later, as it is where the budget was used up. Of the budget, the last quarter of what can be saved up is not
//! for a request that asks for the first time, unless it has failed: others have waited longer. Clones share
//! the latencies, the budget and the counts.
//!
//! # Cancellation
//!
//! Dropping the future drops all attempts. An attempt that lost a race says nothing to a breaker. To its
//! endpoint it says that it takes longer than this: a latency may rise by it. Where the endpoint has answered
//! nothing since, it counts as failed after three times its latency, and as the third in a row, so that an
//! endpoint which hangs is found out behind a hedge.
//! Over HTTP/1 a connection on which an attempt was given up is closed; over HTTP/2 the stream is reset.
//!
//! # Errors
//!
//! Those of the service, unchanged.
//!
//! # Events
//!
//! Target `tower_failover::hedge`, level `DEBUG`:
//!
//! | event | fields | when |
//! |---|---|---|
//! | `hedge` | `number` of the attempt, `delay` since the first had to wait | one is sent |
//! | `no hedge` | `reason`: the fields of [`HedgeSnapshot`] | one was due and is not sent |
//! | `a hedge was faster` | `outcome` | its answer is taken |
//!
//! # How it works
//!
//! ```text
//!  call ─► first attempt ─┬─ good ──────────────────────────────────────► answer
//!                │        └─ failed ──┐
//!                └─ delay is over ────┴─► may be twice? turn left? elsewhere? time? budget? ready?
//!                                                              │ yes                    │ no
//!                                          second attempt ◄────┘                        └─► wait, or the last answer
//! ```
//!
//! The delay is a percentile of the time from the call to the answer, whichever attempt gave that, so that it
//! does not shrink by the hedges' own work; where more than that share of first attempts is slow, it grows up to
//! the ceiling, since the budget could not pay for them all. Latencies are counted in buckets an eighth wide, in slices
//! of 6 s, and looked at four times a second. A call that is answered at once reads no clock, is no sample,
//! and pays one add to the budget; one that has to wait reads it twice and arms one timer. The first hedge of
//! a request allocates; a good call does not.
//!
//! It is the hedged request of [The Tail at Scale], with gRPC's rules of [retry design] on pushback and on what
//! ends a race.
//!
//! [The Tail at Scale]: https://research.google/pubs/the-tail-at-scale/
//! [retry design]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md

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
