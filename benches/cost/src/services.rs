//! What answers, and what drives it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::task::{Context, Poll};
use tower::Service;
use tower_failover::Attempts;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fail;

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fail")
    }
}

impl std::error::Error for Fail {}

pub(crate) async fn answer<const PENDING: bool, T>(request: T) -> Result<T, Fail> {
    if PENDING {
        let mut waited = false;
        poll_fn(|cx| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
    Ok(request)
}

pub(crate) trait Inner<T>:
    Service<T, Response = T, Error = Fail, Future: Future<Output = Result<T, Fail>>> + Clone
{
}

impl<T, S> Inner<T> for S where
    S: Service<T, Response = T, Error = Fail, Future: Future<Output = Result<T, Fail>>> + Clone
{
}

/// A service of most cases: numbers in, numbers out.
pub(crate) trait OfNumbers: Service<u64, Response = u64, Error: fmt::Debug> {}

impl<S: Service<u64, Response = u64, Error: fmt::Debug>> OfNumbers for S {}

pub(crate) fn inner<const PENDING: bool, T>() -> impl Inner<T> {
    tower::service_fn(answer::<PENDING, T>)
}

#[inline(never)]
pub(crate) async fn drive<S, T>(mut service: S, calls: u64, request: impl Fn(u64) -> T)
where
    S: Service<T, Response: Count, Error: fmt::Debug>,
{
    let mut sum = 0_u64;
    for call in 0..calls {
        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        let answer = service.call(black_box(request(call))).await.unwrap();
        sum = sum.wrapping_add(answer.count());
    }
    black_box(sum);
}

/// What is looked at of an answer.
pub(crate) trait Count {
    fn count(&self) -> u64;
}

impl Count for u64 {
    fn count(&self) -> u64 {
        *self
    }
}

impl<B> Count for http::Response<B> {
    fn count(&self) -> u64 {
        u64::from(self.status().as_u16())
    }
}

pub(crate) fn http_request() -> http::Request<http_body_util::Empty<bytes::Bytes>> {
    http::Request::builder()
        .uri("http://127.0.0.1/")
        .header("accept", "*/*")
        .header("user-agent", "cost")
        // most requests have one; the first of a request makes the map that holds them
        .extension(tower_failover::RequestPolicy::new())
        .body(http_body_util::Empty::new())
        .unwrap()
}

/// Answers with the request's body, so that no request is turned into an answer at a cost of its own.
pub(crate) fn http_inner<const PENDING: bool, B>() -> impl Service<
    http::Request<B>,
    Response = http::Response<B>,
    Error = Fail,
    Future: Future<Output = Result<http::Response<B>, Fail>>,
> + Clone {
    tower::service_fn(|request: http::Request<B>| {
        answer::<PENDING, _>(http::Response::new(request.into_body()))
    })
}

/// A service inside that reads the record of the attempts, as a balancer does.
#[derive(Clone)]
pub(crate) struct Reader<S>(pub(crate) S);

impl<S, B> Service<http::Request<B>> for Reader<S>
where
    S: Service<http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Attempts::announce_reader();
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> S::Future {
        black_box(request.extensions_mut().remove::<Attempts>());
        self.0.call(request)
    }
}
