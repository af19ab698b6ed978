//! Which circuit a request goes through.

use super::keyed::Circuits;
use super::policy::{BreakerConfig, BreakerPolicy};
use super::state::{ObservedCircuit, SharedCircuit};
use crate::attempt::{AttemptObserver, FindClassifier, InFlight};
use crate::sealed::Sealed;
use crate::striped::StripedRef;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Finds the circuit of a request.
///
/// Implemented by [`One`] and [`ByKey`]; it can't be implemented outside.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` finds no circuit for requests of type `{Req}`",
    note = "the closure of `keyed` takes a reference to the request: `keyed(|request: &Request<_>| ..)`"
)]
pub trait Scope<Req>: Sealed {
    /// What a call keeps of its circuit, beside the service's own.
    type Own: Find<Self>;

    fn own(&self, request: &Req) -> Self::Own;

    /// The circuit that all requests go through, if there is one.
    fn only(&self) -> Option<&Arc<ObservedCircuit>>;
}

/// Leads from a call to its circuit.
#[doc(hidden)]
pub trait Find<K: ?Sized>: Sealed {
    fn find<'a>(&'a self, scope: &'a K) -> &'a Arc<ObservedCircuit>;
}

/// All requests go through one circuit.
#[doc(hidden)]
#[derive(Clone)]
pub struct One(pub(super) SharedCircuit);

impl Sealed for One {}

impl<Req> Scope<Req> for One {
    type Own = ();

    #[inline]
    fn own(&self, _: &Req) {}

    #[inline]
    fn only(&self) -> Option<&SharedCircuit> {
        Some(&self.0)
    }
}

impl Sealed for SharedCircuit {}

impl Find<One> for () {
    #[inline]
    fn find<'a>(&'a self, scope: &'a One) -> &'a SharedCircuit {
        &scope.0
    }
}

/// The requests of a key go through a circuit of their own.
#[doc(hidden)]
pub struct ByKey<F, K> {
    pub(super) key: F,
    pub(super) circuits: Arc<Circuits<K>>,
}

impl<F, K> Sealed for ByKey<F, K> {}

impl<F, K, Req> Scope<Req> for ByKey<F, K>
where
    F: Fn(&Req) -> K,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    type Own = SharedCircuit;

    fn own(&self, request: &Req) -> SharedCircuit {
        self.circuits.circuit((self.key)(request))
    }

    fn only(&self) -> Option<&SharedCircuit> {
        None
    }
}

impl<F, K> Find<ByKey<F, K>> for SharedCircuit {
    fn find<'a>(&'a self, _: &'a ByKey<F, K>) -> &'a SharedCircuit {
        self
    }
}

impl fmt::Debug for One {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("One").field(&self.0).finish()
    }
}

impl<F: Clone, K> Clone for ByKey<F, K> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), circuits: self.circuits.clone() }
    }
}

impl<F, K> fmt::Debug for ByKey<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKey").field("circuits", &self.circuits).finish_non_exhaustive()
    }
}

/// What all clones of a service share.
#[derive(Clone)]
pub(super) struct BreakerShared<C, P, K> {
    pub(super) policy: BreakerPolicy<C, P>,
    pub(super) scope: K,
}

impl<C, P, K> fmt::Debug for BreakerShared<C, P, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerShared").field("gated", &self.policy.gated).finish_non_exhaustive()
    }
}

/// What a call holds on to: the service's policy and the circuit.
#[doc(hidden)]
pub struct CircuitInFlight<C, P, K, O> {
    core: StripedRef<BreakerShared<C, P, K>>,
    own: O,
}

impl<C, P, K, O: Find<K>> CircuitInFlight<C, P, K, O> {
    #[inline]
    pub(super) fn new(core: StripedRef<BreakerShared<C, P, K>>, own: O) -> Self {
        Self { core, own }
    }

    #[inline]
    pub(super) fn circuit(&self) -> &SharedCircuit {
        self.own.find(&self.core.scope)
    }
}

impl<C, P, K, O: Find<K>> InFlight for CircuitInFlight<C, P, K, O> {
    type Observer = ObservedCircuit;

    #[inline]
    fn observer(&self) -> &ObservedCircuit {
        self.circuit()
    }

    fn to_shared(&self) -> Arc<dyn AttemptObserver> {
        self.circuit().clone()
    }
}

/// The classifier is kept by what a call holds on to.
pub(super) struct InTheCall;

impl<C, P, K, O: Find<K>> FindClassifier<CircuitInFlight<C, P, K, O>> for InTheCall {
    type Classifier = C;

    #[inline]
    fn find<'a>(&'a self, in_flight: &'a CircuitInFlight<C, P, K, O>) -> &'a C {
        &in_flight.core.policy.classify
    }
}

impl<C, P, K, O> fmt::Debug for CircuitInFlight<C, P, K, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitInFlight").finish_non_exhaustive()
    }
}

/// Makes what the services of a layer go through.
///
/// Implemented by [`Together`], [`PerService`], [`Keyed`] and [`Watched`]; it can't be implemented outside.
#[doc(hidden)]
pub trait Sharing: Sealed {
    /// What a service goes through.
    type Scope: Clone;

    fn scope(&self, config: &BreakerConfig) -> Self::Scope;
}

/// What can still be configured, since nobody has a handle.
#[doc(hidden)]
pub trait Unwatched: Sharing {
    /// Parts from what was made before a setting was changed.
    fn anew(&mut self);
}

/// A value that is made when it is first needed, and then is the same for all clones.
#[derive(Debug)]
struct Late<T>(Arc<OnceLock<Arc<T>>>);

impl<T> Late<T> {
    fn get(&self, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        self.0.get_or_init(make).clone()
    }
}

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Late<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// All services of one layer value, and of its clones, share one circuit.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct Together(Late<ObservedCircuit>);

impl Sealed for Together {}

impl Sharing for Together {
    type Scope = One;

    fn scope(&self, config: &BreakerConfig) -> One {
        One(self.0.get(|| Arc::new(ObservedCircuit::new(config, true, None))))
    }
}

impl Unwatched for Together {
    fn anew(&mut self) {
        *self = Self::default();
    }
}

/// Each service that the layer makes has a circuit of its own, which its clones share.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct PerService;

impl Sealed for PerService {}

impl Sharing for PerService {
    type Scope = One;

    fn scope(&self, config: &BreakerConfig) -> One {
        One(Arc::new(ObservedCircuit::new(config, true, None)))
    }
}

impl Unwatched for PerService {
    fn anew(&mut self) {}
}

/// The services of a layer of which somebody has a handle: what they go through is made already, so that
/// no setter can make another one.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Watched<T>(pub(super) T);

impl<T> Sealed for Watched<T> {}

impl<T: Clone> Sharing for Watched<T> {
    type Scope = T;

    fn scope(&self, _: &BreakerConfig) -> T {
        self.0.clone()
    }
}

/// All services of one layer value, and of its clones, share a circuit for each key.
#[doc(hidden)]
pub struct Keyed<F, K> {
    pub(super) key: F,
    pub(super) capacity: usize,
    pub(super) idle: Duration,
    circuits: Late<Circuits<K>>,
}

impl<F, K: Hash + Eq + Clone + Send + Sync + 'static> Keyed<F, K> {
    pub(super) fn new(key: F) -> Self {
        let (capacity, idle) = (10_000, Duration::from_secs(600));
        Self { key, capacity, idle, circuits: Late::default() }
    }
}

impl<F, K> Sealed for Keyed<F, K> {}

impl<F, K> Sharing for Keyed<F, K>
where
    F: Clone,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    type Scope = ByKey<F, K>;

    fn scope(&self, config: &BreakerConfig) -> ByKey<F, K> {
        let make = || Circuits::new(config.clone(), self.capacity, self.idle);
        ByKey { key: self.key.clone(), circuits: self.circuits.get(make) }
    }
}

impl<F, K> Unwatched for Keyed<F, K>
where
    F: Clone,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    fn anew(&mut self) {
        self.circuits = Late::default();
    }
}

impl<F: Clone, K> Clone for Keyed<F, K> {
    fn clone(&self) -> Self {
        let (key, circuits) = (self.key.clone(), self.circuits.clone());
        Self { key, capacity: self.capacity, idle: self.idle, circuits }
    }
}

impl<F, K> fmt::Debug for Keyed<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("capacity", &self.capacity)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}
