//! Ends an answer that has gone silent.
//!
//! A server may crash, hang or be throttled after the head of its answer, in the middle of a stream that
//! nobody expects to be short. This layer watches the body, and ends it with a typed error, never with
//! an end that looks like a good one.
//!
//! Use it where answers stream: server-sent events, gRPC streams, downloads. Don't for the time up to
//! the head, for which tower's timeout is made, nor for streams that may be silent for as long as they
//! like, unless the server sends keep-alives.
//!
//! A *slow reader* is no stall: limits are held only while the reader asks and the service has
//! nothing to give.
//!
//! # Example
//!
//! A server sends one record, and then nothing:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower_failover::BoxError> {
//! use bytes::Bytes;
//! use futures_util::stream::{self, StreamExt};
//! use http::{Request, Response};
//! use http_body::Frame;
//! use http_body_util::{BodyExt, StreamBody};
//! use std::convert::Infallible;
//! use std::time::Duration;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::stall::{StallLayer, Stalled};
//!
//! let stalls = service_fn(|_: Request<()>| async {
//!     let record = Frame::data(Bytes::from("data: hello\n\n"));
//!     let stream = stream::iter([Ok::<_, Infallible>(record)]).chain(stream::pending());
//!     Ok::<_, Infallible>(Response::new(StreamBody::new(stream)))
//! });
//! let mut service = ServiceBuilder::new()
//!     .layer(StallLayer::http().idle(Duration::from_secs(5)))
//!     .service(stalls);
//!
//! let answer = service.ready().await?.call(Request::new(())).await?;
//! let mut body = answer.into_body();
//! assert!(body.frame().await.unwrap()?.is_data());
//! let error = body.frame().await.unwrap().unwrap_err(); // 5 s later
//! assert!(error.is::<Stalled>());
//! # Ok(())
//! # }
//! ```
//!
//! # Example: a body that trickles
//!
//! Bytes that come one by one keep below every idle limit. A total limit ends such a body, and a
//! minimum rate does so sooner:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower_failover::BoxError> {
//! # use bytes::Bytes;
//! # use futures_util::stream;
//! # use http::{Request, Response};
//! # use http_body::Frame;
//! # use http_body_util::{BodyExt, StreamBody};
//! # use std::convert::Infallible;
//! use std::num::NonZeroU64;
//! use std::time::Duration;
//! # use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::stall::{StallLayer, StallLimit, Stalled};
//!
//! let layer = StallLayer::http()
//!     .idle(Duration::from_secs(5))
//!     .total(Duration::from_secs(600))
//!     .min_rate(const { NonZeroU64::new(100).unwrap() }, Duration::from_secs(2));
//! # let trickles = service_fn(|_: Request<()>| async {
//! #     let byte = || async {
//! #         tokio::time::sleep(Duration::from_millis(100)).await;
//! #         Ok::<_, Infallible>(Frame::data(Bytes::from("x")))
//! #     };
//! #     let stream = stream::unfold((), move |()| async move { Some((byte().await, ())) });
//! #     Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(stream))))
//! # });
//! # let mut service = ServiceBuilder::new().layer(layer).service(trickles);
//! # let answer = service.ready().await?.call(Request::new(())).await?;
//! let error = answer.into_body().collect().await.unwrap_err(); // a byte each 100 ms
//! let stalled = error.downcast_ref::<Stalled>().unwrap();
//! assert_eq!(stalled.limit(), StallLimit::MinRate(100, Duration::from_secs(2)));
//! # Ok(())
//! # }
//! ```
//!
//! # Defaults
//!
//! | setter | default | zero means |
//! |---|---|---|
//! | [`idle`](StallLayer::idle) | off | 1 ns, the shortest |
//! | [`total`](StallLayer::total) | off | 1 ns, the shortest |
//! | [`min_rate`](StallLayer::min_rate) | off | for the grace 1 ns, the shortest; a rate of zero can't be written |
//!
//! What is long depends on what is streamed: a model may think for a minute before its next word.
//! gRPC needs nothing of its own, so `http()` is the only constructor.
//!
//! # Order
//!
//! Next to the client, inside of the layers that record how an attempt ended: breaker and balance then
//! count a stall as one failure of their endpoint. What has reached the reader is not asked for again;
//! `first_frame` is for a body that is silent from its beginning.
//!
//! # Readiness and clones
//!
//! It is ready when its service is. Nothing is shared: each body is watched for itself.
//!
//! # Cancellation
//!
//! Dropping the body drops that of the service and the timer.
//!
//! # Errors
//!
//! Up to the head those of the service, unchanged. The body's are its own, as a
//! [`BoxError`](crate::BoxError), and [`Stalled`], once; after it the body gives nothing more. It is a
//! failure, not a [`Refusal`](crate::Refusal): the other side has begun to answer.
//!
//! # Events
//!
//! Target `tower_failover::stall`, level `DEBUG`:
//!
//! | event | fields | when |
//! |---|---|---|
//! | `stalled` | `limit`: `idle`, `total` or `min_rate`; `waited` | a body is ended; `waited` is the time that was held against the limit |
//!
//! # How it works
//!
//! ```text
//!  poll ─► body ─┬─ frame, end, error ───────────────────────────────► reader
//!                └─ pending ─► limits, by the clock ─┬─ kept ────► timer, pending
//!                                                    └─ broken ──► body dropped, Stalled
//! ```
//!
//! The body is polled first, so that a frame which is there beats a limit that is due. The reader
//! *waits* from a poll that was pending to the poll that brings something:
//!
//! | limit | what counts | is broken when, while the reader waits |
//! |---|---|---|
//! | idle | the present wait | nothing came for so long |
//! | total | all waits since the head | they add up to so much |
//! | minimum rate | all waits since the last look | they add up to the grace, and too few bytes came meanwhile |
//!
//! So the reader's own pauses count for none of them. A reader that is woken and does not come counts as
//! waiting, but what came in the meantime is given to it before it is judged.
//!
//! A frame that is ready at once costs a few instructions and no look at the clock. The timer is made
//! the first time that the body is waited for, which is the one allocation; it is not set anew with each frame,
//! but, when it goes off, to the earliest time at which a limit can be broken. Waiting needs a tokio
//! runtime with time enabled.

mod body;
mod error;
mod future;
mod layer;
mod service;
mod state;

pub use self::{
    body::StallBody,
    error::{StallLimit, Stalled},
    future::StallFuture,
    layer::StallLayer,
    service::Stall,
};
