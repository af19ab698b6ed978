//! Fallback: what stands in for a failed answer, and what it leaves alone.

mod answers;
mod backup;
mod drops;
mod limits;
mod nested;
mod panics;
mod poll_ready;
mod quiet;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{Service, ServiceExt};
use tower_failover::{BoxError, Deadline, Outcome};

type Answer = Response<Full<Bytes>>;
type Done = std::future::Ready<Result<Answer, BoxError>>;

/// Counts calls; clones count together.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicU32>);

impl Calls {
    fn count(&self) -> u32 {
        self.0.load(SeqCst)
    }
}

/// Answers by a closure, which is told the number of the call. It panics when an instance is called
/// that was not ready; clones are not.
struct Strict<F> {
    answer: F,
    calls: Calls,
    ready: bool,
}

fn strict<Req, Fut, F>(answer: F) -> Strict<F>
where
    F: Fn(Req, u32) -> Fut,
{
    Strict { answer, calls: Calls::default(), ready: false }
}

impl<F> Strict<F> {
    fn calls(&self) -> Calls {
        self.calls.clone()
    }
}

impl<F: Clone> Clone for Strict<F> {
    fn clone(&self) -> Self {
        Self { answer: self.answer.clone(), calls: self.calls.clone(), ready: false }
    }
}

impl<F> fmt::Debug for Strict<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Strict")
    }
}

impl<F, Req, Fut, Res, E> Service<Req> for Strict<F>
where
    F: Fn(Req, u32) -> Fut,
    Fut: Future<Output = Result<Res, E>>,
{
    type Response = Res;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Fut {
        assert!(std::mem::take(&mut self.ready), "called without having been ready");
        let number = self.calls.0.fetch_add(1, SeqCst) + 1;
        (self.answer)(request, number)
    }
}

/// An answer of this status, with its status for a body.
fn status(status: u16) -> Answer {
    Response::builder().status(status).body(Full::from(status.to_string())).unwrap()
}

/// A service that always answers with this status.
fn always<B>(code: u16) -> Strict<impl Fn(Request<B>, u32) -> Done + Clone> {
    strict(move |_: Request<B>, _| std::future::ready(Ok(status(code))))
}

/// A service whose every call ends with this error.
fn failing<B, E: Into<BoxError>>(
    error: impl Fn() -> E + Clone,
) -> Strict<impl Fn(Request<B>, u32) -> Done + Clone> {
    strict(move |_: Request<B>, _| std::future::ready(Err(error().into())))
}

fn refused() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

fn get() -> Request<Full<Bytes>> {
    request(Method::GET)
}

fn post() -> Request<Full<Bytes>> {
    request(Method::POST)
}

fn request(method: Method) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri("/work").body(Full::from("upload")).unwrap()
}

async fn text<B>(answer: Response<B>) -> String
where
    B: http_body::Body,
    B::Error: fmt::Debug,
{
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// One call of a clone.
async fn ask<S, Req>(service: &S, request: Req) -> Result<S::Response, S::Error>
where
    S: Service<Req> + Clone,
{
    service.clone().oneshot(request).await
}

/// Lets this time pass.
async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, pending::<()>()).await;
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Measures time on tokio's clock.
struct Watch(Deadline);

impl Watch {
    const SPAN: Duration = Duration::from_secs(3_600);

    fn start() -> Self {
        Self(Deadline::within(Self::SPAN))
    }

    fn elapsed(&self) -> Duration {
        Self::SPAN - self.0.remaining()
    }
}

fn throttled(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Throttled { .. })
}
