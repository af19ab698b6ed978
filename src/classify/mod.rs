//! From a `Result` to an [`Outcome`]: one judgement, which every layer shares.
//!
//! * [`ErrorsOnly`] looks at errors alone, for services that are not HTTP.
//! * [`HttpClassifier`] reads the status of an HTTP answer.
//! * [`GrpcClassifier`] reads the `grpc-status` of a gRPC answer.
//! * A closure `Fn(Result<&Response, &Error>) -> Outcome` is a classifier too.
//!
//! # Errors
//!
//! The built-in classifiers know a refusal made on our own side by its [`Refusal`](crate::Refusal)
//! mark, and the HTTP ones a refused connection and a refused HTTP/2 stream. They look for them in
//! the sources of an error, which they see in a [`BoxError`](crate::BoxError). The error of a concrete
//! client type hides its sources from generic code, so a layer directly over such a client (retry
//! keeps the error type of what it wraps) has to be told about it once:
//!
//! ```
//! # #[cfg(feature = "http")] {
//! use tower_failover::classify::HttpClassifier;
//! # type ClientError = std::io::Error;
//!
//! let classifier = HttpClassifier::new().reads::<ClientError>();
//! # }
//! ```

mod error;
#[cfg(feature = "http")]
mod grpc;
#[cfg(feature = "http")]
mod http;

#[cfg(feature = "http")]
pub use self::{
    grpc::{GrpcClassifier, GrpcCode},
    http::HttpClassifier,
};

use self::error::ErrorRules;
use crate::hint::Hint;
use crate::outcome::Outcome;
use std::error::Error;
use std::sync::Arc;

/// Judges the result of one attempt.
///
/// Closures implement it: `|result: Result<&Response, &Error>| if result.is_ok() { .. } else { .. }`.
/// An `Arc` of a classifier is one.
pub trait Classify<Res, E> {
    /// Says what became of the attempt.
    fn classify(&self, result: Result<&Res, &E>) -> Outcome;

    /// Says what else the result tells. It is asked for after the outcome, and only where that is
    /// neither `Success` nor `Neutral`. Default: nothing.
    fn evidence(&self, result: Result<&Res, &E>) -> Evidence {
        let _ = result;
        Evidence::default()
    }
}

/// What a result tells beside its [`Outcome`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// The delay that the answer asks for. Where it is `None`, the `retry_after` of
    /// [`Outcome::Throttled`] counts.
    pub hint: Option<Hint>,
    /// The other side certainly did none of the work, so that even a request which is not
    /// idempotent may be sent again: a status of 429.
    pub untouched: bool,
    /// The refusal was made on our own side of the wire.
    pub local: bool,
}

impl Evidence {
    /// The delay that was asked for, wherever it stands.
    pub(crate) fn hint(&self, outcome: Outcome) -> Option<Hint> {
        match outcome {
            Outcome::Throttled { retry_after } => self.hint.or(retry_after.map(Hint::AtLeast)),
            _ => self.hint,
        }
    }
}

impl<F, Res, E> Classify<Res, E> for F
where
    F: Fn(Result<&Res, &E>) -> Outcome,
{
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        self(result)
    }
}

impl<C, Res, E> Classify<Res, E> for Arc<C>
where
    C: Classify<Res, E> + ?Sized,
{
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        (**self).classify(result)
    }

    fn evidence(&self, result: Result<&Res, &E>) -> Evidence {
        (**self).evidence(result)
    }
}

/// Judges by the kind of the result alone: an `Ok` is a `Success`, an `Err` a `Failure`, and an error
/// that carries a [`Refusal`](crate::Refusal), or is tower's `Overloaded`, is `Refused`.
///
/// ```
/// use tower_failover::classify::{Classify, ErrorsOnly};
/// use tower_failover::{BoxError, Outcome, Refusal};
///
/// let judge = |result: Result<(), BoxError>| ErrorsOnly::new().classify(result.as_ref());
/// assert_eq!(judge(Ok(())), Outcome::Success);
/// assert_eq!(judge(Err("broken".into())), Outcome::Failure);
/// assert_eq!(judge(Err(Refusal::new().into())), Outcome::Refused);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ErrorsOnly {
    errors: ErrorRules,
}

impl ErrorsOnly {
    /// Makes the classifier.
    #[must_use]
    pub const fn new() -> Self {
        Self { errors: ErrorRules::new() }
    }

    /// Reads the sources of errors of this type as well, see the [module page](self).
    #[must_use]
    pub fn reads<E: Error + 'static>(mut self) -> Self {
        self.errors.reads::<E>();
        self
    }
}

impl<Res, E: 'static> Classify<Res, E> for ErrorsOnly {
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(error) => match self.errors.refusal(error) {
                Some(_) => Outcome::Refused,
                None => Outcome::Failure,
            },
        }
    }

    fn evidence(&self, result: Result<&Res, &E>) -> Evidence {
        result.err().map(|error| self.errors.evidence(error)).unwrap_or_default()
    }
}
