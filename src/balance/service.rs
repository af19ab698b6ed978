//! The service over a set of endpoints.

use super::future::BalanceFuture;
use super::policy::{Allow, Balancer, Everyone};
use crate::attempt::{CarryContext, End, Link, Recorder};
use crate::classify::Classify;
use crate::clock;
use crate::endpoints::Endpoints;
use crate::error::BoxError;
use crate::striped::Striped;
use std::fmt;
use std::task::{Context, Poll};
use tower_service::Service;

/// Sends each request to the endpoint that serves it best; made by [`BalanceLayer`](super::BalanceLayer).
///
/// It is always ready, and chooses when it is called: an idle clone holds nothing of any endpoint.
///
/// # Clones
///
/// Clones share the endpoints and all that is known of them.
pub struct Balance<S, C, P, A = Everyone> {
    balancer: Striped<Balancer<S, C, P, A>>,
}

impl<S, C, P, A> Balance<S, C, P, A> {
    pub(super) fn new(balancer: Balancer<S, C, P, A>) -> Self {
        Self { balancer: Striped::new(balancer) }
    }

    /// Returns a handle of the set.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints<S> {
        Endpoints { shared: self.balancer.shared.clone() }
    }
}

impl<S, C, P, A, Req> Service<Req> for Balance<S, C, P, A>
where
    S: Service<Req> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    C: Classify<S::Response, BoxError>,
    P: CarryContext<Req> + End<S::Response>,
    A: Allow<Req>,
{
    type Response = P::Response;
    type Error = BoxError;
    type Future = BalanceFuture<S, Req, C, P, A, S::Future>;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Link::announce(P::CARRIES);
        Poll::Ready(Ok(()))
    }

    #[inline(always)]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let balancer = self.balancer.hold();
        let context = balancer.policy.kind.take_context(&mut request);
        let now = clock::now();
        // a request that can wait comes after those that do
        if balancer.shared.set_state.has_queue() && !balancer.policy.wait_for.is_zero() {
            return BalanceFuture::queued(balancer, request, context, now);
        }
        match balancer.choose(&request, &context, now) {
            Ok((member, admission)) => {
                let recorder = Recorder::new(member, admission, Some(now), context);
                BalanceFuture::chosen(balancer, request, recorder)
            }
            Err(none) => BalanceFuture::none(balancer, request, context, none, now),
        }
    }
}

impl<S, C, P, A> Clone for Balance<S, C, P, A> {
    fn clone(&self) -> Self {
        Self { balancer: self.balancer.clone() }
    }
}

impl<S, C, P, A> fmt::Debug for Balance<S, C, P, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance").field("endpoints", &self.endpoints()).finish_non_exhaustive()
    }
}
