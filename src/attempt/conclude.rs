//! The way of an attempt from its future to what is recorded and what its caller gets.

use super::context::RequestContext;
use super::end::End;
use super::observer::InFlight;
use super::recorder::Recorder;
use crate::classify::{Classify, assess};
use crate::error::BoxError;
use crate::outcome::Outcome;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Leads to the classifier of an attempt, which may be kept by what the call holds.
pub(crate) trait FindClassifier<T> {
    type Classifier;

    fn find<'a>(&'a self, in_flight: &'a T) -> &'a Self::Classifier;
}

impl<T, C> FindClassifier<T> for &C {
    type Classifier = C;

    #[inline]
    fn find<'a>(&'a self, _: &'a T) -> &'a C {
        self
    }
}

impl<T: InFlight, L: RequestContext> Recorder<T, L> {
    /// Polls the call, and concludes the attempt with its result; pending for ever after that.
    #[inline(always)]
    pub(crate) fn poll<P, F, Res, E, C>(
        &mut self,
        call: Pin<&mut F>,
        cx: &mut Context<'_>,
        classifier: C,
    ) -> Poll<Result<P::Response, BoxError>>
    where
        P: End<Res>,
        F: Future<Output = Result<Res, E>>,
        E: Into<BoxError>,
        C: FindClassifier<T, Classifier: Classify<Res, BoxError>>,
    {
        if !self.enter() {
            return Poll::Pending;
        }
        let Poll::Ready(result) = call.poll(cx) else {
            self.wait();
            return Poll::Pending;
        };
        Poll::Ready(match result {
            Ok(answer) => Ok(self.conclude::<P, _, _>(answer, classifier)),
            Err(error) => {
                let error = error.into();
                self.note(&classifier, Err::<&Res, _>(&error), None);
                Err(error)
            }
        })
    }

    /// Judges an answer, and records it or hands the recorder on to its body.
    #[inline(always)]
    fn conclude<P, Res, C>(&mut self, answer: Res, classifier: C) -> P::Response
    where
        P: End<Res>,
        C: FindClassifier<T, Classifier: Classify<Res, BoxError>>,
    {
        let Some(in_flight) = self.in_flight() else { return P::ended(answer) };
        let outcome = classifier.find(in_flight).classify(Ok(&answer));
        if outcome != Outcome::Success {
            self.note(&classifier, Ok(&answer), Some(outcome));
            return P::ended(answer);
        }
        if !P::LATER {
            self.succeed();
            return P::ended(answer);
        }
        let at_end = classifier.find(in_flight).at_end(&answer);
        match self.answered(at_end) {
            Some(recorder) => P::goes_on(answer, recorder),
            None => P::ended(answer),
        }
    }

    /// Records a result that is no success, or not known to be one.
    #[cold]
    fn note<Res, C>(
        &mut self,
        classifier: &C,
        result: Result<&Res, &BoxError>,
        outcome: Option<Outcome>,
    ) where
        C: FindClassifier<T, Classifier: Classify<Res, BoxError>>,
    {
        if let Some(in_flight) = self.in_flight() {
            let (outcome, evidence) = assess(classifier.find(in_flight), result, outcome);
            self.settle(outcome, evidence);
        }
    }
}
