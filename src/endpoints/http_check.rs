//! The usual check of an HTTP endpoint.

use super::probe::{Check, Report};
use crate::clock;
use crate::error::BoxError;
use crate::ratio::Ratio;
use bytes::{Buf, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use std::fmt;
use std::future::{self, Future};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tower_service::Service;

type BodyRule = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// Asks an HTTP endpoint for a path, and looks at the answer.
///
/// ```
/// # use std::time::Duration;
/// use http::uri::PathAndQuery;
/// use tower_failover::Ratio;
/// use tower_failover::balance::HttpCheck;
/// # type Body = http_body_util::Empty<bytes::Bytes>;
///
/// let check: HttpCheck<Body> = HttpCheck::get(PathAndQuery::from_static("/healthz"))
///     .body(|body| body.starts_with(b"ok"))
///     .slower_than(Duration::from_millis(200), Ratio::percent::<50>());
/// ```
///
/// # Defaults
///
/// Every 2xx is healthy and the body is not read; 401 and 403 are a misconfiguration; all else is down.
/// `B` is the type of the request's body, which is empty: its `Default`.
pub struct HttpCheck<B> {
    path: PathAndQuery,
    status: fn(StatusCode) -> bool,
    body: Option<BodyRule>,
    slow: Option<(Duration, Ratio)>,
    request: PhantomData<fn() -> B>,
}

/// A longer body is not that of a health check.
const LONGEST_BODY: usize = 64 * 1024;

impl<B> HttpCheck<B> {
    /// Asks for this path by GET. The endpoint's own service brings it to its address.
    #[must_use]
    pub fn get(path: PathAndQuery) -> Self {
        let status = |status: StatusCode| status.is_success();
        Self { path, status, body: None, slow: None, request: PhantomData }
    }

    /// Says which statuses are healthy. Default: every 2xx.
    #[must_use]
    pub fn status(mut self, healthy: fn(StatusCode) -> bool) -> Self {
        self.status = healthy;
        self
    }

    /// Says which bodies are healthy; one of more than 64 KiB is not. Default: all, and it is not read.
    #[must_use]
    pub fn body(mut self, healthy: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.body = Some(Arc::new(healthy));
        self
    }

    /// Gives an endpoint whose good answer takes longer than this, with the body if that is read, this
    /// health. Default: only the [timeout](super::Probe::timeout) counts.
    #[must_use]
    pub fn slower_than(mut self, time: Duration, health: Ratio) -> Self {
        self.slow = Some((time, health));
        self
    }
}

impl<S, B, Res> Check<S> for HttpCheck<B>
where
    S: Service<Request<B>, Response = Response<Res>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Default + Send + 'static,
    Res: Body + Send + 'static,
    Res::Data: Send,
{
    type Future = Pin<Box<dyn Future<Output = Report> + Send>>;

    fn check(&self, service: S) -> Self::Future {
        Box::pin(ask(service, self.clone()))
    }
}

async fn ask<S, B, Res>(mut service: S, check: HttpCheck<B>) -> Report
where
    S: Service<Request<B>, Response = Response<Res>>,
    B: Default,
    Res: Body,
{
    let started = clock::now();
    let mut request = Request::new(B::default());
    *request.uri_mut() = Uri::from(check.path);
    if future::poll_fn(|cx| service.poll_ready(cx)).await.is_err() {
        return Report::down();
    }
    let Ok(answer) = service.call(request).await else { return Report::down() };
    let status = answer.status();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Report::misconfigured();
    }
    let mut good = (check.status)(status);
    if let Some(rule) = check.body.filter(|_| good) {
        good = read(answer.into_body()).await.is_some_and(|body| rule(&body));
    }
    let took = clock::now().saturating_duration_since(started);
    let report = match check.slow {
        _ if !good => Report::down(),
        Some((limit, health)) if took > limit => Report::degraded(health),
        _ => Report::healthy(),
    };
    report.measured("status", status.as_u16().into()).measured("seconds", took.as_secs_f64())
}

/// The whole body, unless it fails or is too long.
async fn read<B: Body>(body: B) -> Option<Bytes> {
    let (mut body, mut read) = (pin!(body), BytesMut::new());
    while let Some(frame) = future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(mut data) = frame.ok()?.into_data() {
            if read.len() + data.remaining() > LONGEST_BODY {
                return None;
            }
            read.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
    }
    Some(read.freeze())
}

// a derived one would ask the body for one
impl<B> Clone for HttpCheck<B> {
    fn clone(&self) -> Self {
        let (path, body) = (self.path.clone(), self.body.clone());
        Self { path, status: self.status, body, slow: self.slow, request: PhantomData }
    }
}

impl<B> fmt::Debug for HttpCheck<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCheck").field("slow", &self.slow).finish_non_exhaustive()
    }
}
