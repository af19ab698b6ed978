//! The service behind a circuit.

use super::future::CircuitBreakerFuture;
use super::gate::Gate;
use super::handle::CircuitHandle;
use super::scope::{BreakerShared, CircuitInFlight, Find, One, Scope};
use crate::attempt::{AttemptObserver, CarryContext, End, Ending, Recorder};
use crate::circuit::Admission;
use crate::classify::{Classify, assess};
use crate::clock::Instant;
use crate::error::BoxError;
use crate::lazy_box::LazyBox;
use crate::panic_guard::PanicGuard;
use crate::striped::Striped;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// Refuses calls while the service is sick; made by
/// [`CircuitBreakerLayer`](super::CircuitBreakerLayer).
///
/// # Clones
///
/// Clones share the circuit, not the readiness.
pub struct CircuitBreaker<S, C, P, K = One> {
    inner: S,
    core: Striped<BreakerShared<C, P, K>>,
    hindrance: LazyBox<Hindrance>,
}

/// What keeps a service from being called as usual; it is found when that is polled ready.
#[derive(Debug)]
enum Hindrance {
    /// The service was not asked, since the circuit refused.
    Unasked,
    /// The circuit refuses, and is waited for.
    Gated(Gate),
    /// The service's error is to be judged by the next call.
    Failed(Arc<BoxError>),
}

impl<S, C, P, K> CircuitBreaker<S, C, P, K> {
    pub(super) fn new(inner: S, core: Striped<BreakerShared<C, P, K>>) -> Self {
        Self { inner, core, hindrance: LazyBox::NONE }
    }
}

impl<S, C, P> CircuitBreaker<S, C, P, One> {
    /// Returns a handle to watch and steer the circuit.
    #[must_use]
    pub fn handle(&self) -> CircuitHandle {
        CircuitHandle(self.core.scope.0.clone())
    }
}

impl<S, C, P, K> CircuitBreaker<S, C, P, K> {
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

impl<S, C, P, K, Req> Service<Req> for CircuitBreaker<S, C, P, K>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response, BoxError>,
    P: CarryContext<Req> + End<S::Response>,
    K: Scope<Req>,
{
    type Response = P::Response;
    type Error = BoxError;
    type Future = CircuitBreakerFuture<S::Future, C, P, K, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let as_usual = self.hindrance.is_none()
            && self.core.scope.only().is_none_or(|circuit| circuit.is_free());
        if !as_usual && !ready!(self.poll_circuit(cx)) {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = ready!(self.inner.poll_ready(cx)) {
            self.hindrance = LazyBox::new(Hindrance::Failed(Arc::new(error.into())));
        }
        Poll::Ready(Ok(()))
    }

    // otherwise a stack of layers moves its future more often
    #[inline(always)]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let own = self.core.scope.own(&request);
        let as_usual = self.hindrance.is_none();
        let closed = if as_usual { own.find(&self.core.scope).pass() } else { None };
        let (admission, started) = match closed {
            Some(admission) => (admission, None),
            None => match self.ask(&own) {
                Ok(admission) => admission,
                Err(error) => return CircuitBreakerFuture::failed(error),
            },
        };
        let context = self.core.policy.kind.read_context(&mut request);
        let circuit = own.find(&self.core.scope);
        // where there is no recorder yet: that is made after the call, in its place at once
        let guard = PanicGuard::new(|| circuit.panicked(admission));
        let future = self.inner.call(request);
        guard.disarm();
        let through = CircuitInFlight::new(self.core.hold(), own);
        CircuitBreakerFuture::called(future, Recorder::new(through, admission, started, context))
    }
}

impl<S, C, P, K> CircuitBreaker<S, C, P, K> {
    /// Asks the circuit before the service is polled ready; tells whether that is to be polled.
    #[cold]
    fn poll_circuit<Req>(&mut self, cx: &mut Context<'_>) -> Poll<bool>
    where
        K: Scope<Req>,
    {
        let Some(circuit) = self.core.scope.only() else {
            return Poll::Ready(self.hindrance.is_none());
        };
        if self.core.policy.gated && self.hindrance.is_none() {
            self.hindrance = LazyBox::new(Hindrance::Gated(Gate::new(circuit)));
        }
        let passes = match self.hindrance.get_mut() {
            None | Some(Hindrance::Unasked) => !circuit.refuses(),
            Some(Hindrance::Gated(gate)) => ready!(gate.poll(cx).map(|()| true)),
            Some(Hindrance::Failed(_)) => false,
        };
        if passes {
            self.hindrance = LazyBox::NONE;
        } else if self.hindrance.is_none() {
            self.hindrance = LazyBox::new(Hindrance::Unasked);
        }
        Poll::Ready(passes)
    }

    /// Asks the circuit for a call, or tells the error with which it ends.
    #[cold]
    fn ask<Req>(&mut self, own: &K::Own) -> Result<(Admission, Option<Instant>), Arc<BoxError>>
    where
        S: Service<Req>,
        C: Classify<S::Response, BoxError>,
        K: Scope<Req>,
    {
        let circuit = own.find(&self.core.scope);
        if let Some(Hindrance::Unasked) = self.hindrance.get() {
            // it stays so until it is polled again
            return Err(circuit.refusal());
        }
        match self.hindrance.take() {
            None | Some(Hindrance::Unasked | Hindrance::Gated(_)) => {
                Ok((circuit.admit()?, circuit.start()))
            }
            Some(Hindrance::Failed(error)) => {
                let admission = circuit.admit()?;
                let guard = PanicGuard::new(|| circuit.panicked(admission));
                let (outcome, evidence) = assess(&self.core.policy.classify, Err(&*error), None);
                guard.disarm();
                circuit.settle(admission, &Ending::at_once(outcome, evidence));
                Err(error)
            }
        }
    }
}

impl<S: Clone, C, P, K> Clone for CircuitBreaker<S, C, P, K> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.core.clone())
    }
}

impl<S: fmt::Debug, C, P, K: fmt::Debug> fmt::Debug for CircuitBreaker<S, C, P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("inner", &self.inner)
            .field("scope", &self.core.scope)
            .field("hindrance", &self.hindrance)
            .finish_non_exhaustive()
    }
}
