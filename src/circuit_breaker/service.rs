//! The service behind a circuit.

use super::future::CircuitBreakerFuture;
use super::gate::Gate;
use super::handle::CircuitHandle;
use super::scope::{Core, One, Scope, Through};
use super::state::Shared;
use crate::circuit::Admission;
use crate::classify::Classify;
use crate::error::BoxError;
use crate::record::{End, Ending, Ledger, Recorder};
use crate::replay::Carry;
use crate::stripe::Spread;
use std::fmt;
use std::mem;
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
    readiness: Readiness,
}

/// What happened when the service was polled ready.
#[derive(Debug)]
enum Readiness {
    /// It is ready, or was not polled yet.
    Plain,
    /// It was not asked, since the circuit refused.
    Unasked,
    /// The circuit refuses, and is waited for.
    Gated(Gate),
    /// Its error is to be judged by the next call.
    Failed(Arc<BoxError>),
}

impl<S, C, P, K> CircuitBreaker<S, C, P, K> {
    pub(super) fn new(inner: S, core: Spread<Core<C, P, K>>) -> Self {
        Self { inner, core, readiness: Readiness::Plain }
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
        let is_free = self.core.scope.only().is_none_or(|circuit| circuit.is_free());
        if !is_free || !matches!(self.readiness, Readiness::Plain) {
            if !ready!(self.poll_circuit(cx)) {
                return Poll::Ready(Ok(()));
            }
        }
        if let Err(error) = ready!(self.inner.poll_ready(cx)) {
            self.readiness = Readiness::Failed(Arc::new(error.into()));
        }
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let through = Through::new(self.core.hold(), self.core.scope.own(&request));
        let circuit = through.circuit();
        let (admission, started) = match circuit.circuit.quick() {
            Some(admission) if matches!(self.readiness, Readiness::Plain) => (admission, None),
            _ => match self.ask(circuit) {
                Ok(admission) => (admission, circuit.start()),
                Err(error) => return CircuitBreakerFuture::failed(error),
            },
        };
        let luggage = self.core.policy.kind.look(&mut request);
        let mut recorder = Recorder::new(through, admission, started, luggage);
        let future = self.inner.call(request);
        recorder.leave();
        CircuitBreakerFuture::called(future, recorder)
    }
}

impl<S, C, P, K> CircuitBreaker<S, C, P, K> {
    /// Asks the circuit before the service is polled ready; tells whether that is to be polled.
    #[cold]
    fn poll_circuit<Req>(&mut self, cx: &mut Context<'_>) -> Poll<bool>
    where
        K: Scope<Req>,
    {
        if let Readiness::Failed(_) = self.readiness {
            return Poll::Ready(false);
        }
        let Some(circuit) = self.core.scope.only() else { return Poll::Ready(true) };
        if self.core.policy.gated {
            let mut gate = match mem::replace(&mut self.readiness, Readiness::Plain) {
                Readiness::Gated(gate) => gate,
                _ => Gate::new(circuit),
            };
            if gate.poll(cx).is_pending() {
                self.readiness = Readiness::Gated(gate);
                return Poll::Pending;
            }
            return Poll::Ready(true);
        }
        let refuses = circuit.refuses();
        self.readiness = if refuses { Readiness::Unasked } else { Readiness::Plain };
        Poll::Ready(!refuses)
    }

    /// Asks the circuit for a call, or tells the error with which it ends.
    #[cold]
    fn ask<Req>(&mut self, circuit: &Shared) -> Result<Admission, Arc<BoxError>>
    where
        S: Service<Req>,
        C: Classify<S::Response, BoxError>,
    {
        match mem::replace(&mut self.readiness, Readiness::Plain) {
            Readiness::Plain | Readiness::Gated(_) => circuit.admit(),
            Readiness::Unasked => {
                // it stays so until it is polled again
                self.readiness = Readiness::Unasked;
                Err(circuit.refusal())
            }
            Readiness::Failed(error) => {
                let (classify, result) = (&self.core.policy.classify, Err(&*error));
                let (outcome, evidence) = (classify.classify(result), classify.evidence(result));
                circuit.settle(circuit.admit()?, &Ending::at_once(outcome, evidence));
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
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}
