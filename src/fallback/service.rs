//! The service with a fallback.

use super::answer::{Answer, Backup};
use super::body::Join;
use super::future::{AnswerFuture, BackupFuture, First};
use super::policy::FallbackPolicy;
use crate::attempt::{Attempts, CarryContext, Link, RequestContext};
use crate::classify::Classify;
use crate::error::BoxError;
use crate::replay::Replay;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// Replaces results that failed; made by [`FallbackLayer`](super::FallbackLayer).
///
/// # Clones
///
/// Clones share the counts, not the readiness: neither a first service that is ready, nor an error
/// of its `poll_ready`.
pub struct Fallback<S, A, C, P> {
    inner: S,
    policy: Arc<FallbackPolicy<A, C, P>>,
    /// The error of `poll_ready`, to be judged by the next call.
    unready: Option<Arc<BoxError>>,
    link: Link,
}

impl<S, A, C, P> Fallback<S, A, C, P> {
    pub(super) fn new(inner: S, policy: Arc<FallbackPolicy<A, C, P>>) -> Self {
        Self { inner, policy, unready: None, link: Link::NONE }
    }

    /// Polls the first service ready; its error waits for the next call, which it may fail or not.
    #[inline]
    fn poll_inner<Req, R>(&mut self, cx: &mut Context<'_>) -> Poll<()>
    where
        S: Service<R>,
        S::Error: Into<BoxError>,
        P: CarryContext<Req>,
    {
        if self.unready.is_some() {
            // the backup may read records, and whoever polls again listens again
            Link::announce(P::CARRIES);
            return Poll::Ready(());
        }
        let polled = self.link.poll_ready(P::CARRIES, || self.inner.poll_ready(cx));
        if let Err(error) = ready!(polled) {
            self.unready = Some(Arc::new(error.into()));
        }
        Poll::Ready(())
    }

    /// Takes what the request brings along, and makes a record if somebody inside reads one.
    #[inline]
    fn take_context<Req>(&self, request: &mut Req) -> P::Context
    where
        P: CarryContext<Req>,
    {
        let mut context = self.policy.kind.take_context(request);
        self.link.open(&mut context);
        context
    }

    /// Calls the first service, or tells why it was not ready; `keep` is given the request where it
    /// was not sent, and says what to keep.
    #[inline]
    fn call_inner<R, Kept>(
        &mut self,
        mut request: R,
        attempts: Option<&Attempts>,
        keep: impl FnOnce(Option<R>) -> Kept,
    ) -> First<S::Future, Kept>
    where
        S: Service<R>,
        P: CarryContext<R>,
    {
        if let Some(error) = self.unready.take() {
            return First::Uncalled { unready: Some((error, keep(Some(request)))) };
        }
        self.link.put(&self.policy.kind, &mut request, || attempts.cloned());
        First::Called { future: self.inner.call(request), kept: keep(None) }
    }
}

impl<S, A, C, P> Fallback<S, A, C, P> {
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

impl<S, A, C, P, Req> Service<Req> for Fallback<S, A, C, P>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    A: Answer<Req, S::Response>,
    C: Classify<S::Response, BoxError>,
    P: CarryContext<Req> + Join<S::Response, A::Alt>,
{
    type Response = P::Response;
    type Error = A::Error;
    type Future = AnswerFuture<S::Future, S::Response, A, C, P, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.poll_inner::<Req, Req>(cx).map(Ok)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let context = self.take_context(&mut request);
        let kept = self.policy.alternative.keep(&request);
        let first = self.call_inner(request, context.attempts(), |_| kept);
        AnswerFuture::new(first, self.policy.clone(), context)
    }
}

impl<S, T, C, P, Req> Service<Req> for Fallback<S, Backup<T>, C, P>
where
    S: Service<P::Request>,
    S::Error: Into<BoxError>,
    T: Service<P::Request> + Clone,
    T::Error: Into<BoxError>,
    C: Classify<S::Response, BoxError>,
    P: Replay<Req> + Join<S::Response, T::Response>,
{
    type Response = <P as Join<S::Response, T::Response>>::Response;
    type Error = BoxError;
    type Future = BackupFuture<S::Future, S::Response, T, T::Future, C, P, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.poll_inner::<Req, P::Request>(cx).map(Ok)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let context = self.take_context(&mut request);
        context.deposit(self.policy.budget.as_ref());
        let keep = !context.policy().no_fallback;
        let (request, copies) = self.policy.kind.start(request, keep);
        let first = self.call_inner(request, context.attempts(), |unsent| unsent.map(Box::new));
        BackupFuture::new(first, self.policy.clone(), context, copies)
    }
}

impl<S: Clone, A, C, P> Clone for Fallback<S, A, C, P> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.policy.clone())
    }
}

impl<S: fmt::Debug, A, C, P> fmt::Debug for Fallback<S, A, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
