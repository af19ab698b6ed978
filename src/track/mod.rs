//! Records how one endpoint does, for balancers that are not ours.
//!
//! A [`Track`] records every call to its service as [`balance`](crate::balance) does, and implements
//! tower's `Load`: the metric is the cost that a `Balance` of this crate would compare, so that tower's
//! `p2c` sends traffic away from what fails.
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use tower::load::Load;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::track::TrackLayer;
//!
//! let inner = service_fn(|_: ()| async { Err::<(), _>("broken") });
//! let mut service = ServiceBuilder::new().layer(TrackLayer::plain()).service(inner);
//! let before = service.load();
//! assert!(service.ready().await.unwrap().call(()).await.is_err());
//! assert!(service.load() > before, "failures make it more expensive");
//! # }
//! ```
//!
//! # Defaults
//!
//! Those of [`BalanceLayer`](crate::balance::BalanceLayer) where they are about a single endpoint: the
//! latency up to the head of good answers, failures by the classifier of the constructor.
//!
//! # Readiness and clones
//!
//! It is ready when its service is. Clones share what is recorded; services that one layer value makes
//! don't.
//!
//! # Cancellation
//!
//! As with a balancer: a call that is dropped early says nothing, one that hangs counts as failed.
//!
//! # Errors
//!
//! Those of its service, as a [`BoxError`](crate::BoxError). It has none of its own, and refuses nothing.

mod future;
mod layer;
mod service;
mod state;

pub use self::{future::TrackFuture, layer::TrackLayer, service::Track};
