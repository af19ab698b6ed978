//! Fallback: what stands in for a failed answer, and what it leaves alone.

mod answers;
mod backup;
mod drops;
mod limits;
mod nested;
mod panics;
mod poll_ready;
mod quiet;

use crate::kit::{Gate, Gauge, Hostile, Log, Scripted, ScriptedBody, data, ms, now, sleep};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use std::fmt;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tower::{Service, ServiceExt};
use tower_failover::{BoxError, Outcome};

type Answer = Response<Full<Bytes>>;
type Inner<B = Full<Bytes>> = Scripted<Request<B>, Answer, ()>;

/// An answer of this status, with its status for a body.
fn status(status: u16) -> Answer {
    Response::builder().status(status).body(Full::from(status.to_string())).unwrap()
}

/// A service that always answers with this status.
fn always<B>(code: u16) -> Inner<B> {
    Scripted::noting(|_| (), move |_| Ok(status(code)))
}

/// A service whose every call ends with this error.
fn failing<B, E: Into<BoxError>>(error: impl Fn() -> E + Send + 'static) -> Inner<B> {
    Scripted::noting(|_| (), move |_| Err(error().into()))
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

fn throttled(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Throttled { .. })
}
