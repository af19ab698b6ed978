//! From the result of an attempt to what is recorded and what its caller gets.

use super::context::RequestContext;
use super::end::End;
use super::observer::InFlight;
use super::recorder::Recorder;
use crate::classify::{Classify, assess};
use crate::error::BoxError;
use crate::outcome::Outcome;

impl<T: InFlight, L: RequestContext> Recorder<T, L> {
    /// Judges a result, and records it or hands the recorder on to the body of the answer.
    #[inline(always)]
    pub(crate) fn conclude<Res, E, C, P>(
        &mut self,
        classify: &C,
        result: Result<Res, E>,
    ) -> Result<P::Response, BoxError>
    where
        E: Into<BoxError>,
        C: Classify<Res, BoxError>,
        P: End<Res>,
    {
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                let error = error.into();
                self.note(classify, Err::<&Res, _>(&error), None);
                return Err(error);
            }
        };
        match classify.classify(Ok(&answer)) {
            Outcome::Success if !P::LATER => {
                self.succeed();
                Ok(P::ended(answer))
            }
            Outcome::Success => {
                let at_end = classify.at_end(&answer);
                Ok(match self.answered(at_end) {
                    Some(recorder) => P::goes_on(answer, recorder),
                    None => P::ended(answer),
                })
            }
            outcome => {
                self.note(classify, Ok(&answer), Some(outcome));
                Ok(P::ended(answer))
            }
        }
    }

    /// Records a result that is no success, or not known to be one.
    #[cold]
    fn note<Res, C: Classify<Res, BoxError>>(
        &mut self,
        classify: &C,
        result: Result<&Res, &BoxError>,
        outcome: Option<Outcome>,
    ) {
        let (outcome, evidence) = assess(classify, result, outcome);
        self.settle(outcome, evidence);
    }
}
