//! One call, up to the head of its answer.

use super::body::StallBody;
use super::state::Limits;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// The future of a [`Stall`](super::Stall).
    pub struct StallFuture<F> {
        #[pin]
        future: F,
        limits: Limits,
    }
}

impl<F> StallFuture<F> {
    pub(super) const fn new(future: F, limits: Limits) -> Self {
        Self { future, limits }
    }
}

impl<F, B, E> Future for StallFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<StallBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let limits = this.limits;
        this.future.poll(cx).map_ok(|answer| answer.map(|body| StallBody::new(body, limits)))
    }
}

impl<F> fmt::Debug for StallFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StallFuture").field("limits", &self.limits).finish_non_exhaustive()
    }
}
