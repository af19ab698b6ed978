//! The service whose answers are held back.

use super::body::FirstFrameBody;
use super::future::FirstFrameFuture;
use super::judge::Judge;
use super::policy::FirstFramePolicy;
use crate::attempt::{Attempts, Link};
use crate::error::BoxError;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// Holds answers back until their first record was judged good; made by
/// [`FirstFrameLayer`](super::FirstFrameLayer).
///
/// # Clones
///
/// Clones share nothing but the settings.
pub struct FirstFrame<S, J> {
    inner: S,
    policy: Arc<FirstFramePolicy<J>>,
    link: Link,
}

impl<S, J> FirstFrame<S, J> {
    pub(super) const fn new(inner: S, policy: Arc<FirstFramePolicy<J>>) -> Self {
        Self { inner, policy, link: Link::NONE }
    }

    /// Tells whether this attempt is the last, and is to be let through for that.
    fn is_exempt<A>(&self, request: &mut Request<A>) -> bool {
        if !self.policy.exempt_last {
            return false;
        }
        let Some(attempts) = request.extensions_mut().remove::<Attempts>() else { return false };
        let last = !attempts.may_follow();
        if self.link.has_reader() {
            request.extensions_mut().insert(attempts);
        }
        last
    }
}

impl<S, J> FirstFrame<S, J> {
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

impl<S, J, A, B> Service<Request<A>> for FirstFrame<S, J>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Unpin,
    J: Judge,
{
    type Response = Response<FirstFrameBody<B>>;
    type Error = BoxError;
    type Future = FirstFrameFuture<S::Future, B, J>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let polled = self.link.poll_ready(self.policy.exempt_last, || self.inner.poll_ready(cx));
        polled.map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let exempt = self.is_exempt(&mut request);
        let policy = (!exempt).then(|| self.policy.clone());
        FirstFrameFuture::new(self.inner.call(request), policy)
    }
}

impl<S: Clone, J> Clone for FirstFrame<S, J> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.policy.clone())
    }
}

impl<S: fmt::Debug, J: fmt::Debug> fmt::Debug for FirstFrame<S, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstFrame")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
