//! Holds an answer back until its first frame is there.
//!
//! A server that streams says 200 before it knows whether it can answer: what follows is silence, a reset,
//! or an event that tells of an error. By then the layers outside have taken the answer for a good one. This
//! layer waits for the first *record* of the body and has it judged; so retry, hedge, balance and
//! fallback *outside* of it still work. After that nothing is held any more.
//!
//! Use it for answers that stream: server-sent events of model providers, gRPC streams. Don't use it where
//! the first byte may take as long as it likes (a long poll), or where an answer's head is worth something
//! before its body.
//!
//! # Example
//!
//! A provider that says 200 and then stays silent, and one that answers:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full, combinators::BoxBody};
//! use std::time::Duration;
//! use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
//! use tower_failover::first_frame::FirstFrameLayer;
//! use tower_failover::retry::RetryLayer;
//! # /// A body that never says a word.
//! # struct Silence;
//! # impl http_body::Body for Silence {
//! #     type Data = Bytes;
//! #     type Error = std::convert::Infallible;
//! #     fn poll_frame(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>)
//! #     -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
//! #         std::task::Poll::Pending
//! #     }
//! # }
//!
//! let mut calls = 0;
//! let client = service_fn(move |_: Request<_>| {
//!     calls += 1;
//!     let body = if calls == 1 { BoxBody::new(Silence) } else { BoxBody::new(Full::from("hello")) };
//!     std::future::ready(Ok::<_, BoxError>(Response::new(body)))
//! });
//! let service = ServiceBuilder::new()
//!     .layer(RetryLayer::http())
//!     .layer(FirstFrameLayer::http().timeout(Duration::from_millis(500)))
//!     .service(client);
//!
//! let answer = service.oneshot(Request::new(Full::<Bytes>::default())).await.unwrap();
//! assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
//! # }
//! ```
//!
//! # Example: error events of a model provider
//!
//! A judge is any closure. What it rejects goes on as it is, with its [outcome](crate::classify::OutcomeMark):
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{BoxError, Layer, ServiceExt, service_fn};
//! use tower_failover::Outcome;
//! use tower_failover::classify::OutcomeMark;
//! use tower_failover::first_frame::{Event, FirstFrameLayer, Verdict};
//!
//! let layer = FirstFrameLayer::http()
//!     .events(|event: Event<'_>| match &*event.event() {
//!         "error" if event.data().contains("overloaded") => {
//!             Verdict::Reject(Outcome::Throttled { retry_after: None })
//!         }
//!         "error" => Verdict::Reject(Outcome::Failure),
//!         "ping" | "message_start" => Verdict::Skip,
//!         _ => Verdict::Commit,
//!     })
//!     .limit(16 * 1_024)
//!     .exempt_last();
//!
//! let provider = service_fn(|_: Request<()>| async {
//!     let body = "event: ping\ndata: {}\n\nevent: error\ndata: {\"type\": \"overloaded_error\"}\n\n";
//!     Ok::<_, BoxError>(Response::new(Full::<bytes::Bytes>::from(body)))
//! });
//! let answer = layer.layer(provider).oneshot(Request::new(())).await.unwrap();
//! let judged = answer.extensions().get::<OutcomeMark>().unwrap();
//! assert_eq!(judged.outcome(), Outcome::Throttled { retry_after: None });
//! # }
//! ```
//!
//! The requests of model providers are POSTs: retry repeats one after a `Failure` only if it is declared
//! [idempotent](crate::retry::RetryLayer::idempotent), after `Refused` or `Unsuitable` in any case. Say so
//! where an error event means that nothing was done.
//!
//! # What a record is
//!
//! | constructor, setter | record | commits without a judge |
//! |---|---|---|
//! | [`http`](FirstFrameLayer::http), [`frames`](FirstFrameLayer::frames) | a frame of the body that is not empty | the first |
//! | [`sse`](FirstFrameLayer::sse), [`events`](FirstFrameLayer::events) | a server-sent [`Event`]; comments are passed over | the first with data |
//! | [`grpc`](FirstFrameLayer::grpc), [`messages`](FirstFrameLayer::messages) | a whole gRPC message | the first |
//!
//! Where an answer has no such records, since it is of another `content-type`, or since a
//! `content-encoding` hides them, its first frame commits it. Bodies have `Data = Bytes` and are `Unpin`,
//! as those of hyper, axum, tonic and reqwest are.
//!
//! # What becomes of an answer
//!
//! | the answer | goes on |
//! |---|---|
//! | has a status other than 2xx, or a `grpc-status` in its head | at once, as it is |
//! | is empty: 204, an answer to HEAD, a `content-length` of 0 | at once, as it is |
//! | has a record that commits | then |
//! | has one that is rejected | then, whole, as [`OutcomeMark`](crate::classify::OutcomeMark) |
//! | breaks off before that | then, as `OutcomeMark` a `Failure`; the error is the body's |
//! | ends before that | then, as good; gRPC is judged by its [`EarlyTrailers`](crate::classify::EarlyTrailers), or the lack of them |
//! | has more than `limit` bytes before that | then, as good |
//! | takes longer than `timeout` for that | not at all: [`FirstFrameTimeout`] |
//!
//! When all attempts are rejected, the caller so gets the last original answer, byte for byte.
//!
//! hyper takes an HTTP/2 reset with `NO_ERROR` or `CANCEL` for the end of a body: over plain HTTP such an
//! answer has ended, for gRPC it has failed, since its status is missing.
//!
//! # Defaults
//!
//! | setter | default | zero means |
//! |---|---|---|
//! | [`timeout`](FirstFrameLayer::timeout) | none | what is not there at once has failed |
//! | [`limit`](FirstFrameLayer::limit) | 64 KiB | the first frame that is not empty decides |
//! | [`exempt_last`](FirstFrameLayer::exempt_last) | off | |
//!
//! # Order
//!
//! Inside of everything that makes another attempt, close to the client; outside of layers that change the
//! body, such as decompression. A [`stall`](crate::stall) limit stands beside it and watches what comes
//! after the first frame. An attempt timeout (tower's) outside covers the time that an answer is held. Inside of
//! `balance`, an endpoint that is silent after its head is charged for that; outside of it, nobody is.
//!
//! # Readiness and clones
//!
//! Readiness is that of the service inside. Clones share nothing but the settings. With
//! [`exempt_last`](FirstFrameLayer::exempt_last) the service reads the record of the
//! [`Attempts`](crate::Attempts), and hands it on only to a service inside that reads it too.
//!
//! # Cancellation
//!
//! Dropping the future, or the body, drops the call and the body inside at once, and so does a timeout
//! before it is told.
//!
//! # Errors
//!
//! The error type is [`BoxError`](crate::BoxError): [`FirstFrameTimeout`], which is an ordinary failure
//! (the other side may have done the work), or the error of the service. Errors of the body keep their type.
//!
//! # Events
//!
//! Target `tower_failover::first_frame`, level `DEBUG`:
//!
//! | event | fields | when |
//! |---|---|---|
//! | `timeout` | `timeout`, `head`: whether that was there | no good record came in time |
//! | `rejected` | `outcome` | a record was rejected, or the body broke off before one |
//! | `over the limit` | `limit` | an answer goes on unjudged |
//! | `records hidden by a content-encoding` | | the first frame commits |
//!
//! # How it works
//!
//! ```text
//!  call ─► head ─┬─ failed, empty ─────────────────────────────────────────────► answer, as it is
//!                └─ 2xx ─► frame ─► held ─► record? ─► judge ─┬─ commit ─────────► answer
//!                            ▲                 │ no           ├─ reject ─────────► answer, marked
//!                            └─────────────────┴──── skip ────┘                    held bytes, then the rest
//! ```
//!
//! A frame that commits at once is handed on without a copy, and without an allocation. Where
//! more has to be held, frames are joined, so that small ones take no more memory than their bytes; they
//! come out as one. Each byte is looked at once. A frame that is ready beats a timeout that is due; no timer
//! is armed, and no clock read, before something has to be waited for. Events are read as the
//! [specification] says: any end of line, a byte-order mark, records cut anywhere; one that no empty line
//! ends is none.
//!
//! [specification]: https://html.spec.whatwg.org/multipage/server-sent-events.html

mod body;
mod error;
mod events;
mod frames;
mod future;
mod judge;
mod layer;
mod messages;
mod policy;
mod service;
mod state;

pub use self::{
    body::FirstFrameBody, error::FirstFrameTimeout, events::Event, future::FirstFrameFuture,
    judge::Verdict, layer::FirstFrameLayer, service::FirstFrame,
};
#[doc(hidden)]
pub use self::{
    events::EventReader,
    frames::FrameReader,
    judge::{Events, Frames, Judge, Messages, Sight},
    messages::MessageReader,
};
