//! The recorder of one attempt, before and after the head of its answer.

use super::lost::is_lost;
use crate::attempts::Luggage;
use crate::circuit::Admission;
use crate::classify::{AtEnd, Evidence};
use crate::clock::{self, Instant};
use crate::deadline::TimeLimit;
use crate::outcome::Outcome;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What attempts are recorded in: a circuit, the health of an endpoint.
pub(crate) trait Ledger: Send + Sync {
    /// The head of a good answer has come, and its body goes on.
    fn answered(&self, admission: Admission, started: Option<Instant>, head: Instant);

    /// An attempt has ended well with its result; `started` is when it began, if that was noted.
    fn succeeded(&self, admission: &Admission, started: &Option<Instant>);

    /// An attempt has ended otherwise, or later than its head. One of both is told once for each.
    fn settle(&self, admission: Admission, ending: &Ending);

    /// After which time a call that its caller gave up counts as failed.
    fn hang_after(&self) -> Option<Duration>;

    /// After which silence a body that its reader left counts as failed.
    fn body_hang_after(&self) -> Option<Duration>;
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) evidence: Evidence,
    /// Its caller left before there was an answer.
    pub(crate) dropped: bool,
    /// Another attempt was faster.
    pub(crate) lost: bool,
    /// It was not polled by then.
    pub(crate) unpolled: bool,
    /// When it began, if that was noted.
    pub(crate) started: Option<Instant>,
    /// When the head of its answer came, if it went on after that.
    pub(crate) head: Option<Instant>,
}

impl Ending {
    /// Of an attempt that took no time.
    pub(crate) fn at_once(outcome: Outcome, evidence: Evidence) -> Self {
        let (dropped, lost, unpolled) = (false, false, false);
        Self { outcome, evidence, dropped, lost, unpolled, started: None, head: None }
    }
}

/// Leads to a ledger, and keeps it.
pub(crate) trait Target {
    type Ledger: Ledger + 'static;

    fn ledger(&self) -> &Self::Ledger;

    /// The same, apart from this.
    fn share(&self) -> Arc<dyn Ledger>;
}

/// Where an attempt is.
// of the size of a word's half, so that the recorder is moved in few pieces
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u32)]
enum Place {
    /// The service is at work in this very moment, or has panicked.
    Inside,
    /// Its future was not polled yet: that it takes long is its caller's doing.
    Unpolled,
    /// The service has said that it is not done.
    Waits,
}

/// A timeout outside may have begun this long before the call had to wait, and ends it as long before its
/// time is up: the length of a step of tokio's timers.
const EARLY: Duration = Duration::from_millis(1);

/// Records one attempt up to its answer, also when it is dropped.
#[derive(Debug)]
pub(crate) struct Recorder<T: Target, L: Luggage> {
    /// Taken when the attempt is settled.
    target: Option<T>,
    admission: Admission,
    started: Option<Instant>,
    /// Knows the deadline of the request.
    luggage: L,
    place: Place,
}

impl<T: Target, L: Luggage> Recorder<T, L> {
    /// Made when the service was called.
    #[inline]
    pub(crate) fn new(
        target: T,
        admission: Admission,
        started: Option<Instant>,
        luggage: L,
    ) -> Self {
        Self { target: Some(target), admission, started, luggage, place: Place::Unpolled }
    }

    /// Of an attempt that has nowhere to go yet.
    pub(crate) fn vacant(luggage: L) -> Self {
        let (target, admission) = (None, Admission::UNWATCHED);
        Self { target, admission, started: None, luggage, place: Place::Unpolled }
    }

    /// The attempt goes there, in the place of where it went before.
    pub(crate) fn take_seat(&mut self, target: T, admission: Admission, started: Instant) {
        (self.target, self.admission) = (Some(target), admission);
        (self.started, self.place) = (Some(started), Place::Unpolled);
    }

    /// The attempt does not go there, and nothing is recorded.
    pub(crate) fn leave_seat(&mut self) -> Option<(T, Admission)> {
        Some((self.target.take()?, self.admission))
    }

    pub(crate) fn luggage(&self) -> &L {
        &self.luggage
    }

    /// What the attempt is recorded in; none if it is settled.
    #[inline]
    pub(crate) fn target(&self) -> Option<&T> {
        self.target.as_ref()
    }

    /// The service is about to work; returns what the attempt is recorded in, unless it is settled.
    #[inline]
    pub(crate) fn enter(&mut self) -> Option<&T> {
        self.place = Place::Inside;
        self.target.as_ref()
    }

    /// The service has returned without an answer: from now on it matters how long it takes.
    #[inline]
    pub(crate) fn wait(&mut self) {
        self.place = Place::Waits;
        if self.started.is_none() {
            self.started = Some(clock::now());
        }
    }

    /// The attempt has ended well.
    #[inline(always)]
    pub(crate) fn succeed(&mut self) {
        if let Some(target) = self.target.take() {
            target.ledger().succeeded(&self.admission, &self.started);
        }
    }

    /// The attempt has ended with a result that was judged like this.
    #[cold]
    pub(crate) fn settle(&mut self, outcome: Outcome, evidence: Evidence) {
        if let Some(target) = self.target.take() {
            let started = self.started;
            let ending = Ending { started, ..Ending::at_once(outcome, evidence) };
            target.ledger().settle(self.admission, &ending);
        }
    }

    /// The head of a good answer has come: the attempt goes on in its body.
    pub(crate) fn answered(&mut self, at_end: Option<AtEnd>) -> Option<AnswerRecorder> {
        let target = self.target.take()?;
        let head = clock::now();
        let (admission, started) = (self.admission, self.started);
        target.ledger().answered(admission, started, head);
        let (ledger, silent_since) = (Some(target.share()), None);
        Some(AnswerRecorder {
            ledger,
            admission,
            started,
            head,
            at_end,
            silent_since,
            inside: false,
        })
    }

    /// Its caller leaves, or the service has panicked.
    #[cold]
    #[inline(never)]
    fn abandon(
        target: T,
        admission: Admission,
        started: Option<Instant>,
        limit: TimeLimit,
        place: Place,
    ) {
        let hangs = || {
            let started = started?;
            let after = target.ledger().hang_after()?;
            let now = clock::now();
            let deadline = limit.of_arrival(|| started);
            let late = deadline.is_some_and(|deadline| deadline.remaining_at(now) < EARLY);
            let age = now.saturating_duration_since(started);
            (late || age.saturating_add(EARLY) > after).then_some(())
        };
        let lost = is_lost();
        let failed = match place {
            Place::Inside => true,
            Place::Unpolled => false,
            Place::Waits => !lost && hangs().is_some(),
        };
        let outcome = if failed { Outcome::Failure } else { Outcome::Neutral };
        let ending = Ending {
            dropped: true,
            lost,
            unpolled: place == Place::Unpolled,
            started,
            ..Ending::at_once(outcome, Evidence::default())
        };
        target.ledger().settle(admission, &ending);
    }
}

impl<T: Target, L: Luggage> Drop for Recorder<T, L> {
    #[inline(always)]
    fn drop(&mut self) {
        // looked at first, so that a good call writes nothing; and by value, so that nothing is left to drop
        if self.target.is_some() {
            if let Some(target) = self.target.take() {
                let limit = self.luggage.time();
                Self::abandon(target, self.admission, self.started, limit, self.place);
            }
        }
    }
}

/// Records the rest of an attempt whose answer has come.
#[doc(hidden)]
pub struct AnswerRecorder {
    /// Taken when the attempt is settled.
    ledger: Option<Arc<dyn Ledger>>,
    admission: Admission,
    started: Option<Instant>,
    head: Instant,
    at_end: Option<AtEnd>,
    /// Since when the reader waits for the body, where that matters.
    silent_since: Option<Instant>,
    /// The body is at work in this very moment, or has panicked.
    inside: bool,
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
        let matters = self.ledger.as_ref().is_some_and(|ledger| ledger.body_hang_after().is_some());
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
                let (outcome, evidence) = rule.judge(trailers);
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
        if let Some(ledger) = self.ledger.take() {
            let (started, head) = (self.started, Some(self.head));
            let ending = Ending { started, head, ..Ending::at_once(outcome, evidence) };
            ledger.settle(self.admission, &ending);
        }
    }

    fn hangs(&self) -> Option<bool> {
        let after = self.ledger.as_ref()?.body_hang_after()?;
        Some(clock::now().saturating_duration_since(self.silent_since?) >= after)
    }
}

impl Drop for AnswerRecorder {
    fn drop(&mut self) {
        if self.ledger.is_some() {
            let failed = self.inside || self.hangs().unwrap_or(false);
            let outcome = if failed { Outcome::Failure } else { Outcome::Neutral };
            self.end(outcome, Evidence::default());
        }
    }
}

impl fmt::Debug for AnswerRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.ledger.is_none();
        f.debug_struct("AnswerRecorder").field("ended", &ended).finish_non_exhaustive()
    }
}
