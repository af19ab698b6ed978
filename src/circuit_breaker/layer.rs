//! The layer, which is its own builder.

use super::handle::CircuitHandle;
use super::keyed::KeyedHandle;
use super::policy::{BreakerConfig, BreakerPolicy};
use super::scope::{
    BreakerShared, ByKey, Keyed, One, PerService, Sharing, Together, Unwatched, Watched,
};
use super::service::CircuitBreaker;
use crate::attempt::HangAfter;
use crate::backoff::Backoff;
use crate::circuit::CircuitConfig;
use crate::classify::ErrorsOnly;
#[cfg(feature = "http")]
use crate::classify::{GrpcClassifier, HttpClassifier};
use crate::error::BoxError;
use crate::outcome::Outcome;
#[cfg(feature = "http")]
use crate::replay::Http;
use crate::replay::Plain;
use crate::rng::Seeds;
use crate::shortest::at_least_shortest;
use crate::striped::Striped;
use crate::trip::TripRule;
use std::hash::Hash;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;

/// Refuses calls while a service is sick. The [module page](super) has the defaults and the rules.
///
/// # Sharing
///
/// All services that one layer value makes share one circuit, and so do those of its clones: axum
/// applies a layer once for every route. [`per_service`](Self::per_service) gives each service a circuit
/// of its own, and [`keyed`](Self::keyed) each key. A setter that changes a rule or a time starts over
/// with circuits that are shared with nobody. There are no such setters any more once somebody has a handle:
/// what [`with_handle`](Self::with_handle) returns has only those that say how requests and answers are read.
#[derive(Clone, Debug)]
#[must_use]
pub struct CircuitBreakerLayer<C, P, K = Together> {
    policy: BreakerPolicy<C, P>,
    config: BreakerConfig,
    sharing: K,
}

type WatchedByKey<C, P, F, Key> = CircuitBreakerLayer<C, P, Watched<ByKey<F, Key>>>;

impl CircuitBreakerLayer<ErrorsOnly, Plain> {
    /// Judges the errors of services with requests of any type; a call ends with its result.
    pub fn plain() -> Self {
        Self::new(ErrorsOnly::new(), Plain)
    }
}

#[cfg(feature = "http")]
impl CircuitBreakerLayer<HttpClassifier, Http> {
    /// Judges HTTP answers by status; a call ends with its answer's body.
    pub fn http() -> Self {
        Self::new(HttpClassifier::new(), Http::new())
    }
}

#[cfg(feature = "http")]
impl CircuitBreakerLayer<GrpcClassifier, Http> {
    /// Judges gRPC calls by `grpc-status`, in the head or in the trailers; a call ends with its answer's
    /// body.
    pub fn grpc() -> Self {
        Self::new(GrpcClassifier::new(), Http::new())
    }
}

impl<C, P> CircuitBreakerLayer<C, P> {
    fn new(classify: C, kind: P) -> Self {
        let policy = BreakerPolicy { classify, kind, gated: false };
        Self { policy, config: BreakerConfig::new(), sharing: Together::default() }
    }

    /// Gives each service that the layer makes a circuit of its own, for one breaker per endpoint. The
    /// clones of a service share its circuit, and [`CircuitBreaker::handle`] is its handle.
    pub fn per_service(self) -> CircuitBreakerLayer<C, P, PerService> {
        self.share(PerService)
    }

    /// Gives each key a circuit of its own, for requests of one service that go to different places:
    /// `keyed(|request: &Request<Body>| request.uri().path().to_owned())`. Circuits that are not used are
    /// forgotten, see [`capacity`](CircuitBreakerLayer::capacity). The service is polled ready also
    /// while the circuit of a key is open, since its request is not known by then. Each call takes one
    /// lock for the time of a look-up. Default: one circuit for all.
    pub fn keyed<Req, Key, F>(self, key: F) -> CircuitBreakerLayer<C, P, Keyed<F, Key>>
    where
        F: Fn(&Req) -> Key,
        Key: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.share(Keyed::new(key))
    }

    /// Returns the layer with a handle to watch and steer the circuit. The layer's rules and times are
    /// settled from here on: they can't be set any more.
    ///
    /// ```compile_fail,E0599
    /// use tower_failover::circuit_breaker::CircuitBreakerLayer;
    ///
    /// let (layer, circuit) = CircuitBreakerLayer::plain().with_handle();
    /// let another = layer.name("another");
    /// ```
    pub fn with_handle(self) -> (CircuitBreakerLayer<C, P, Watched<One>>, CircuitHandle) {
        let layer = self.watched();
        let handle = CircuitHandle(layer.sharing.0.0.clone());
        (layer, handle)
    }
}

impl<C, P, K> CircuitBreakerLayer<C, P, K> {
    fn watched(self) -> CircuitBreakerLayer<C, P, Watched<K::Scope>>
    where
        K: Sharing,
    {
        let scope = self.sharing.scope(&self.config);
        self.share(Watched(scope))
    }

    fn share<L>(self, sharing: L) -> CircuitBreakerLayer<C, P, L> {
        CircuitBreakerLayer { policy: self.policy, config: self.config, sharing }
    }
}

impl<C, P, F, Key> CircuitBreakerLayer<C, P, Keyed<F, Key>>
where
    F: Clone,
    Key: Hash + Eq + Clone + Send + Sync + 'static,
{
    /// Sets how many circuits are kept. Default: 10 000. Beyond that the least recently used one is
    /// forgotten that is closed; if none is, one that admits a share of the calls; and one that is open
    /// only where there is no other. One through which a call is on its way is kept if another one is
    /// found quickly.
    pub fn capacity(mut self, circuits: NonZeroUsize) -> Self {
        self.sharing.anew();
        self.sharing.capacity = circuits.get();
        self
    }

    /// Sets after which time without a call a circuit is forgotten, open or not, unless it was forced.
    /// Default: 10 minutes. It is forgotten when a call comes after that, for any key: two at most with each call. A
    /// circuit is in use while a call is on its way, a body that is read included, or somebody has its
    /// handle. The shortest time is 1 ns, and zero counts as that.
    pub fn idle(mut self, time: Duration) -> Self {
        self.sharing.anew();
        self.sharing.idle = at_least_shortest(time);
        self
    }

    /// Returns the layer with a handle to watch the circuits and to find that of a key. The layer's rules,
    /// times and capacity are settled from here on: they can't be set any more.
    pub fn with_handle(self) -> (WatchedByKey<C, P, F, Key>, KeyedHandle<Key>) {
        let layer = self.watched();
        let handle = KeyedHandle(layer.sharing.0.circuits.clone());
        (layer, handle)
    }
}

impl<C, P, K: Sharing<Scope = One>> CircuitBreakerLayer<C, P, K> {
    /// Makes `poll_ready` wait while the circuit refuses calls, for use where readiness routes. It takes
    /// no permit there: when a circuit is half-open, more services can be ready than may call, and the
    /// calls of the others are refused. So are those that a degraded circuit or a ramp does not admit.
    /// Default: services are ready while the circuit is open, and refuse the call. A circuit for each
    /// [key](CircuitBreakerLayer::keyed) can't be waited for, since readiness comes before the request.
    pub fn gated(mut self) -> Self {
        self.policy.gated = true;
        self
    }
}

impl<C, P, K: Unwatched> CircuitBreakerLayer<C, P, K> {
    /// Names the circuit breaker in errors and events. Default: `circuit`.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        self.configured(|config| config.name = name.into())
    }

    /// Adds a [rule](crate::trip) by which the circuit trips; the first one takes the place of the default.
    /// Where a call reaches several, the gravest counts: to open. Default: half of at least 20 calls within
    /// 10 s failed.
    pub fn trip_on(self, rule: impl Into<TripRule>) -> Self {
        self.configured(|config| config.rules.push(rule.into()))
    }

    /// Sets for how long the circuit opens: the first delay, and longer ones for each reopening. Default:
    /// 1 s, doubled, up to 30 s, each 20 % more or less; a [`Backoff`] whose jitter was not set gets the
    /// same. Throttling answers that open it can make it longer, up to 60 s. With zero it is half-open at
    /// once.
    pub fn open_for(self, times: Backoff) -> Self {
        let times = times.usual_jitter(CircuitConfig::OPEN_JITTER);
        self.configured(|config| config.circuit.open_for = times)
    }

    /// Sets after which time closed, without a pause, the open times start over with the first.
    /// Default: 60 s. With zero only a circuit that was half-open opens for longer.
    pub fn forget_after(self, time: Duration) -> Self {
        self.configured(|config| config.circuit.forget_after = time)
    }

    /// Sets how many calls a half-open circuit lets through at a time. Default: 1.
    pub fn trials(self, trials: NonZeroU32) -> Self {
        self.configured(|config| config.circuit.trials = trials.get())
    }

    /// Sets how many trials must succeed before the circuit closes. Default: 2.
    pub fn successes(self, successes: NonZeroU32) -> Self {
        self.configured(|config| config.circuit.successes = successes.get())
    }

    /// Sets how long a trial may take up to its answer; one that takes longer has failed. After its
    /// answer, another trial is let through after this time, and nothing is decided. Default: the time
    /// of the strictest rule about slow calls, 1 s where there is none. The shortest is 1 ns, and zero
    /// counts as that.
    pub fn trial_timeout(self, time: Duration) -> Self {
        let time = at_least_shortest(time);
        self.configured(|config| config.circuit.trial_timeout = Some(time))
    }

    /// Sets over which time the share of calls grows after the circuit has closed, from a tenth to all.
    /// Default: zero, all at once.
    pub fn ramp(self, time: Duration) -> Self {
        self.configured(|config| config.circuit.ramp = time)
    }

    /// Sets after which time without reaching a rule that degrades the share of calls is raised, by a
    /// twentieth of all, or by a hundredth near the share that was too large. Default: 5 s. It should be
    /// longer than calls take. The shortest is 1 ns, and zero counts as that.
    pub fn dwell(self, time: Duration) -> Self {
        self.configured(|config| config.circuit.dwell = at_least_shortest(time))
    }

    /// Counts every throttling answer as a failure. Default: only a 503, since a 429 or a
    /// RESOURCE_EXHAUSTED comes from a service that is alive.
    pub fn count_throttled(self) -> Self {
        self.configured(|config| config.count_throttled = true)
    }

    /// Counts a call that its caller gives up before its answer as failed if it took this long, and else
    /// not at all. Default: 5 times the average latency of good calls, at least 500 ms and at most 10 s.
    /// A call that is given up at its deadline is a failure, however long it took. With zero every call
    /// is one that is given up after it had to wait.
    pub fn hang_after(self, time: Duration) -> Self {
        self.configured(|config| config.hang_after = HangAfter::Fixed(time))
    }

    /// Never counts a call that its caller gives up: for long polls.
    pub fn no_hang_after(self) -> Self {
        self.configured(|config| config.hang_after = HangAfter::Never)
    }

    /// Counts an answer that its reader leaves as failed if its body was silent for this long, while it
    /// was read. Default: never, since a stream may well be silent.
    pub fn body_hang_after(self, time: Duration) -> Self {
        self.configured(|config| config.body_hang_after = Some(time))
    }

    /// Makes the open times reproducible. Default: random, so that breakers which open in the same moment
    /// don't trial in the same moment.
    pub fn seed(self, seed: u64) -> Self {
        self.configured(|config| config.seeds = Arc::new(Seeds::seeded(seed)))
    }

    fn configured(mut self, set: impl FnOnce(&mut BreakerConfig)) -> Self {
        self.sharing.anew();
        set(&mut self.config);
        self
    }
}

impl<C, P, K> CircuitBreakerLayer<C, P, K> {
    /// Judges by this classifier. Closures without annotated types go to [`classify_fn`](Self::classify_fn).
    pub fn classify<D>(self, classify: D) -> CircuitBreakerLayer<D, P, K> {
        let BreakerPolicy { kind, gated, .. } = self.policy;
        let policy = BreakerPolicy { classify, kind, gated };
        CircuitBreakerLayer { policy, config: self.config, sharing: self.sharing }
    }

    /// Judges by this closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> CircuitBreakerLayer<F, P, K>
    where
        F: Fn(Result<&Res, &BoxError>) -> Outcome,
    {
        self.classify(classify)
    }

    /// Takes requests and answers for this kind, see [`replay`](crate::replay).
    pub fn kind<Q>(self, kind: Q) -> CircuitBreakerLayer<C, Q, K> {
        let BreakerPolicy { classify, gated, .. } = self.policy;
        let policy = BreakerPolicy { classify, kind, gated };
        CircuitBreakerLayer { policy, config: self.config, sharing: self.sharing }
    }
}

impl<S, C: Clone, P: Clone, K: Sharing> Layer<S> for CircuitBreakerLayer<C, P, K> {
    type Service = CircuitBreaker<S, C, P, K::Scope>;

    fn layer(&self, inner: S) -> Self::Service {
        let scope = self.sharing.scope(&self.config);
        CircuitBreaker::new(
            inner,
            Striped::new(BreakerShared { policy: self.policy.clone(), scope }),
        )
    }
}
