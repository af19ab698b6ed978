//! An HTTP or gRPC server without a socket.

use super::service::Scripted;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::future::Future;
use std::ops::Deref;
use std::task::{Context, Poll};
use std::time::Duration;
use tower::Service;
use tower_failover::BoxError;

/// A server that takes requests with any body and notes their heads; for the rest it is a [`Scripted`]
/// service. Clones are the same server.
#[derive(Debug)]
pub(crate) struct Upstream<B = Full<Bytes>>(Scripted<Request<()>, Response<B>>);

impl<B: Send + 'static> Upstream<B> {
    /// Answers the n-th request, counted from 1, with what the closure says.
    pub(crate) fn new(
        answers: impl FnMut(usize) -> Result<Response<B>, BoxError> + Send + 'static,
    ) -> Self {
        Self(Scripted::noting(head, answers))
    }

    /// Does with the n-th request, counted from 1, what the closure says.
    pub(crate) fn doing<F>(mut answers: impl FnMut(usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Response<B>, BoxError>> + Send + 'static,
    {
        Self(Scripted::open(head, move |_, call| Box::pin(answers(call))))
    }

    /// Takes this long for every answer.
    pub(crate) fn taking(self, time: Duration) -> Self {
        Self(self.0.taking(time))
    }
}

impl<B> Clone for Upstream<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B> Deref for Upstream<B> {
    type Target = Scripted<Request<()>, Response<B>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<A, B: Send + 'static> Service<Request<A>> for Upstream<B> {
    type Response = Response<B>;
    type Error = BoxError;
    type Future = <Scripted<Request<()>, Response<B>> as Service<Request<()>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        self.0.call(head(&request))
    }
}

fn head<A>(request: &Request<A>) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.headers_mut() = request.headers().clone();
    *head.extensions_mut() = request.extensions().clone();
    head
}

/// An answer of this status, with these headers and this body.
pub(crate) fn response<'a, B>(
    status: u16,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    body: B,
) -> Response<B> {
    let answer = Response::builder().status(status);
    let named = |answer: http::response::Builder, (name, value)| answer.header(name, value);
    headers.into_iter().fold(answer, named).body(body).unwrap()
}
