//! The service behind a circuit.

use super::future::CircuitBreakerFuture;
use super::gate::Gate;
use super::handle::CircuitHandle;
use super::scope::{Core, Find, One, Scope, Through};
use super::state::Watched;
use crate::circuit::Admission;
use crate::classify::{Classify, Evidence, judge};
use crate::clock::Instant;
use crate::error::BoxError;
use crate::outcome::Outcome;
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
        let as_usual = match self.readiness {
            Readiness::Plain => self.core.scope.only().is_none_or(|circuit| circuit.is_free()),
            _ => false,
        };
        if !as_usual && !ready!(self.poll_circuit(cx)) {
            return Poll::Ready(Ok(()));
        }
        if let Err(error) = ready!(self.inner.poll_ready(cx)) {
            self.readiness = Readiness::Failed(Arc::new(error.into()));
        }
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let own = self.core.scope.own(&request);
        let quick = match self.readiness {
            Readiness::Plain => own.find(&self.core.scope).circuit.quick(),
            _ => None,
        };
        let (admission, started) = match quick {
            Some(admission) => (admission, None),
            None => match self.ask(&own) {
                Ok(admission) => admission,
                Err(error) => return CircuitBreakerFuture::failed(error),
            },
        };
        let guard = PanicGuard { circuit: own.find(&self.core.scope), admission };
        let luggage = self.core.policy.kind.peek(&mut request);
        let future = self.inner.call(request);
        mem::forget(guard);
        let through = Through::new(self.core.hold(), own);
        CircuitBreakerFuture::called(future, Recorder::new(through, admission, started, luggage))
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
    fn ask<Req>(&mut self, own: &K::Own) -> Result<(Admission, Option<Instant>), Arc<BoxError>>
    where
        S: Service<Req>,
        C: Classify<S::Response, BoxError>,
        K: Scope<Req>,
    {
        let circuit = own.find(&self.core.scope);
        match mem::replace(&mut self.readiness, Readiness::Plain) {
            Readiness::Plain | Readiness::Gated(_) => Ok((circuit.admit()?, circuit.start())),
            Readiness::Unasked => {
                // it stays so until it is polled again
                self.readiness = Readiness::Unasked;
                Err(circuit.refusal())
            }
            Readiness::Failed(error) => {
                let admission = circuit.admit()?;
                let guard = PanicGuard { circuit, admission };
                let (outcome, evidence) = judge(&self.core.policy.classify, Err(&*error), None);
                mem::forget(guard);
                circuit.settle(admission, &Ending::at_once(outcome, evidence));
                Err(error)
            }
        }
    }
}

/// Records a panic where there is no recorder yet. That is made after that, in its place at once.
struct PanicGuard<'a> {
    circuit: &'a Watched,
    admission: Admission,
}

impl Drop for PanicGuard<'_> {
    #[cold]
    fn drop(&mut self) {
        let ending = Ending::at_once(Outcome::Failure, Evidence::default());
        self.circuit.settle(self.admission, &ending);
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
