//! Sends each request to the endpoint that will serve it best, and notices soon which one will not.
//!
//! A [`Balance`] is one `Clone` service over a set of [`Endpoint`]s. It chooses when it is called, so that
//! it sees the request; it goes by the latency of each endpoint, what is in flight, how often it failed of
//! late, and what it asked for. What fails gets next to nothing within a few calls, is tried with one call
//! at a time, and comes back slowly.
//!
//! Use it when several services can take the same request: replicas, regions, providers of a model. Don't
//! use it to send a key always to the same endpoint, or to split traffic exactly: a weight is a share, not
//! a quota.
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_failover::BoxError;
//! use tower_failover::balance::{BalanceLayer, Endpoint, Endpoints};
//!
//! let endpoints: Endpoints<_> = ["good", "bad"]
//!     .map(|name| {
//!         let service = service_fn(move |(): ()| async move {
//!             if name == "bad" { Err(BoxError::from("broken")) } else { Ok(name) }
//!         });
//!         Endpoint::new(name, service)
//!     })
//!     .into_iter()
//!     .collect();
//! let balance = BalanceLayer::plain().layer(endpoints.clone());
//!
//! let mut failed = 0;
//! for _ in 0..100 {
//!     failed += u32::from(balance.clone().oneshot(()).await.is_err());
//! }
//! assert!(failed <= 3, "it is avoided from its first failure on");
//! assert_eq!(endpoints.snapshot()[1].counts.successes, u64::from(100 - failed));
//! # }
//! ```
//!
//! # Example: a backup, limits, and a filter
//!
//! Tier 1 serves what tier 0 can't. A request for a model goes only to endpoints that have it, also where
//! nothing else is left.
//!
//! ```
//! # use std::num::NonZeroU32;
//! # use std::time::Duration;
//! # use tower::{Layer, service_fn};
//! use tower_failover::balance::{BalanceLayer, Endpoint, EndpointInfo, Endpoints};
//! # #[derive(Clone)] struct Ask { model: &'static str }
//! # let service = || service_fn(|_: Ask| async { Ok::<_, std::io::Error>(()) });
//!
//! let endpoints: Endpoints<_> = [
//!     Endpoint::new("east", service()).weight(3.0)?.zone("us").label("model", "large"),
//!     Endpoint::new("west", service()).weight(1.0)?.zone("us").label("model", "small"),
//!     // both keys are of one account, which is throttled as a whole
//!     Endpoint::new("other-1", service()).tier(1).account("account").label("model", "large"),
//!     Endpoint::new("other-2", service()).tier(1).account("account").label("model", "large"),
//! ]
//! .into_iter()
//! .collect();
//! let balance = BalanceLayer::plain()
//!     .max_in_flight(const { NonZeroU32::new(200).unwrap() })
//!     .wait_for(Duration::from_millis(500))
//!     .allow(|ask: &Ask, endpoint: &EndpointInfo| endpoint.label("model") == Some(ask.model))
//!     .layer(endpoints);
//! # fn is_service<S: tower::Service<Ask>>(_: S) {}
//! # is_service(balance);
//! # Ok::<(), tower_failover::InvalidSetting>(())
//! ```
//!
//! # Example: probes
//!
//! [`Endpoints::probe`] returns a future that checks all endpoints from time to time; spawn it. The usual
//! check of HTTP is `HttpCheck`. Here is one of a model API: a prompt whose answer is known, the time to
//! the first token, and the tokens a second.
//!
//! ```
//! # use std::time::Duration;
//! # use tokio::time::Instant;
//! # use tower::{Service, ServiceExt};
//! use tower_failover::Ratio;
//! use tower_failover::balance::{Endpoints, Report};
//! # struct Tokens(std::vec::IntoIter<&'static str>);
//! # impl Tokens { async fn next(&mut self) -> Option<&'static str> { self.0.next() } }
//!
//! async fn check_model<S>(service: S) -> Report
//! where
//!     S: Service<String, Response = Tokens>,
//! {
//!     let asked = Instant::now();
//!     let prompt = "What is 6 times 7? Answer with the number.".to_owned();
//!     let Ok(mut answer) = service.oneshot(prompt).await else { return Report::down() };
//!     let Some(mut text) = answer.next().await.map(String::from) else { return Report::down() };
//!     let first = asked.elapsed().as_secs_f64();
//!     let mut tokens = 1.0;
//!     while let Some(token) = answer.next().await {
//!         text.push_str(token);
//!         tokens += 1.0;
//!     }
//!     let rate = tokens / asked.elapsed().as_secs_f64().max(1e-3);
//!     let report = match text.contains("42") {
//!         false => Report::down(),
//!         true if first > 2.0 || rate < 5.0 => Report::degraded(Ratio::percent::<50>()),
//!         true => Report::healthy(),
//!     };
//!     report.measured("time to first token", first).measured("tokens a second", rate)
//! }
//!
//! # #[derive(Clone)] struct Model;
//! # impl Service<String> for Model {
//! #     type Response = Tokens;
//! #     type Error = std::io::Error;
//! #     type Future = std::future::Ready<Result<Tokens, std::io::Error>>;
//! #     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), std::io::Error>> { std::task::Poll::Ready(Ok(())) }
//! #     fn call(&mut self, _: String) -> Self::Future { std::future::ready(Ok(Tokens(vec!["4", "2"].into_iter()))) }
//! # }
//! # fn example(endpoints: Endpoints<Model>) {
//! tokio::spawn(endpoints.probe(check_model::<Model>).name("model").interval(Duration::from_secs(60)));
//! # }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() { assert!(format!("{:?}", check_model(Model).await).contains("tokens a second")); }
//! ```
//!
//! # Defaults
//!
//! | setting | default | zero means |
//! |---|---|---|
//! | [`eject_on`](BalanceLayer::eject_on) | three failures in a row | see the [rules](crate::trip#defaults) |
//! | [`eject_for`](BalanceLayer::eject_for) | 0.5 s, 1 s, six times 1.3 s, five times 4 s, 8, 15, 30 s, ± 20 % | the next call is the trial |
//! | [`max_ejected`](BalanceLayer::max_ejected) | half of a tier | none is |
//! | [`max_cool_down`](BalanceLayer::max_cool_down) | 60 s | no cool-down |
//! | [`slow_start`](BalanceLayer::slow_start) | 10 s | the full share at once |
//! | [`panic_threshold`](BalanceLayer::panic_threshold) | half | only where none serves |
//! | [`max_in_flight`](BalanceLayer::max_in_flight), [`zones`](BalanceLayer::zones), [`allow`](BalanceLayer::allow) | none | a limit of zero can't be written |
//! | [`wait_for`](BalanceLayer::wait_for) | not at all | not at all |
//! | [`latency`](BalanceLayer::latency) | up to the head of the answer | |
//! | [`hang_after`](BalanceLayer::hang_after) | 5 × the latency, from 500 ms to 10 s | every call that had to wait and is given up has failed |
//! | [`weight`](Endpoint::weight) of an endpoint | 1 | is refused |
//! | [`Probe`]: interval, timeout, rise, fall | 5 s, 1 s, 2, 3 | 1 ns, the shortest, for both times |
//!
//! # Order
//!
//! Below retry, so that a retry goes to another endpoint, at once; above what is made for each endpoint:
//! the rewrite of the request, the attempt's timeout, the client. A retry knows where the request was only
//! where the record of its attempts travels: with `http()` and `grpc()`, or through a
//! [`Slot`](crate::replay::Slot).
//!
//! # Readiness and clones
//!
//! It is always ready. The endpoint that is chosen is polled ready in the call; if it is not at once,
//! another one is polled beside it, and the first that is ready gets the request. An idle clone holds no
//! place of any endpoint, and keeps none alive that was removed. The endpoints' service must be `Clone`,
//! `Send`, `Sync` and `'static`: a `BoxCloneSyncService` is, a `BoxCloneService` is not.
//!
//! # Cancellation
//!
//! A call that is dropped gives its endpoint back, and the right to be a trial. It counts as failed where it
//! had to wait for longer than [`hang_after`](BalanceLayer::hang_after), or to its deadline. A call is in
//! flight up to the end of its answer's body, however it ends.
//!
//! # Errors
//!
//! [`NoEndpoint`] in a [`BoxError`](crate::BoxError), or the error of the endpoint, which becomes one. An
//! endpoint that fails to become ready is passed over for another one; if that fails too, its error is
//! returned.
//!
//! # Events
//!
//! With the target `tower_failover::balance`:
//!
//! | event | level | fields | when |
//! |---|---|---|---|
//! | `ejected` | info | `endpoint`, `from`, `state`, `next_trial` | a rule was reached, or a trial failed |
//! | `trial` | debug | `endpoint`, `from`, `state` | one call sees whether an ejected endpoint is back |
//! | `returned` | info | `endpoint`, `from`, `state` | it is |
//! | `cools down` | debug | `endpoint`, `rest` in milliseconds | it asked for less |
//! | `checked` | debug | `endpoint`, `probe`, `found`, `measurements` | a check has ended |
//! | `a probe has found` | info | `endpoint`, `probe`, `found` | and says another thing than before |
//! | `the discovery failed, the set stays as it is` | warn | `error` | a followed discovery gave an error |
//!
//! # How it works
//!
//! ```text
//!  request ──► tier by load ──► nearest zone ──► 6 draws by weight ──► the least C ──► call
//!                  ▲                                    ▲                               │
//!                  │ available, resting, ejected        │ L, h published                ▼
//!                  └───────────── health of each endpoint ◄──── outcome, time, end of the body
//! ```
//!
//! * **Cost**: `C = L · (1 + q/w) / h²`: the average latency `L` of good answers, the calls in flight `q` by
//!   weight `w`, the health `h`, a share of good answers that forgives within some seconds. Costs within
//!   10 % of each other are the same, and the first one drawn wins. A set of at most six is looked at whole.
//! * **Latency** is an average over time, in which each millisecond has one sample; left alone, it goes
//!   back to the median of the set. An average by peaks, as Finagle's, was simulated beside it, and made
//!   endpoints look the slower the more calls they had.
//! * **Ejection** is the circuit of [`circuit_breaker`](crate::circuit_breaker), one for each endpoint and
//!   made at its first failure. A trial is one call, of a request that can be sent again if there is one.
//! * **Throttled** endpoints rest for as long as they ask, or for 100 ms, doubled with each in a row. If all
//!   rest, one call a second is made all the same.
//! * **Tiers** take load by their health, as Envoy's priorities with an overprovisioning of 1.4. Only where
//!   all together can't carry the load, a tier with half of its endpoints ejected ignores that: a panic.
//!
//! The set is a snapshot that a call finds without waiting for others; a change copies the few endpoints
//! beside the one that changes. How well all this does is simulated, see the guide.

mod error;
mod future;
mod layer;
mod pick;
mod policy;
mod service;
mod state;
mod unready;

#[doc(hidden)]
pub use self::policy::{Allow, Everyone, Only};
pub use self::{
    error::NoEndpoint,
    future::BalanceFuture,
    layer::{BalanceLayer, LatencyUntil},
    service::Balance,
};
#[cfg(feature = "http")]
pub use crate::endpoints::HttpCheck;
pub use crate::endpoints::{
    Check, Endpoint, EndpointInfo, EndpointSnapshot, EndpointState, Endpoints, OutcomeCounts,
    Probe, Report, Weight,
};
