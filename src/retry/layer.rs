//! The layer, which is its own builder.

use super::handle::RetryHandle;
use super::policy::RetryPolicy;
use super::service::Retry;
use crate::backoff::Backoff;
use crate::budget::Budget;
use crate::classify::ErrorsOnly;
#[cfg(feature = "http")]
use crate::classify::{GrpcClassifier, HttpClassifier};
use crate::outcome::Outcome;
use crate::replay::Plain;
#[cfg(feature = "http")]
use crate::replay::{Http, http_kind_setters};
use crate::rng::Seeds;
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;

/// Sends requests again that failed. The [module page](super) has the defaults and their order.
///
/// # Sharing
///
/// All services that one layer value makes share its budget, its counts and its seed.
#[derive(Clone, Debug)]
#[must_use]
pub struct RetryLayer<C, P> {
    policy: RetryPolicy<C, P>,
}

impl RetryLayer<ErrorsOnly, Plain> {
    /// Retries requests of any `Clone` type, each of which is taken for repeatable, after errors.
    pub fn plain() -> Self {
        Self { policy: RetryPolicy::new(ErrorsOnly::new(), Plain) }
    }
}

#[cfg(feature = "http")]
impl RetryLayer<HttpClassifier, Http> {
    /// Retries HTTP requests, judged by status.
    pub fn http() -> Self {
        Self { policy: RetryPolicy::new(HttpClassifier::new(), Http::new()) }
    }
}

#[cfg(feature = "http")]
impl RetryLayer<GrpcClassifier, Http> {
    /// Retries gRPC calls, judged by `grpc-status`. Methods that may be sent twice are named with
    /// [`idempotent`](Self::idempotent).
    pub fn grpc() -> Self {
        Self { policy: RetryPolicy::new(GrpcClassifier::new(), Http::new()) }
    }
}

impl<C, P> RetryLayer<C, P> {
    /// Sets how many attempts a request gets beside the first. Default: 2, which makes three attempts.
    /// Zero makes no retry.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.policy.max_retries = retries;
        self
    }

    /// Sets the account that retries are paid from, so that it can be shared with other layers.
    /// Default: one of this layer's own, `Budget::new()`.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.policy.budget = Some(budget);
        self
    }

    /// Retries without a bound on what they add up to. In an outage that is a multiple of the load.
    pub fn no_budget(mut self) -> Self {
        self.policy.budget = None;
        self
    }

    /// Sets the delays between attempts. Default: `Backoff::default()`.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.policy.backoff = backoff;
        self
    }

    /// Makes the delays reproducible: the n-th request that fails has the same delays in every run.
    /// Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.policy.seeds = Arc::new(Seeds::seeded(seed));
        self
    }

    /// Sets how long after the call a further attempt may still start; it counts from when the call
    /// first has to wait. Where the request has a `grpc-timeout` or a [`Deadline`](crate::Deadline) too,
    /// the earliest counts. It does not cut an attempt in flight: a timeout layer does. Default: none.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.policy.deadline = Some(time);
        self
    }

    /// Sets the time that must be left after the delay, or no attempt starts. Default: 10 ms. Zero lets
    /// one start at the deadline.
    pub fn min_attempt(mut self, time: Duration) -> Self {
        self.policy.min_attempt = time;
        self
    }

    /// Sets the longest delay that an answer may ask for; over it the request is given up at once.
    /// Default: 60 s. With zero no such delay is waited for.
    pub fn max_hint(mut self, time: Duration) -> Self {
        self.policy.max_hint = time;
        self
    }

    /// Waits the backoff also where another endpoint is available. Default: a retry that can go to an
    /// endpoint which was not tried goes there at once.
    pub fn delay_elsewhere(mut self) -> Self {
        self.policy.elsewhere_at_once = false;
        self
    }

    /// Judges by this classifier. Closures without annotated types go to [`classify_fn`](Self::classify_fn).
    pub fn classify<D>(self, classify: D) -> RetryLayer<D, P> {
        RetryLayer { policy: self.policy.map(|_| classify, |kind| kind) }
    }

    /// Judges by this closure.
    pub fn classify_fn<Res, E, F>(self, classify: F) -> RetryLayer<F, P>
    where
        F: Fn(Result<&Res, &E>) -> Outcome,
    {
        self.classify(classify)
    }

    /// Copies requests in this way, see [`replay`](crate::replay).
    pub fn kind<Q>(self, kind: Q) -> RetryLayer<C, Q> {
        self.map_kind(|_| kind)
    }

    /// Returns the layer with a handle to watch its services. Setters keep the handle: it counts for all
    /// services of the layer and of its clones.
    pub fn with_handle(self) -> (Self, RetryHandle) {
        let handle = RetryHandle(self.policy.counts.clone());
        (self, handle)
    }

    fn map_kind<Q>(self, map: impl FnOnce(P) -> Q) -> RetryLayer<C, Q> {
        RetryLayer { policy: self.policy.map(|classify| classify, map) }
    }
}

#[cfg(feature = "http")]
http_kind_setters!(RetryLayer<C>);

impl<S, C: Clone, P: Clone> Layer<S> for RetryLayer<C, P> {
    type Service = Retry<S, C, P>;

    fn layer(&self, inner: S) -> Retry<S, C, P> {
        Retry::new(inner, Arc::new(self.policy.clone()))
    }
}
