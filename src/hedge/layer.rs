//! The layer, which is its own builder.

use super::delay::{Delay, LateWait};
use super::handle::HedgeHandle;
use super::policy::HedgePolicy;
use super::service::Hedge;
use crate::budget::Budget;
use crate::classify::ErrorsOnly;
#[cfg(feature = "http")]
use crate::classify::{GrpcClassifier, HttpClassifier};
use crate::outcome::Outcome;
use crate::replay::Plain;
#[cfg(feature = "http")]
use crate::replay::{Http, http_kind_setters};
use tower_layer::Layer;

/// Sends a second request beside one that takes long, and takes the first good answer. The
/// [module page](super) has the defaults.
///
/// # Sharing
///
/// All services that one layer value makes share its latencies, its budget and its counts.
#[derive(Clone, Debug)]
#[must_use]
pub struct HedgeLayer<C, P> {
    policy: HedgePolicy<C, P, LateWait>,
}

impl HedgeLayer<ErrorsOnly, Plain> {
    /// Hedges requests of any `Clone` type, each of which is taken for repeatable; an `Err` is a failure.
    pub fn plain() -> Self {
        Self { policy: HedgePolicy::new(ErrorsOnly::new(), Plain) }
    }
}

#[cfg(feature = "http")]
impl HedgeLayer<HttpClassifier, Http> {
    /// Hedges HTTP requests, judged by status.
    pub fn http() -> Self {
        Self { policy: HedgePolicy::new(HttpClassifier::new(), Http::new()) }
    }
}

#[cfg(feature = "http")]
impl HedgeLayer<GrpcClassifier, Http> {
    /// Hedges gRPC calls, judged by `grpc-status`. Methods that may be sent twice are named with
    /// [`idempotent`](Self::idempotent); others are never hedged.
    pub fn grpc() -> Self {
        Self { policy: HedgePolicy::new(GrpcClassifier::new(), Http::new()) }
    }
}

impl<C, P> HedgeLayer<C, P> {
    /// Sets after which time a hedge is sent: a `Duration`, or a [`Percentile`](super::Percentile) of what
    /// answers took of late. Default: the 95th percentile. With a duration of zero all attempts are sent
    /// at once, and with `Duration::MAX` none is, unless one fails. The latencies begin anew, for services that are made after that.
    pub fn delay(mut self, delay: impl Into<Delay>) -> Self {
        self.policy.wait = self.policy.wait.with(delay.into());
        self
    }

    /// Sets how many attempts a request gets beside the first, each one delay after the one before.
    /// Default: 1. Zero makes no hedge.
    pub fn max_hedges(mut self, hedges: u32) -> Self {
        self.policy.max_hedges = hedges;
        self
    }

    /// Sets the account that hedges are paid from, so that it can be shared with other layers. Default:
    /// one of this layer's own, 5 % of the requests or 1 a second.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.policy.budget = Some(budget);
        self
    }

    /// Hedges without a bound on what it adds up to. When everything is slow, that doubles the load.
    pub fn no_budget(mut self) -> Self {
        self.policy.budget = None;
        self
    }

    /// Takes an answer that is neither good nor bad (`Neutral`: a 404) for the answer at once. Default: it
    /// is where nothing else runs, and else one delay later, unless a good one comes.
    pub fn neutral_wins(mut self) -> Self {
        self.policy.neutral_wins = true;
        self
    }

    /// Hedges also where a balancer inside has no other endpoint to send it to. Default: it does not.
    pub fn same_endpoint(mut self) -> Self {
        self.policy.same_endpoint = true;
        self
    }

    /// Judges by this classifier. Closures without annotated types go to [`classify_fn`](Self::classify_fn).
    pub fn classify<D>(self, classify: D) -> HedgeLayer<D, P> {
        HedgeLayer { policy: self.policy.map(|_| classify, |kind| kind, |wait| wait) }
    }

    /// Judges by this closure.
    pub fn classify_fn<Res, E, F>(self, classify: F) -> HedgeLayer<F, P>
    where
        F: Fn(Result<&Res, &E>) -> Outcome,
    {
        self.classify(classify)
    }

    /// Copies requests in this way, see [`replay`](crate::replay).
    pub fn kind<Q>(self, kind: Q) -> HedgeLayer<C, Q> {
        self.map_kind(|_| kind)
    }

    /// Returns the layer with a handle to watch its services. Setters keep the handle: it counts for all
    /// services of the layer and of its clones, and shows the delay of the first one that is made.
    pub fn with_handle(self) -> (Self, HedgeHandle) {
        let HedgePolicy { counts, wait, .. } = &self.policy;
        let handle = HedgeHandle { counts: counts.clone(), wait: wait.watched.clone() };
        (self, handle)
    }

    fn map_kind<Q>(self, map: impl FnOnce(P) -> Q) -> HedgeLayer<C, Q> {
        HedgeLayer { policy: self.policy.map(|classify| classify, map, |wait| wait) }
    }
}

#[cfg(feature = "http")]
http_kind_setters!(HedgeLayer<C>);

impl<S, C: Clone, P: Clone> Layer<S> for HedgeLayer<C, P> {
    type Service = Hedge<S, C, P>;

    fn layer(&self, inner: S) -> Hedge<S, C, P> {
        Hedge::new(inner, self.policy.clone().made())
    }
}
