//! The layer, which is its own builder.

#[cfg(feature = "http")]
use super::answer::Unavailable;
use super::answer::{Backup, KeepBy, KeepNothing, Respond, Undecided, Value};
use super::handle::FallbackHandle;
use super::policy::{Failed, FallbackPolicy};
use super::service::Fallback;
use crate::budget::Budget;
use crate::classify::ErrorsOnly;
#[cfg(feature = "http")]
use crate::classify::{GrpcClassifier, HttpClassifier};
use crate::error::BoxError;
use crate::outcome::Outcome;
use crate::replay::Plain;
#[cfg(feature = "http")]
use crate::replay::{Http, http_kind_setters};
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;

/// Replaces results that failed. The [module page](super) shows what by.
///
/// # Sharing
///
/// All services that one layer value makes share its counts and its budget, if it has one.
#[derive(Clone, Debug)]
#[must_use]
pub struct FallbackLayer<A, C, P> {
    policy: FallbackPolicy<A, C, P>,
}

impl FallbackLayer<Undecided, ErrorsOnly, Plain> {
    /// Replaces errors of services with requests of any type.
    pub fn plain() -> Self {
        Self { policy: FallbackPolicy::new(Undecided, ErrorsOnly::new(), Plain) }
    }
}

#[cfg(feature = "http")]
impl FallbackLayer<Undecided, HttpClassifier, Http> {
    /// Replaces HTTP answers, judged by status, and errors.
    pub fn http() -> Self {
        Self { policy: FallbackPolicy::new(Undecided, HttpClassifier::new(), Http::new()) }
    }
}

#[cfg(feature = "http")]
impl FallbackLayer<Undecided, GrpcClassifier, Http> {
    /// Replaces gRPC answers, judged by `grpc-status`, and errors.
    pub fn grpc() -> Self {
        Self { policy: FallbackPolicy::new(Undecided, GrpcClassifier::new(), Http::new()) }
    }
}

impl<C, P> FallbackLayer<Undecided, C, P> {
    /// Replaces the chosen outcomes with what this closure makes. Errors that are not among them are
    /// returned as they are.
    pub fn value<Res, Alt, F>(self, make: F) -> FallbackLayer<Value<F>, C, P>
    where
        F: Fn(Failed<Res>) -> Alt,
    {
        self.alternative(Value { make, keep: KeepNothing })
    }

    /// Does the same with something kept of the request, which the second closure finds in
    /// [`Failed::kept`].
    pub fn value_keeping<Req, Res, Kept, Alt, K, F>(
        self,
        keep: K,
        make: F,
    ) -> FallbackLayer<Value<F, KeepBy<K>>, C, P>
    where
        K: Fn(&Req) -> Kept,
        F: Fn(Failed<Res, Kept>) -> Alt,
    {
        self.alternative(Value { make, keep: KeepBy(keep) })
    }

    /// Replaces the chosen outcomes and answers every error, chosen or not, with what this closure
    /// makes. The error type becomes [`Infallible`](std::convert::Infallible), which is what axum's
    /// `Router::layer` needs.
    pub fn respond<Res, Alt, F>(self, make: F) -> FallbackLayer<Respond<F>, C, P>
    where
        F: Fn(Failed<Res>) -> Alt,
    {
        self.alternative(Respond { make, keep: KeepNothing })
    }

    /// Does the same with something kept of the request, which the second closure finds in
    /// [`Failed::kept`].
    pub fn respond_keeping<Req, Res, Kept, Alt, K, F>(
        self,
        keep: K,
        make: F,
    ) -> FallbackLayer<Respond<F, KeepBy<K>>, C, P>
    where
        K: Fn(&Req) -> Kept,
        F: Fn(Failed<Res, Kept>) -> Alt,
    {
        self.alternative(Respond { make, keep: KeepBy(keep) })
    }

    /// Sends the request to this service after the chosen outcomes, if it may be
    /// [repeated](crate::replay::Http#what-may-be-repeated). The service is cloned and polled ready
    /// when it is needed. It is sent the request as it is, credentials included: a backup on another
    /// host wants a `map_request` that takes them out.
    pub fn service<T: Clone>(self, backup: T) -> FallbackLayer<Backup<T>, C, P> {
        self.alternative(Backup::new(backup))
    }

    fn alternative<A>(self, alternative: A) -> FallbackLayer<A, C, P> {
        FallbackLayer { policy: self.policy.map(|_| alternative, |classify| classify, |kind| kind) }
    }
}

#[cfg(feature = "http")]
impl<P> FallbackLayer<Undecided, GrpcClassifier, P> {
    /// Answers every error with the gRPC status UNAVAILABLE, in the headers; answers of the service
    /// pass, also those that failed. tonic turns an error that it does not know into UNKNOWN, which
    /// tells the caller that the call may have been made.
    pub fn unavailable(self) -> FallbackLayer<Unavailable, GrpcClassifier, P> {
        self.only_errors().alternative(Unavailable)
    }
}

impl<A, C, P> FallbackLayer<A, C, P> {
    /// Names the layer in events and in [`Degraded`](super::Degraded). Default: `fallback`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.policy.name = name.into();
        self
    }

    /// Replaces results of these outcomes, of which `Success` never is one. Default: those that
    /// [failed](Outcome::is_failed).
    pub fn on(mut self, chosen: impl Fn(Outcome) -> bool + Send + Sync + 'static) -> Self {
        self.policy.chosen = Some(Arc::new(chosen));
        self
    }

    /// Replaces errors only; answers pass, whatever their outcome is. Default: both are replaced.
    pub fn only_errors(mut self) -> Self {
        self.policy.only_errors = true;
        self
    }

    /// Judges by this classifier. Closures without annotated types go to [`classify_fn`](Self::classify_fn).
    pub fn classify<D>(self, classify: D) -> FallbackLayer<A, D, P> {
        FallbackLayer { policy: self.policy.map(|same| same, |_| classify, |kind| kind) }
    }

    /// Judges by this closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> FallbackLayer<A, F, P>
    where
        F: Fn(Result<&Res, &BoxError>) -> Outcome,
    {
        self.classify(classify)
    }

    /// Copies requests in this way, see [`replay`](crate::replay).
    pub fn kind<Q>(self, kind: Q) -> FallbackLayer<A, C, Q> {
        self.map_kind(|_| kind)
    }

    /// Returns the layer with a handle to watch its services. Setters keep the handle: it counts for all
    /// services of the layer and of its clones.
    pub fn with_handle(self) -> (Self, FallbackHandle) {
        let handle = FallbackHandle(self.policy.counts.clone());
        (self, handle)
    }

    fn map_kind<Q>(self, map: impl FnOnce(P) -> Q) -> FallbackLayer<A, C, Q> {
        FallbackLayer { policy: self.policy.map(|same| same, |classify| classify, map) }
    }
}

impl<T, C, P> FallbackLayer<Backup<T>, C, P> {
    /// Sets how long the backup may take, from its readiness to its answer: it stands outside of the
    /// timeout layers around the first service. Default: 2 s. With zero only a backup that answers at
    /// once counts.
    pub fn within(mut self, time: Duration) -> Self {
        self.policy.within = time;
        self
    }

    /// Pays for calls of the backup from this account. Default: they are free, since the backup is
    /// not the service that is in trouble.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.policy.budget = Some(budget);
        self
    }

    /// Returns the first service's own result when the backup fails with an error. Default: a
    /// [`FallbackFailed`](super::FallbackFailed) with the backup's error.
    pub fn first_result(mut self) -> Self {
        self.policy.first_result = true;
        self
    }
}

#[cfg(feature = "http")]
http_kind_setters!(FallbackLayer<A, C>);

impl<S, A: Clone, C: Clone, P: Clone> Layer<S> for FallbackLayer<A, C, P> {
    type Service = Fallback<S, A, C, P>;

    fn layer(&self, inner: S) -> Fallback<S, A, C, P> {
        Fallback::new(inner, Arc::new(self.policy.clone()))
    }
}
