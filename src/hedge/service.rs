//! The service that hedges.

use super::future::HedgeFuture;
use super::policy::HedgePolicy;
use crate::attempt::{Arrival, Attempts, CarryContext, Link, RequestContext};
use crate::classify::Classify;
use crate::replay::Replay;
use crate::striped::Striped;
use std::fmt;
use std::mem;
use std::task::{Context, Poll};
use tower_service::Service;

/// Sends a second request beside one that takes long; made by [`HedgeLayer`](super::HedgeLayer).
///
/// # Clones
///
/// Clones share the latencies, the budget and the counts, not the readiness.
pub struct Hedge<S, C, P> {
    inner: S,
    policy: Striped<HedgePolicy<C, P>>,
    link: Link,
}

impl<S, C: Clone, P: Clone> Hedge<S, C, P> {
    pub(super) fn new(inner: S, policy: HedgePolicy<C, P>) -> Self {
        Self { inner, policy: Striped::new(policy), link: Link::NONE }
    }
}

impl<S, C, P> Hedge<S, C, P> {
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

impl<S, C, P, Req> Service<Req> for Hedge<S, C, P>
where
    S: Service<P::Request> + Clone,
    C: Classify<S::Response, S::Error>,
    P: Replay<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HedgeFuture<S, S::Future, C, P, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.link.poll_ready(<P as CarryContext<Req>>::CARRIES, || self.inner.poll_ready(cx))
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let policy = self.policy.hold();
        let kind = &policy.kind;
        let mut context = kind.take_context(&mut request);
        self.link.open(&mut context);
        context.deposit(policy.budget.as_ref());
        let hedges = context.attempts().map_or(0, Attempts::hedges);
        let keep = hedges < policy.max_hedges && !context.policy().no_hedge;
        let (mut first, copies) = kind.start(request, keep);
        // what is not sent twice is not kept either
        let copies = Some(copies).filter(|copies| keep && policy.may_hedge::<Req>(copies));
        self.link.put(kind, &mut first, || {
            let attempts = context.attempts()?;
            let may_follow = attempts.may_follow() || copies.is_some();
            let deadline = Arrival::default().deadline(context.time());
            Some(attempts.clone().until(deadline).followed(may_follow))
        });
        let spare = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, spare);
        let future = inner.call(first);
        HedgeFuture::new(inner, future, policy, copies, context)
    }
}

impl<S: Clone, C, P> Clone for Hedge<S, C, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), policy: self.policy.clone(), link: Link::NONE }
    }
}

impl<S: fmt::Debug, C, P> fmt::Debug for Hedge<S, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge").field("inner", &self.inner).field("policy", &self.policy).finish()
    }
}
