//! The recorder of an attempt after the head of its answer.

use super::observer::{AttemptObserver, Ending};
use crate::circuit::Admission;
use crate::classify::{AtEnd, Evidence};
use crate::clock::{self, Instant};
use crate::outcome::Outcome;
use std::fmt;
use std::sync::Arc;

/// Records the rest of an attempt whose answer has come.
#[doc(hidden)]
pub struct AnswerRecorder {
    /// Taken when the attempt is settled.
    observer: Option<Arc<dyn AttemptObserver>>,
    admission: Admission,
    started: Option<Instant>,
    head: Instant,
    at_end: Option<AtEnd>,
    /// Since when the reader waits for the body, where that matters.
    silent_since: Option<Instant>,
    /// The body is at work in this very moment, or has panicked.
    inside: bool,
}

impl AnswerRecorder {
    pub(super) fn new(
        observer: Arc<dyn AttemptObserver>,
        admission: Admission,
        started: Option<Instant>,
        head: Instant,
        at_end: Option<AtEnd>,
    ) -> Self {
        let (observer, silent_since) = (Some(observer), None);
        Self { observer, admission, started, head, at_end, silent_since, inside: false }
    }
}

#[cfg(feature = "http")]
impl AnswerRecorder {
    /// The body is about to be asked for more.
    pub(super) fn enter(&mut self) {
        self.inside = true;
    }

    /// The body has nothing yet.
    pub(super) fn wait(&mut self) {
        self.inside = false;
        let matters =
            self.observer.as_ref().is_some_and(|observer| observer.body_hang_after().is_some());
        if matters && self.silent_since.is_none() {
            self.silent_since = Some(clock::now());
        }
    }

    /// The body goes on.
    pub(super) fn flow(&mut self) {
        self.inside = false;
        self.silent_since = None;
    }

    /// The body has ended well, with these trailers or none.
    pub(super) fn finish(&mut self, trailers: Option<&http::HeaderMap>) {
        match &self.at_end {
            None => self.end(Outcome::Success, Evidence::default()),
            Some(rule) => {
                let (outcome, evidence) = rule.classify(trailers);
                self.end(outcome, evidence);
            }
        }
    }

    pub(super) fn fail(&mut self) {
        self.end(Outcome::Failure, Evidence::default());
    }
}

impl AnswerRecorder {
    fn end(&mut self, outcome: Outcome, evidence: Evidence) {
        if let Some(observer) = self.observer.take() {
            let (started, head) = (self.started, Some(self.head));
            let ending = Ending { started, head, ..Ending::at_once(outcome, evidence) };
            observer.settle(self.admission, &ending);
        }
    }

    fn hangs(&self) -> Option<bool> {
        let after = self.observer.as_ref()?.body_hang_after()?;
        Some(clock::now().saturating_duration_since(self.silent_since?) >= after)
    }
}

impl Drop for AnswerRecorder {
    fn drop(&mut self) {
        if self.observer.is_some() {
            let failed = self.inside || self.hangs().unwrap_or(false);
            let outcome = if failed { Outcome::Failure } else { Outcome::Neutral };
            self.end(outcome, Evidence::default());
        }
    }
}

impl fmt::Debug for AnswerRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.observer.is_none();
        f.debug_struct("AnswerRecorder").field("ended", &ended).finish_non_exhaustive()
    }
}
