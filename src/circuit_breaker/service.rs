//! The service behind a circuit.

use super::future::CircuitBreakerFuture;
use super::gate::{self, Gate};
use super::handle::CircuitHandle;
use super::scope::{Core, One, Scope, Through};
use crate::classify::Classify;
use crate::error::BoxError;
use crate::record::{End, Recorder};
use crate::replay::Carry;
use crate::stripe::Spread;
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
    core: Spread<Core<C, P, K>>,
    /// The circuit refused when this was polled ready, and so the service was not asked.
    unasked: bool,
    /// The error of `poll_ready`, to be judged by the next call.
    unready: Option<Arc<BoxError>>,
    gate: Option<Gate>,
}

impl<S, C, P, K> CircuitBreaker<S, C, P, K> {
    pub(super) fn new(inner: S, core: Spread<Core<C, P, K>>) -> Self {
        Self { inner, core, unasked: false, unready: None, gate: None }
    }

    fn poll_inner<Req>(&mut self, cx: &mut Context<'_>) -> Poll<()>
    where
        S: Service<Req>,
        S::Error: Into<BoxError>,
    {
        if self.unready.is_none() {
            if let Err(error) = ready!(self.inner.poll_ready(cx)) {
                self.unready = Some(Arc::new(error.into()));
            }
        }
        Poll::Ready(())
    }
}

impl<S, C, P> CircuitBreaker<S, C, P, One> {
    /// Returns a handle to watch and steer the circuit.
    #[must_use]
    pub fn handle(&self) -> CircuitHandle {
        CircuitHandle(self.core.scope.0.clone())
    }
}

impl<S, C, P, K, Req> Service<Req> for CircuitBreaker<S, C, P, K>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response, BoxError>,
    P: Carry<Req> + End<S::Response>,
    K: Scope<Req>,
{
    type Response = P::Response;
    type Error = BoxError;
    type Future = CircuitBreakerFuture<S::Future, C, P, K, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if let Some(circuit) = self.core.scope.only() {
            if self.core.policy.gated {
                ready!(gate::poll_open(&mut self.gate, circuit, cx));
            } else if circuit.refuses() {
                self.unasked = true;
                return Poll::Ready(Ok(()));
            }
        }
        self.unasked = false;
        self.poll_inner(cx).map(Ok)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let through = Through::new(self.core.hold(), self.core.scope.own(&request));
        let circuit = through.circuit();
        if self.unasked {
            return CircuitBreakerFuture::failed(circuit.refusal());
        }
        let admission = match circuit.circuit.free() {
            Some(admission) => admission,
            None => match circuit.admit() {
                Ok(admission) => admission,
                Err(error) => return CircuitBreakerFuture::failed(error),
            },
        };
        let started = circuit.start();
        let luggage = self.core.policy.kind.look(&mut request);
        let mut recorder = Recorder::new(through, admission, started, luggage);
        if let Some(error) = self.unready.take() {
            let (classify, result) = (&self.core.policy.classify, Err(&*error));
            recorder.settle(classify.classify(result), classify.evidence(result));
            return CircuitBreakerFuture::failed(error);
        }
        let future = self.inner.call(request);
        recorder.leave();
        CircuitBreakerFuture::called(future, recorder)
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
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}
