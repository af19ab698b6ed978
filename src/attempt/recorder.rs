//! The recorder of one attempt, before and after the head of its answer.

use super::answer::AnswerRecorder;
use super::context::RequestContext;
use super::deadline::TimeLimit;
use super::loser::is_lost;
use super::observer::{AttemptObserver, Ending, InFlight};
use crate::circuit::Admission;
use crate::classify::{AtEnd, Evidence};
use crate::clock::{self, Instant};
use crate::outcome::Outcome;
use std::time::Duration;

/// Where an attempt is.
// of the size of a word's half, so that the recorder is moved in few pieces
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u32)]
enum Phase {
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
pub(crate) struct Recorder<T: InFlight, L: RequestContext> {
    /// Taken when the attempt is settled.
    in_flight: Option<T>,
    admission: Admission,
    started: Option<Instant>,
    /// Knows the deadline of the request.
    context: L,
    phase: Phase,
}

impl<T: InFlight, L: RequestContext> Recorder<T, L> {
    /// Made when the service was called.
    #[inline]
    pub(crate) fn new(
        in_flight: T,
        admission: Admission,
        started: Option<Instant>,
        context: L,
    ) -> Self {
        Self { in_flight: Some(in_flight), admission, started, context, phase: Phase::Unpolled }
    }

    /// Of an attempt that has nowhere to go yet.
    pub(crate) fn vacant(context: L) -> Self {
        let (in_flight, admission) = (None, Admission::UNWATCHED);
        Self { in_flight, admission, started: None, context, phase: Phase::Unpolled }
    }

    /// The attempt goes there, in the place of where it went before.
    pub(crate) fn go_to(&mut self, in_flight: T, admission: Admission, started: Instant) {
        (self.in_flight, self.admission) = (Some(in_flight), admission);
        (self.started, self.phase) = (Some(started), Phase::Unpolled);
    }

    /// The attempt does not go where it went, and nothing is recorded.
    pub(crate) fn take(&mut self) -> Option<(T, Admission)> {
        Some((self.in_flight.take()?, self.admission))
    }

    pub(crate) fn context(&self) -> &L {
        &self.context
    }

    /// What the attempt is recorded in; none if it is settled.
    #[inline]
    pub(crate) fn in_flight(&self) -> Option<&T> {
        self.in_flight.as_ref()
    }

    /// The service is about to work; tells whether the attempt is not settled yet.
    #[inline]
    pub(crate) fn enter(&mut self) -> bool {
        self.phase = Phase::Inside;
        self.in_flight.is_some()
    }

    /// The service was asked whether it is ready, and is not: the attempt has not begun.
    pub(crate) fn leave(&mut self) {
        self.phase = Phase::Unpolled;
    }

    /// The service has returned without an answer: from now on it matters how long it takes.
    #[inline]
    pub(crate) fn wait(&mut self) {
        self.phase = Phase::Waits;
        if self.started.is_none() {
            self.started = Some(clock::now());
        }
    }

    /// The attempt has ended well.
    #[inline(always)]
    pub(crate) fn succeed(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.observer().succeeded(&self.admission, &self.started);
        }
    }

    /// The attempt has ended with a result that was judged like this.
    #[cold]
    pub(crate) fn settle(&mut self, outcome: Outcome, evidence: Evidence) {
        if let Some(in_flight) = self.in_flight.take() {
            let started = self.started;
            let ending = Ending { started, ..Ending::at_once(outcome, evidence) };
            in_flight.observer().settle(self.admission, &ending);
        }
    }

    /// The head of a good answer has come: the attempt goes on in its body.
    pub(crate) fn answered(&mut self, at_end: Option<AtEnd>) -> Option<AnswerRecorder> {
        let in_flight = self.in_flight.take()?;
        let head = clock::now();
        let (admission, started) = (self.admission, self.started);
        in_flight.observer().answered(admission, started, head);
        Some(AnswerRecorder::new(in_flight.to_shared(), admission, started, head, at_end))
    }

    /// Its caller leaves, or the service has panicked.
    #[cold]
    #[inline(never)]
    fn abandon(
        in_flight: T,
        admission: Admission,
        started: Option<Instant>,
        limit: TimeLimit,
        phase: Phase,
    ) {
        let hangs = || {
            let started = started?;
            let after = in_flight.observer().hang_after()?;
            let now = clock::now();
            let deadline = limit.of_arrival(|| started);
            let late = deadline.is_some_and(|deadline| deadline.remaining_at(now) < EARLY);
            let age = now.saturating_duration_since(started);
            (late || age.saturating_add(EARLY) > after).then_some(())
        };
        let lost = is_lost();
        let failed = match phase {
            Phase::Inside => true,
            Phase::Unpolled => false,
            Phase::Waits => !lost && hangs().is_some(),
        };
        let outcome = if failed { Outcome::Failure } else { Outcome::Neutral };
        let ending = Ending {
            dropped: true,
            lost,
            unpolled: phase == Phase::Unpolled,
            started,
            ..Ending::at_once(outcome, Evidence::default())
        };
        in_flight.observer().settle(admission, &ending);
    }
}

impl<T: InFlight, L: RequestContext> Drop for Recorder<T, L> {
    #[inline(always)]
    fn drop(&mut self) {
        // looked at first, so that a good call writes nothing; and by value, so that nothing is left to drop
        if self.in_flight.is_some() {
            if let Some(in_flight) = self.in_flight.take() {
                let limit = self.context.time();
                Self::abandon(in_flight, self.admission, self.started, limit, self.phase);
            }
        }
    }
}
