//! What a classifier is.

use super::end::AtEnd;
use super::evidence::Evidence;
use crate::outcome::Outcome;
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

    /// Says how the end of this answer is judged, whose head is a `Success`. It is asked by layers that
    /// follow an answer to its end, once for each. Default: `None`, so that an answer which comes to its
    /// end is what its head was, and only one that breaks off is a `Failure`.
    fn at_end(&self, answer: &Res) -> Option<AtEnd> {
        let _ = answer;
        None
    }
}

/// Judges a result, or tells the evidence for the outcome that was found for it.
pub(crate) fn assess<Res, E>(
    classify: &impl Classify<Res, E>,
    result: Result<&Res, &E>,
    outcome: Option<Outcome>,
) -> (Outcome, Evidence) {
    let outcome = outcome.unwrap_or_else(|| classify.classify(result));
    let failed = outcome.is_failed();
    (outcome, if failed { classify.evidence(result) } else { Evidence::default() })
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

    fn at_end(&self, answer: &Res) -> Option<AtEnd> {
        (**self).at_end(answer)
    }
}
