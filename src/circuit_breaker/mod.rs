//! Refuses calls while a service is sick.
//!
//! Use it where a call to a sick service costs something: its caller waits for a timeout, holds a
//! connection, a thread, a place in a queue; and where the service recovers sooner when it is left alone.
//! Don't use it for calls that fail at once and cost nothing, nor around a whole set of endpoints of which
//! one is sick: give each its own, by [`per_service`](CircuitBreakerLayer::per_service). It answers
//! nothing: put a [`fallback`](crate::fallback) outside of it.
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitOpen};
//!
//! let mut service = ServiceBuilder::new()
//!     .layer(CircuitBreakerLayer::plain())
//!     .service(service_fn(|()| async { Err::<(), _>("down") }));
//!
//! // half of at least 20 calls
//! for _ in 0..20 {
//!     let error = service.ready().await.unwrap().call(()).await.unwrap_err();
//!     assert_eq!(error.to_string(), "down");
//! }
//! let error = service.ready().await.unwrap().call(()).await.unwrap_err();
//! let refused = error.downcast_ref::<CircuitOpen>().unwrap();
//! assert_eq!(refused.name(), "circuit");
//! assert!(refused.retry_after().unwrap() <= Duration::from_millis(1200));
//! # }
//! ```
//!
//! # Example: three rules, each with its own window
//!
//! More than 25 % of errors in 30 s open the circuit, answers after more than two seconds make it admit
//! fewer calls, and with more than 50 failures a minute the backup takes over:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower::BoxError> {
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::Ratio;
//! use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitState};
//! use tower_failover::fallback::FallbackLayer;
//! use tower_failover::trip::{FailureRatio, Failures, SlowRatio};
//!
//! let errors = FailureRatio::above(Ratio::percent::<25>()).within(Duration::from_secs(30));
//! let slow = SlowRatio::slower_than(Duration::from_millis(2000))
//!     .percent::<50>()
//!     .within(Duration::from_secs(30))
//!     .min_calls(10)
//!     .degrade();
//! let failed = Failures::count::<51>().within(Duration::from_secs(60));
//! let (breaker, circuit) =
//!     CircuitBreakerLayer::plain().trip_on(errors).trip_on(slow).trip_on(failed).with_handle();
//!
//! // a call takes so many milliseconds, and ends well or not
//! let primary = service_fn(|(takes, well): (u64, bool)| async move {
//!     tokio::time::sleep(Duration::from_millis(takes)).await;
//!     if well { Ok("primary") } else { Err("failed") }
//! });
//! let backup = service_fn(|_: (u64, bool)| async { Ok::<_, &str>("backup") });
//! let mut service = ServiceBuilder::new()
//!     .layer(FallbackLayer::plain().service(backup))
//!     .layer(breaker)
//!     .service(primary);
//!
//! // 25 of 100 are not above 25 %, 26 of 101 are
//! for call in 1..=100 {
//!     service.ready().await?.call((10, call % 4 != 0)).await?;
//! }
//! assert_eq!(circuit.state(), CircuitState::Closed);
//! service.ready().await?.call((10, false)).await?;
//! assert_eq!(circuit.state(), CircuitState::Open);
//! // the primary would answer well, and is not asked
//! assert_eq!(service.ready().await?.call((10, true)).await?, "backup");
//!
//! // 50 failures a minute are not more than 50, whatever their share is
//! circuit.reset();
//! for call in 1..=203 {
//!     service.ready().await?.call((10, call % 4 != 0)).await?;
//! }
//! assert_eq!(circuit.state(), CircuitState::Closed);
//! service.ready().await?.call((10, false)).await?;
//! assert_eq!(circuit.state(), CircuitState::Open);
//!
//! // too slow: a part of the calls is refused, and answered by the backup
//! circuit.reset();
//! for _ in 0..10 {
//!     service.ready().await?.call((2100, true)).await?;
//! }
//! assert_eq!(circuit.state(), CircuitState::Degraded);
//! assert_eq!(circuit.snapshot().share, 0.5);
//! # Ok(())
//! # }
//! ```
//!
//! # Example: the first answer within 500 ms, all of it within 5 s, less than 0.1 % of errors
//!
//! A share as small as one in a thousand needs thousands of calls to mean something:
//!
//! ```
//! # #[cfg(feature = "http")]
//! # fn main() -> Result<(), tower_failover::InvalidSetting> {
//! use std::time::Duration;
//! use tower_failover::Ratio;
//! use tower_failover::circuit_breaker::CircuitBreakerLayer;
//! use tower_failover::trip::{FailureRatio, SlowRatio};
//!
//! let minutes = Duration::from_secs(300);
//! // for HTTP, an answer is there with its head, and ends with its body
//! let slow = SlowRatio::slower_than(Duration::from_millis(500))
//!     .or_ends_later_than(Duration::from_secs(5))
//!     .percent::<5>()
//!     .within(minutes);
//! let errors = FailureRatio::new(Ratio::new(0.001)?).within(minutes).min_calls(5000);
//! let breaker = CircuitBreakerLayer::http().trip_on(slow.degrade()).trip_on(errors);
//! # assert_eq!(breaker.with_handle().1.snapshot().rules.len(), 2);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "http"))]
//! # fn main() {}
//! ```
//!
//! # Example: one circuit for each endpoint
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower::BoxError> {
//! use tower::{Layer, Service, ServiceExt, service_fn};
//! use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitState};
//! use tower_failover::trip::Consecutive;
//!
//! let breaker = CircuitBreakerLayer::plain().trip_on(Consecutive::count::<5>()).per_service();
//! let endpoint = |good: bool| {
//!     breaker.layer(service_fn(move |()| async move { if good { Ok(()) } else { Err("down") } }))
//! };
//! let (mut one, mut other) = (endpoint(true), endpoint(false));
//! for _ in 0..5 {
//!     one.ready().await?.call(()).await?;
//!     other.ready().await?.call(()).await.unwrap_err();
//! }
//! assert_eq!(one.handle().state(), CircuitState::Closed);
//! assert_eq!(other.handle().state(), CircuitState::Open);
//! # Ok(())
//! # }
//! ```
//!
//! # Example: one circuit for each key
//!
//! For a service that sends its requests to different places by itself, such as an HTTP client:
//!
//! ```
//! # #[cfg(feature = "http")]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower::BoxError> {
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use std::num::NonZeroUsize;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::circuit_breaker::CircuitBreakerLayer;
//! use tower_failover::trip::Consecutive;
//! # type Body = Empty<bytes::Bytes>;
//!
//! let (breaker, circuits) = CircuitBreakerLayer::http()
//!     .trip_on(Consecutive::count::<5>())
//!     .keyed(|request: &Request<Body>| request.uri().host().unwrap_or_default().to_owned())
//!     .capacity(const { NonZeroUsize::new(1000).unwrap() })
//!     .with_handle();
//! let mut client = ServiceBuilder::new().layer(breaker).service(service_fn(
//!     |request: Request<Body>| async move {
//!         let status = if request.uri().host() == Some("sick.test") { 500 } else { 200 };
//!         Response::builder().status(status).body(Body::new())
//!     },
//! ));
//! for host in ["sick.test", "well.test"].into_iter().cycle().take(10) {
//!     let request = Request::get(format!("http://{host}/")).body(Body::new())?;
//!     client.ready().await?.call(request).await?;
//! }
//! assert_eq!(circuits.tripped(), ["sick.test"]);
//! assert_eq!(circuits.len(), 2);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "http"))]
//! # fn main() {}
//! ```
//!
//! # gRPC
//!
//! A status of gRPC stands in the trailers: a call of which the head is good may still have failed, and is
//! counted at its end. The layer wraps the answer's body, which the clients that tonic generates take as it
//! is:
//!
//! ```
//! # #[cfg(feature = "http")]
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use tonic::transport::Endpoint;
//! use tonic_health::pb::HealthCheckRequest;
//! use tonic_health::pb::health_client::HealthClient;
//! use tower::ServiceBuilder;
//! use tower_failover::circuit_breaker::CircuitBreakerLayer;
//! use tower_failover::fallback::FallbackLayer;
//!
//! let channel = Endpoint::from_static("http://127.0.0.1:50051").connect_lazy();
//! let stack = ServiceBuilder::new()
//!     // else tonic would report an open circuit as UNKNOWN
//!     .layer(FallbackLayer::grpc().unavailable())
//!     .layer(CircuitBreakerLayer::grpc().name("health"))
//!     .service(channel);
//! let mut client = HealthClient::new(stack);
//! client.check(HealthCheckRequest::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Defaults
//!
//! | setter | default | zero means |
//! |---|---|---|
//! | [`trip_on`](CircuitBreakerLayer::trip_on) | half of at least 20 calls in 10 s failed; a [rule](crate::trip) of your own takes its place | see the [rules](crate::trip#defaults) |
//! | [`open_for`](CircuitBreakerLayer::open_for) | 1 s × 2, at most 30 s, each 20 % more or less | half-open at once |
//! | [`forget_after`](CircuitBreakerLayer::forget_after) | 60 s | only a half-open circuit opens for longer |
//! | [`trials`](CircuitBreakerLayer::trials) | 1 | can't be written |
//! | [`successes`](CircuitBreakerLayer::successes) | 2 | can't be written |
//! | [`trial_timeout`](CircuitBreakerLayer::trial_timeout) | the shortest time of a rule about slow calls, otherwise 1 s | 1 ns, the shortest |
//! | [`ramp`](CircuitBreakerLayer::ramp) | none | none |
//! | [`dwell`](CircuitBreakerLayer::dwell) | 5 s | 1 ns, the shortest |
//! | [`hang_after`](CircuitBreakerLayer::hang_after) | 5 × the average latency, 500 ms to 10 s | every call that had to wait and is given up has failed |
//! | [`body_hang_after`](CircuitBreakerLayer::body_hang_after) | never | every body that is left while it is awaited has failed |
//! | [`count_throttled`](CircuitBreakerLayer::count_throttled) | off: of throttling answers only a 503 counts | |
//! | [`capacity`](CircuitBreakerLayer::capacity), by key | 10 000 | can't be written |
//! | [`idle`](CircuitBreakerLayer::idle), by key | 10 minutes | 1 ns, the shortest |
//! | [`gated`](CircuitBreakerLayer::gated) | off | |
//! | [`name`](CircuitBreakerLayer::name) | `circuit` | |
//!
//! A [`Backoff`](crate::Backoff) that is given to `open_for` has the same 20 % unless its jitter is set, and
//! its own cap: 5 s for an exponential one.
//!
//! # What counts
//!
//! | a call | counts as |
//! |---|---|
//! | `Success`, at the end of the answer's body where there is one | good; slow by the rules that say so |
//! | `Failure`, `Refused` by the other side | failed |
//! | `Refused` on our own side: an open circuit or a `load_shed` inside | nothing |
//! | `Throttled`: a 503 with a `Retry-After` | failed; one that opens the circuit can make that longer, up to 60 s |
//! | `Throttled` otherwise: a 429, RESOURCE_EXHAUSTED | nothing, or failed with [`count_throttled`](CircuitBreakerLayer::count_throttled) |
//! | `Unsuitable`, `Neutral`: a 404 | nothing |
//! | a body that ends with an error, trailers with a bad `grpc-status` | failed |
//! | an error of `poll_ready`, a panic | failed |
//! | given up before its answer, at its deadline or after [`hang_after`](CircuitBreakerLayer::hang_after) | failed |
//! | given up before that, or never polled | nothing |
//! | left in the midst of its body | nothing, or failed after a silence of [`body_hang_after`](CircuitBreakerLayer::body_hang_after) |
//! | admitted before the circuit opened, and ended after that | nothing for the circuit, however it ended |
//!
//! A failed call can be slow too; one that counts as nothing is not. A trial is judged in the same way:
//! where that says nothing, its permit is free again.
//!
//! A timeout outside of the breaker that is shorter than `hang_after` hides a service that hangs: with one
//! of 300 ms, say `hang_after(Duration::from_millis(300))`. A timeout inside ends in an error, which is a
//! failure at any time.
//!
//! # Order
//!
//! Inside of fallback, retry and the timeout for the request as a whole, and outside of the timeout for
//! one attempt. Each attempt so is counted once, and a retry that finds the circuit open does not wait
//! for it: it goes to another endpoint, or gives up at once. With several endpoints each has its own
//! breaker.
//!
//! # Readiness and clones
//!
//! While the circuit is open, or half-open with all its trials out, the service is ready without asking
//! the one inside, and the next call is refused: also if the circuit has closed in between. Poll it again
//! before each call, as always. Admission is decided by the call; readiness takes no permit, so nothing is
//! lost where a service is polled ready and not called. The service inside may keep a place for its caller,
//! as a `concurrency_limit` does: a clone that was polled ready and then finds the circuit open keeps it
//! until it is called or dropped.
//!
//! With [`gated`](CircuitBreakerLayer::gated) the service is not ready while calls are refused, for use
//! below a layer that routes by readiness. Several services may then be ready for one trial, and all but
//! one of their calls are refused.
//!
//! Clones share the circuit, not the readiness. What one value of the layer shares is said on
//! [`CircuitBreakerLayer`](CircuitBreakerLayer#sharing).
//!
//! # Cancellation
//!
//! Dropping the future, or the body of its answer, ends the attempt: it is counted by the table above, and
//! a trial's permit is free in the same moment. The third trial in a row that is dropped before its answer
//! opens the circuit again. A trial's future that is leaked is one that hangs, and opens the circuit after
//! [`trial_timeout`](CircuitBreakerLayer::trial_timeout); a body that is leaked gives its permit back by
//! then.
//!
//! # Errors
//!
//! Those of the service, as [`BoxError`](crate::BoxError), and [`CircuitOpen`] for a call that was refused.
//! Its source is a [`Refusal`](crate::Refusal), by which the classifiers know it.
//!
//! # Events
//!
//! Target `tower_failover::circuit_breaker`. Calls that are refused are counted, and no events.
//!
//! | event | level | fields | when |
//! |---|---|---|---|
//! | `state changed` | `INFO` | `name`, `from`, `state`, `share`, `next_trial`, `generation` | the circuit is in another state, or begins one anew |
//! | `share changed` | `DEBUG` | `name`, `state`, `share`, `generation` | a degraded circuit admits more or fewer calls |
//!
//! `name` is that of the layer, also for circuits by key: keys are in no event and no error, and
//! [`KeyedHandle::tripped`] tells them. `generation` counts the changes of a circuit, so that events of
//! two threads can be put in order. [`CircuitHandle`] has the numbers, and
//! [`changes`](CircuitHandle::changes) to wait for the next state.
//!
//! # How it works
//!
//! ```text
//!             reaches a rule that degrades
//!    closed ─────────────────────────────────► degraded ◄─┐ reaches it again: a smaller share
//!     │  ▲ ◄─────────────────────────────────── │    └────┘ a dwell without that: a larger one
//!     │  │         the share is whole           │
//!     │  └──── ramp ◄──────────── half-open     │
//!     │         │   enough trials   ▲   │       │
//!     │         │       succeed     │   │ a trial fails: open, for longer
//!     │         │     a call after  │   ▼       │
//!     └─────────┴────────────────► open ◄───────┘
//!             reaches a rule that opens
//! ```
//!
//! * **Closed.** Calls flow and are counted, in a window of its own for each rule. A rule is asked after every
//!   outcome that counts; where several are reached, opening is the gravest.
//! * **Open.** Calls are refused. The first open time is short, and each reopening doubles it, up to its
//!   cap; after a minute closed it starts over. Nothing happens by itself: the first call after the open
//!   time is the first trial.
//! * **Half-open.** So many trials at a time, and no other calls. Enough that succeed close the circuit; one
//!   that fails, or is slow by a rule, or has no answer in time opens it again. Probes are not counted in
//!   the windows, which are empty when the circuit closes.
//! * **Ramp.** Where one is set, the share of the calls that are admitted grows from a tenth to all of them.
//! * **Degraded.** A share of the calls is admitted, evenly spread. At the rule's limit it is cut by a
//!   tenth, when all calls hit the rule by half, and never below a twentieth. It is raised by a twentieth
//!   when a dwell has passed and the calls of this share would not reach the rule; near the share that was
//!   too large the last time, by a hundredth, so that it does not swing there. A circuit that opens
//!   from here, and closes again, does so with the whole.
//!
//! Each change begins a new *generation*, by which every share is judged by its own calls alone, and each
//! opening a new *period*: an answer that was admitted before the circuit opened changes nothing when it
//! comes in half-open or after that.
//!
//! **A trial whose answer is a stream** is decided at the stream's end. From its head on it has
//! `trial_timeout` once more; after that its permit is free for another trial, and its end still counts. A
//! service whose streams never end so gets one trial at a time and stays half-open. Where the head says
//! enough, [`kind(Plain::default())`](CircuitBreakerLayer::kind) ends every call with it; a deadline of the
//! request is not looked at then.
//!
//! **The share follows traffic.** It is cut after `min_calls` that were admitted at the present share, and
//! raised when a call asks. With a few calls a minute it says little: open instead.
//!
//! **What is exact.** A rule is reached at its number, not near it. A window by time forgets in whole
//! buckets: a call counts for the length of the window at most, and for one bucket less at least. Totals are
//! exact when no call is being recorded at a bucket's edge, where one may land in either neighbour. The
//! average latency behind `hang_after` is an average, and nothing else goes by it.
//!
//! A good call of a closed circuit reads what rarely changes and adds to counters that are spread over
//! cache lines: no lock and no allocation. The clock is read at its end, at its head where a body follows,
//! and at its beginning where it has to wait or a rule asks how long it takes. What opens, trials and
//! closes is behind one lock, which is held for a few instructions and never over an await or a call of
//! yours.
//!
//! The windows are after resilience4j's, the ramp after Envoy's slow start, the share after TCP: additive
//! increase and multiplicative decrease, with the memory of CUBIC for where it was too much.

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
    service::CircuitBreaker,
};
#[doc(hidden)]
pub use self::{
    policy::BreakerConfig,
    scope::{
        ByKey, CircuitInFlight, Find, Keyed, One, PerService, Scope, Sharing, Together, Unwatched,
        Watched,
    },
    state::ObservedCircuit,
};
pub use crate::circuit::{CircuitSnapshot, CircuitState, RuleSnapshot};
