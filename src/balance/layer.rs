//! The layer, which is its own builder.

use super::policy::{BalancePolicy, Balancer, Everyone, Only};
use super::service::Balance;
use crate::attempt::HangAfter;
use crate::backoff::Backoff;
use crate::circuit::CircuitConfig;
use crate::classify::ErrorsOnly;
#[cfg(feature = "http")]
use crate::classify::{GrpcClassifier, HttpClassifier};
use crate::endpoints::{EndpointInfo, Endpoints, SetConfig};
use crate::error::BoxError;
use crate::outcome::Outcome;
use crate::ratio::Ratio;
#[cfg(feature = "http")]
use crate::replay::Http;
use crate::replay::Plain;
use crate::trip::EjectRule;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;

/// Balances over [`Endpoints`]: one `Clone` service that sends each request where it will do best.
///
/// See the [module](super) for an example and the table of defaults.
///
/// # Sharing
///
/// What is known of endpoints lives in their set: all services that are made over one set, and all
/// clones, share it. The settings about endpoints are the set's too, and the last layer over it decides.
#[derive(Clone, Debug)]
#[must_use]
pub struct BalanceLayer<C, P, A = Everyone> {
    policy: BalancePolicy<C, P, A>,
    config: SetConfig,
    zones: Arc<[Arc<str>]>,
    seed: Option<u64>,
}

/// Up to when the latency of an endpoint is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LatencyUntil {
    /// The head of the answer.
    #[default]
    Head,
    /// The end of the answer's body.
    Total,
}

impl<C, P> BalanceLayer<C, P> {
    fn of(classify: C, kind: P) -> Self {
        let policy = BalancePolicy { classify, kind, allow: Everyone, wait_for: Duration::ZERO };
        Self { policy, config: SetConfig::default(), zones: Arc::default(), seed: None }
    }
}

impl BalanceLayer<ErrorsOnly, Plain> {
    /// For requests and answers that are not HTTP: an attempt ends with its result, and an `Err` is a
    /// failure.
    pub fn plain() -> Self {
        Self::of(ErrorsOnly::new(), Plain)
    }
}

#[cfg(feature = "http")]
impl BalanceLayer<HttpClassifier, Http> {
    /// For HTTP: an attempt ends with the body of its answer, and is judged by its status.
    pub fn http() -> Self {
        Self::of(HttpClassifier::new(), Http::new())
    }
}

#[cfg(feature = "http")]
impl BalanceLayer<GrpcClassifier, Http> {
    /// For gRPC: an attempt ends with the trailers of its answer, and is judged by its `grpc-status`.
    pub fn grpc() -> Self {
        Self::of(GrpcClassifier::new(), Http::new())
    }
}

impl<C, P, A> BalanceLayer<C, P, A> {
    /// Names the balancer in events. Default: `balance`.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        self.configured(|config| config.name = name.into())
    }

    /// Adds a [rule](crate::trip) by which an endpoint is ejected; the first one takes the place of the
    /// default. Default: three failures in a row. A rule with a share, with a time, or over the last so many calls counts
    /// from the first call on, which costs memory for each endpoint.
    pub fn eject_on(self, rule: impl Into<EjectRule>) -> Self {
        self.configured(|config| config.rules.push(rule.into().rule()))
    }

    /// Sets the pauses before the trials of an ejected endpoint: the first, and longer ones after each
    /// that fails. They begin anew after 20 s without an ejection. Default: 0.5 s, 1 s, six times 1.3 s,
    /// five times 4 s, then 8, 15 and 30 s, each 20 % more or less; a [`Backoff`] whose jitter was not set
    /// gets the same.
    pub fn eject_for(self, times: Backoff) -> Self {
        let times = times.usual_jitter(CircuitConfig::OPEN_JITTER);
        self.configured(|config| config.circuit.open_for = times)
    }

    /// Sets the share of a tier that may be ejected, rounded down, but one where there are two. It holds
    /// only while no later tier serves; the last endpoint of the set is never ejected. Default: half.
    /// With zero none is.
    pub fn max_ejected(self, share: Ratio) -> Self {
        self.configured(|config| config.max_ejected = share)
    }

    /// Sets how long an endpoint cools down at most, whatever its answer asks for. Default: 60 s. With
    /// zero it does not.
    pub fn max_cool_down(self, time: Duration) -> Self {
        self.configured(|config| config.max_cool_down = time)
    }

    /// Sets over which time an endpoint that is new in a tier which has answered already gets its full
    /// share, from a tenth on. Default: 10 s. With zero it does at once.
    pub fn slow_start(self, time: Duration) -> Self {
        self.configured(|config| config.slow_start = time)
    }

    /// Sets the share of endpoints that serve below which, and at which, ejections are ignored, where all
    /// tiers together can't carry the load. Default: half. With zero only where none serves.
    pub fn panic_threshold(self, share: Ratio) -> Self {
        self.configured(|config| config.panic_threshold = share)
    }

    /// Sets how many calls may be in flight to an endpoint that has no limit of its own, up to the ends of
    /// their bodies. One at its limit is passed over. Default: any number.
    pub fn max_in_flight(self, calls: NonZeroU32) -> Self {
        self.configured(|config| config.max_in_flight = calls.get())
    }

    /// Says which zones are near, nearest first; all others are equally far. Within a tier, the nearest
    /// zone that has an available endpoint serves. Default: all are equally near.
    pub fn zones<Z: Into<Arc<str>>>(mut self, zones: impl IntoIterator<Item = Z>) -> Self {
        self.zones = zones.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how long a request waits where no endpoint is available. Default: not at all. While requests wait
    /// for [room](Self::max_in_flight), those that come later and can wait as well give way to them.
    pub fn wait_for(mut self, time: Duration) -> Self {
        self.policy.wait_for = time;
        self
    }

    /// Sets up to when the latency is measured. Default: the head of the answer.
    pub fn latency(self, of: LatencyUntil) -> Self {
        self.configured(|config| config.whole_latency = of == LatencyUntil::Total)
    }

    /// Counts a call that its caller gives up before its answer as failed if it took this long, and else
    /// not at all. Default: 5 times the latency of the endpoint, at least 500 ms and at most 10 s. A call
    /// that is given up at its deadline is a failure, however long it took.
    pub fn hang_after(self, time: Duration) -> Self {
        self.configured(|config| config.hang_after = HangAfter::Fixed(time))
    }

    /// Never counts a call that its caller gives up: for long polls.
    pub fn no_hang_after(self) -> Self {
        self.configured(|config| config.hang_after = HangAfter::Never)
    }

    /// Counts an answer that its reader leaves as failed if its body was silent for this long, while it
    /// was read. Default: never.
    pub fn body_hang_after(self, time: Duration) -> Self {
        self.configured(|config| config.body_hang_after = Some(time))
    }

    /// Makes the choices reproducible, where they are made on one thread. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Lets only those endpoints take a request for which this holds, whatever becomes of it: also where
    /// ejections are ignored. Where it forbids most of a large set, it is asked about all of them for a call.
    pub fn allow<Req, F>(self, allow: F) -> BalanceLayer<C, P, Only<F>>
    where
        F: Fn(&Req, &EndpointInfo) -> bool,
    {
        let BalancePolicy { classify, kind, wait_for, .. } = self.policy;
        let policy = BalancePolicy { classify, kind, allow: Only(allow), wait_for };
        BalanceLayer { policy, config: self.config, zones: self.zones, seed: self.seed }
    }

    /// Judges by this classifier. Closures without annotated types go to [`classify_fn`](Self::classify_fn).
    pub fn classify<D>(self, classify: D) -> BalanceLayer<D, P, A> {
        let BalancePolicy { kind, allow, wait_for, .. } = self.policy;
        let policy = BalancePolicy { classify, kind, allow, wait_for };
        BalanceLayer { policy, config: self.config, zones: self.zones, seed: self.seed }
    }

    /// Judges by this closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> BalanceLayer<F, P, A>
    where
        F: Fn(Result<&Res, &BoxError>) -> Outcome,
    {
        self.classify(classify)
    }

    /// Takes requests and answers for this kind, see [`replay`](crate::replay).
    pub fn kind<Q>(self, kind: Q) -> BalanceLayer<C, Q, A> {
        let BalancePolicy { classify, allow, wait_for, .. } = self.policy;
        let policy = BalancePolicy { classify, kind, allow, wait_for };
        BalanceLayer { policy, config: self.config, zones: self.zones, seed: self.seed }
    }

    fn configured(mut self, tell: impl FnOnce(&mut SetConfig)) -> Self {
        tell(&mut self.config);
        self
    }
}

impl<S, C: Clone, P: Clone, A: Clone> Layer<Endpoints<S>> for BalanceLayer<C, P, A> {
    type Service = Balance<S, C, P, A>;

    fn layer(&self, endpoints: Endpoints<S>) -> Self::Service {
        let shared = endpoints.shared;
        shared.tell(self.config.clone(), self.zones.clone());
        if let Some(seed) = self.seed {
            shared.set_state.sow(seed);
        }
        Balance::new(Balancer { shared, policy: Arc::new(self.policy.clone()) })
    }
}
