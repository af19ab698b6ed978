//! The service that retries.

use super::future::RetryFuture;
use super::policy::RetryPolicy;
use crate::attempt::{Arrival, CarryContext, Link, RequestContext};
use crate::classify::Classify;
use crate::clock;
use crate::replay::Replay;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_service::Service;

/// Sends requests again that failed; made by [`RetryLayer`](super::RetryLayer).
///
/// # Clones
///
/// Clones share the budget and the counts, not the readiness.
pub struct Retry<S, C, P> {
    inner: S,
    policy: Arc<RetryPolicy<C, P>>,
    link: Link,
}

impl<S, C, P> Retry<S, C, P> {
    pub(super) fn new(inner: S, policy: Arc<RetryPolicy<C, P>>) -> Self {
        Self { inner, policy, link: Link::NONE }
    }
}

impl<S, C, P> Retry<S, C, P> {
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

impl<S, C, P, Req> Service<Req> for Retry<S, C, P>
where
    S: Service<P::Request> + Clone,
    C: Classify<S::Response, S::Error>,
    P: Replay<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = RetryFuture<S, S::Future, C, P, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.link.poll_ready(<P as CarryContext<Req>>::CARRIES, || self.inner.poll_ready(cx))
    }

    // otherwise a stack of layers moves its future more often
    #[inline(always)]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let policy = &self.policy;
        let kind = &policy.kind;
        let mut context = kind.take_context(&mut request);
        self.link.open(&mut context);
        context.deposit(policy.budget.as_ref());
        let keep = policy.max_retries > 0 && !context.policy().no_retry;
        let (mut first, copies) = kind.start(request, keep);
        let time = context.time();
        if let Some(timeout) = time.timeout {
            // another limit may be the stricter one
            let left = Arrival::default().remaining(time.within(policy.deadline), clock::now());
            if let Some(left) = left.filter(|left| *left < timeout) {
                kind.stamp(&mut first, 1, Some(left));
            }
        }
        self.link.put(kind, &mut first, || {
            let attempts = context.attempts()?;
            let deadline = Arrival::default().deadline(time.within(policy.deadline));
            let left = keep && attempts.retries() < policy.max_retries;
            let may_follow = left && policy.may_follow::<Req>(&copies);
            Some(attempts.clone().until(deadline).followed(may_follow))
        });
        // before the call, since nothing then stands between its future and the place of that
        let policy = policy.clone();
        let spare = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, spare);
        let future = inner.call(first);
        RetryFuture::new(inner, future, policy, copies, context)
    }
}

impl<S: Clone, C, P> Clone for Retry<S, C, P> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.policy.clone())
    }
}

impl<S: fmt::Debug, C, P> fmt::Debug for Retry<S, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("inner", &self.inner).field("policy", &self.policy).finish()
    }
}
