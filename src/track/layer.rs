//! The layer that records.

use super::service::Track;
use crate::classify::ErrorsOnly;
#[cfg(feature = "http")]
use crate::classify::{GrpcClassifier, HttpClassifier};
use crate::error::BoxError;
use crate::outcome::Outcome;
#[cfg(feature = "http")]
use crate::replay::Http;
use crate::replay::Plain;
use tower_layer::Layer;

/// Records the calls to a service, and makes it tell their cost.
///
/// # Sharing
///
/// Nothing: each service that it makes is recorded for itself.
#[derive(Clone, Debug)]
#[must_use]
pub struct TrackLayer<C, P> {
    classify: C,
    kind: P,
}

impl TrackLayer<ErrorsOnly, Plain> {
    /// For requests and answers that are not HTTP: an `Err` is a failure.
    pub fn plain() -> Self {
        Self { classify: ErrorsOnly::new(), kind: Plain }
    }
}

#[cfg(feature = "http")]
impl TrackLayer<HttpClassifier, Http> {
    /// For HTTP: an attempt ends with the body of its answer, and is judged by its status.
    pub fn http() -> Self {
        Self { classify: HttpClassifier::new(), kind: Http::new() }
    }
}

#[cfg(feature = "http")]
impl TrackLayer<GrpcClassifier, Http> {
    /// For gRPC: an attempt ends with the trailers of its answer, and is judged by its `grpc-status`.
    pub fn grpc() -> Self {
        Self { classify: GrpcClassifier::new(), kind: Http::new() }
    }
}

impl<C, P> TrackLayer<C, P> {
    /// Judges by this classifier. Closures without annotated types go to [`classify_fn`](Self::classify_fn).
    pub fn classify<D>(self, classify: D) -> TrackLayer<D, P> {
        TrackLayer { classify, kind: self.kind }
    }

    /// Judges by this closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> TrackLayer<F, P>
    where
        F: Fn(Result<&Res, &BoxError>) -> Outcome,
    {
        self.classify(classify)
    }

    /// Takes requests and answers for this kind, see [`replay`](crate::replay).
    pub fn kind<Q>(self, kind: Q) -> TrackLayer<C, Q> {
        TrackLayer { classify: self.classify, kind }
    }
}

impl<S, C: Clone, P: Clone> Layer<S> for TrackLayer<C, P> {
    type Service = Track<S, C, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Track::new(inner, self.classify.clone(), self.kind.clone())
    }
}
