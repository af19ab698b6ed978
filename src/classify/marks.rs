//! What layers inside found out about an answer after its head.

use crate::outcome::Outcome;
use http::HeaderMap;

/// The judgement on an answer by a layer inside that has read into its body, as a typed extension of the
/// answer.
///
/// The layer `first_frame` leaves it where the first record of an answer was rejected: the
/// answer goes on whole, so that it can be delivered if there is no better one. [`HttpClassifier`] and
/// [`GrpcClassifier`] go by it before anything in the head; a classifier of your own can read it too:
///
/// ```
/// use http::Response;
/// use tower_failover::classify::{Classify, HttpClassifier, OutcomeMark};
/// use tower_failover::{BoxError, Outcome};
///
/// let own = |result: Result<&Response<()>, &BoxError>| match result {
///     Ok(answer) => match answer.extensions().get::<OutcomeMark>() {
///         Some(judged) => judged.outcome(),
///         None => Outcome::Success,
///     },
///     Err(_) => Outcome::Failure,
/// };
/// let mut answer = Response::new(());
/// answer.extensions_mut().insert(OutcomeMark::new(Outcome::Unsuitable));
/// assert_eq!(own.classify(Ok(&answer)), Outcome::Unsuitable);
/// let built_in = HttpClassifier::new().classify(Ok::<_, &BoxError>(&answer));
/// assert_eq!(built_in, Outcome::Unsuitable);
/// ```
///
/// [`HttpClassifier`]: super::HttpClassifier
/// [`GrpcClassifier`]: super::GrpcClassifier
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutcomeMark(Outcome);

impl OutcomeMark {
    /// Marks an answer as judged so.
    #[must_use]
    pub const fn new(outcome: Outcome) -> Self {
        Self(outcome)
    }

    /// Returns the judgement.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        self.0
    }

    pub(super) fn of<B>(answer: &http::Response<B>) -> Option<Outcome> {
        answer.extensions().get::<Self>().map(|judged| judged.0)
    }
}

/// The trailers of an answer that ended before its first message, as a typed extension of the answer;
/// empty where it ended without any.
///
/// The layer `first_frame` leaves it, and [`GrpcClassifier`](super::GrpcClassifier) reads it as
/// it reads the head of an answer that is all in its head. The body still ends with the same trailers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EarlyTrailers(HeaderMap);

impl EarlyTrailers {
    /// Takes a copy of the trailers.
    #[must_use]
    pub const fn new(trailers: HeaderMap) -> Self {
        Self(trailers)
    }

    /// Returns the trailers.
    #[must_use]
    pub const fn trailers(&self) -> &HeaderMap {
        &self.0
    }

    pub(super) fn of<B>(answer: &http::Response<B>) -> Option<&HeaderMap> {
        answer.extensions().get::<Self>().map(|early| &early.0)
    }
}
