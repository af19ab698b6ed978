//! The service whose answers are watched.

use super::body::StallBody;
use super::future::StallFuture;
use super::state::Limits;
use http::Response;
use http_body::Body;
use std::fmt;
use std::task::{Context, Poll};
use tower_service::Service;

/// Ends the answers of its service that stall; made by [`StallLayer`](super::StallLayer).
///
/// # Clones
///
/// Clones share nothing but what their services share.
#[derive(Clone)]
pub struct Stall<S> {
    inner: S,
    limits: Limits,
}

impl<S> Stall<S> {
    pub(super) const fn new(inner: S, limits: Limits) -> Self {
        Self { inner, limits }
    }
}

impl<S> Stall<S> {
    /// Returns the inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service, to be changed. Readiness belongs to whoever polled for it: after a call
    /// of the inner service, or a change of it, poll this one ready again.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service alone. What this layer kept of its readiness is lost, so poll it ready
    /// again.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req, B> Service<Req> for Stall<S>
where
    S: Service<Req, Response = Response<B>>,
    B: Body,
{
    type Response = Response<StallBody<B>>;
    type Error = S::Error;
    type Future = StallFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        StallFuture::new(self.inner.call(request), self.limits)
    }
}

impl<S: fmt::Debug> fmt::Debug for Stall<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stall")
            .field("inner", &self.inner)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
