//! The configuration of a balancer.

use crate::endpoints::{EndpointInfo, EndpointSet};
use crate::sealed::Sealed;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Says which endpoints may take a request.
///
/// Implemented by [`Everyone`] and, as [`Only`], by closures that are given to
/// [`allow`](super::BalanceLayer::allow); it can't be implemented outside.
#[doc(hidden)]
pub trait Allow<Req>: Sealed {
    /// Whether this endpoint may take the request.
    fn allows(&self, request: &Req, endpoint: &EndpointInfo) -> bool;

    /// Whether all may take all.
    #[doc(hidden)]
    const ALL: bool = false;
}

/// Every endpoint may take every request.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Everyone;

impl Sealed for Everyone {}

impl<Req> Allow<Req> for Everyone {
    #[inline]
    fn allows(&self, _: &Req, _: &EndpointInfo) -> bool {
        true
    }

    const ALL: bool = true;
}

/// The endpoints for which a closure holds may take a request.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct Only<F>(pub(super) F);

impl<F> Sealed for Only<F> {}

impl<F, Req> Allow<Req> for Only<F>
where
    F: Fn(&Req, &EndpointInfo) -> bool,
{
    fn allows(&self, request: &Req, endpoint: &EndpointInfo) -> bool {
        (self.0)(request, endpoint)
    }
}

impl<F> fmt::Debug for Only<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Only")
    }
}

#[derive(Clone, Debug)]
pub(super) struct BalancePolicy<C, P, A> {
    pub(super) classify: C,
    pub(super) kind: P,
    pub(super) allow: A,
    pub(super) wait_for: Duration,
}

/// What the calls of a balancer need.
pub(super) struct Balancer<S, C, P, A> {
    pub(super) shared: Arc<EndpointSet<S>>,
    pub(super) policy: Arc<BalancePolicy<C, P, A>>,
}

impl<S, C, P, A> Clone for Balancer<S, C, P, A> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), policy: self.policy.clone() }
    }
}
