//! The judgement on results of any kind.

use super::error::ErrorRules;
use super::evidence::Evidence;
use super::traits::Classify;
use crate::outcome::Outcome;
use std::error::Error;

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

    /// Reads the sources of errors of this type as well, see the [module page](super).
    #[must_use]
    pub fn with_error_type<E: Error + 'static>(mut self) -> Self {
        self.errors.with_error_type::<E>();
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
