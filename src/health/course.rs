//! How the end of a call changes what is known of its endpoint.

use super::endpoint::{FEW, Health, Place, SUCCESS};
use super::gate::{
    ATTENTION, AWAY, BARRED, COOLS, DOWN, EJECTED, GONE, WATCHED, ramp_word, without_ramp,
};
use super::trouble::{Checked, Trouble};
use crate::circuit::{Admission, Change, CircuitState, Verdict};
use crate::clock::Instant;
use crate::ewma::{Tick, pack, tick};
use crate::hint::Hint;
use crate::outcome::Outcome;
use crate::record::Ending;
use crate::sync::{Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

/// What a bad answer leaves of the health.
const AFTER_FAILURE: f32 = 0.5;
/// What a good answer leaves of what was missing.
const AFTER_SUCCESS: f32 = 0.9;
/// The health after a trial that went well. The ramp is care enough: with half the health, which the others
/// have whole, the endpoint would go on without calls for seconds after it.
const RETURNED: f32 = 0.8;
/// The ramp of an ejected endpoint, for each ejection in a row, and the longest.
const RAMP: Duration = Duration::from_secs(1);
const LONGEST_RAMP: Duration = Duration::from_secs(10);

impl Health {
    /// A call that went well has ended.
    #[inline]
    pub(crate) fn succeeded(
        &self,
        place: Place<'_>,
        admission: Admission,
        started: Option<Instant>,
        now: Instant,
    ) {
        if self.gate.load(Relaxed) & ATTENTION != 0 {
            let head = started.map(|_| now);
            return self.succeeded_after_trouble(place, admission, started, head, now);
        }
        self.flow.fetch_add(SUCCESS - 1, SeqCst);
        if let Some(started) = started {
            let took = now.saturating_duration_since(started);
            self.sample(took, place.roster, place.roster.tick(now));
        }
        place.freed();
    }

    /// The head of a good answer has come.
    pub(crate) fn answered(
        &self,
        place: Place<'_>,
        admission: Admission,
        started: Option<Instant>,
        head: Instant,
    ) {
        if let Some(started) = started.filter(|_| !place.roster.whole_latency()) {
            if self.counts(admission) {
                let took = head.saturating_duration_since(started);
                self.sample_of(place, admission, took, place.roster.tick(head));
                self.publish(place.roster, place.roster.tick(head));
            }
        }
        let Some(trouble) = self.trouble.get() else { return };
        trouble.silence.store(0, SeqCst);
        if admission.is_probe() {
            let change = trouble.circuit.answered(admission, place.roster.at(head));
            self.changed(place, trouble, change, place.roster.at(head));
        }
    }

    /// Takes the time of a call for a sample. That of a trial may be the time up to the return of the
    /// endpoint: it makes it look faster, and never slower.
    pub(super) fn sample_of(
        &self,
        place: Place<'_>,
        admission: Admission,
        took: Duration,
        now: Tick,
    ) {
        if !admission.is_probe() || (took.as_nanos() as f32) < self.nanos() {
            self.sample(took, place.roster, now);
        }
    }

    /// Whether the result of a call still counts: an ejection has not come between.
    pub(super) fn counts(&self, admission: Admission) -> bool {
        admission.is_probe()
            || admission == Admission::UNWATCHED
            || match self.trouble.get() {
                None => true,
                Some(trouble) => trouble.circuit.counts(admission),
            }
    }

    pub(super) fn trouble(&self, place: Place<'_>) -> &Trouble {
        self.trouble
            .get_or_init(|| Box::new(Trouble::new(&place.roster.settings(), place.roster.seed())))
    }

    #[inline(never)]
    fn succeeded_after_trouble(
        &self,
        place: Place<'_>,
        admission: Admission,
        started: Option<Instant>,
        head: Option<Instant>,
        now: Instant,
    ) {
        self.flow.fetch_add(SUCCESS - 1, SeqCst);
        let trouble = self.trouble(place);
        trouble.silence.store(0, SeqCst);
        let (at, ms) = (place.roster.at(now), place.roster.tick(now));
        let since = |end: Instant| Some(end.saturating_duration_since(started?));
        let took = head.and_then(since).zip(since(now));
        if self.counts(admission) {
            let missing = 1.0 - self.ratio(ms);
            self.set_ratio(1.0 - missing * AFTER_SUCCESS, ms);
            if let Some((to_head, in_all)) = took {
                let took = if place.roster.whole_latency() { in_all } else { to_head };
                self.sample_of(place, admission, took, ms);
            }
            self.publish(place.roster, ms);
            if let (Some(rest), Some(started)) = (self.rest(place), started) {
                rest.succeeded(place.roster.tick_of(started));
                if rest.is_forgotten(ms) {
                    self.gate.fetch_and(!COOLS, SeqCst);
                }
            }
        }
        let look = trouble.circuit.succeeded(admission, took, at);
        self.go_on(place, trouble, admission, Verdict::Good, took, None, look, at);
        let calm = self.ratio.load(Relaxed) == 0
            && trouble.checked() == Checked::HEALTHY
            && trouble.lingering(place.roster.typical(), ms) < FEW;
        if calm && !place.roster.settings().watches_successes() {
            self.gate.fetch_and(!WATCHED, SeqCst);
            // a silence may have begun in this moment
            if trouble.silence.load(SeqCst) != 0 {
                self.gate.fetch_or(WATCHED, SeqCst);
            }
        }
        place.freed();
    }

    /// A call has ended otherwise, or later than its head.
    #[cold]
    pub(crate) fn settle(
        &self,
        place: Place<'_>,
        admission: Admission,
        ending: &Ending,
        now: Instant,
    ) {
        if ending.unpolled {
            return self.give_back(place, admission, now);
        }
        let hangs = ending.lost && self.has_outlasted(place, admission, ending, now);
        let ending = if hangs { &Ending { outcome: Outcome::Failure, ..*ending } } else { ending };
        let verdict = verdict(ending);
        if verdict == Verdict::Good {
            if self.gate.load(Relaxed) & ATTENTION == 0 {
                self.flow.fetch_add(SUCCESS - 1, SeqCst);
                // the latency of the head was noted when that came
                if let Some(started) = ending.started.filter(|_| place.roster.whole_latency()) {
                    let took = now.saturating_duration_since(started);
                    self.sample(took, place.roster, place.roster.tick(now));
                }
                return place.freed();
            }
            let head = ending.head.or(Some(now));
            return self.succeeded_after_trouble(place, admission, ending.started, head, now);
        }
        self.end();
        if self.gate.load(SeqCst) & GONE != 0 {
            return place.freed();
        }
        let trouble = self.trouble(place);
        if !ending.dropped {
            trouble.silence.store(0, SeqCst);
        }
        trouble.counts.add(ending.outcome);
        let (at, ms) = (place.roster.at(now), place.roster.tick(now));
        let hint = hint(ending);
        if matches!(ending.outcome, Outcome::Throttled { .. }) && self.counts(admission) {
            self.cool(place, trouble, ending.started, hint, ms);
        }
        let since = |end: Instant| Some(end.saturating_duration_since(ending.started?));
        let took = since(ending.head.unwrap_or(now)).zip(since(now));
        let says_nothing = match ending.outcome {
            Outcome::Throttled { .. } => place.roster.settings().max_cool_down.is_zero(),
            outcome => outcome != Outcome::Failure,
        };
        if verdict == Verdict::Neutral && says_nothing {
            self.linger(place, trouble, since(ending.head.unwrap_or(now)), ms);
        }
        let look = if verdict == Verdict::Bad {
            if self.counts(admission) {
                self.gate.fetch_or(WATCHED, SeqCst);
                self.set_ratio(self.ratio(ms) * AFTER_FAILURE, ms);
                self.publish(place.roster, ms);
            }
            trouble.circuit.failed(admission, took, at)
        } else {
            trouble.circuit.said_nothing();
            false
        };
        self.go_on(place, trouble, admission, verdict, took, hint, look, at);
        place.freed();
    }

    /// A call was not made after all: it has no outcome.
    pub(crate) fn give_back(&self, place: Place<'_>, admission: Admission, now: Instant) {
        self.end();
        if let Some(trouble) = self.trouble.get().filter(|_| admission.is_probe()) {
            let at = place.roster.at(now);
            let change = trouble.circuit.probed(admission, Verdict::Dropped, None, None, at);
            self.changed(place, trouble, change, at);
        }
        place.freed();
    }

    /// An answer that says nothing came this soon: for its cost, the call stays as long as others do, or
    /// the endpoint would look idle and gain traffic.
    fn linger(&self, place: Place<'_>, trouble: &Trouble, took: Option<Duration>, now: Tick) {
        let (usual, took) = (place.roster.typical(), took.unwrap_or_default().as_nanos() as f32);
        if took < usual {
            trouble
                .lingers
                .store(pack(trouble.lingering(usual, now) + 1.0 - took / usual, now), Relaxed);
            self.gate.fetch_or(WATCHED, SeqCst);
            self.publish(place.roster, now);
        }
    }

    fn cool(
        &self,
        place: Place<'_>,
        trouble: &Trouble,
        started: Option<Instant>,
        hint: Option<Duration>,
        now: Tick,
    ) {
        let began = started.map_or(now, |started| place.roster.tick_of(started));
        let most = place.roster.settings().max_cool_down;
        if most.is_zero() {
            return;
        }
        let rest = place.scope.unwrap_or(&trouble.cool);
        let until = rest.throttled(now, began, hint, most, place.roster.jitter());
        self.gate.fetch_or(COOLS | WATCHED, SeqCst);
        place.roster.changed();
        tracing::debug!(
            target: "tower_failover::balance",
            endpoint = place.name, rest = until.saturating_sub(now), "cools down"
        );
    }

    /// What the end of a call brings about beyond being counted.
    #[expect(clippy::too_many_arguments, reason = "all that is known of the end of a call")]
    fn go_on(
        &self,
        place: Place<'_>,
        trouble: &Trouble,
        admission: Admission,
        verdict: Verdict,
        took: Option<(Duration, Duration)>,
        hint: Option<Duration>,
        look: bool,
        now: Duration,
    ) {
        if admission.is_probe() {
            let change = trouble.circuit.probed(admission, verdict, took, hint, now);
            self.changed(place, trouble, change, now);
        } else if look {
            let eject = || {
                if self.gate.load(SeqCst) & AWAY != 0 {
                    return None;
                }
                let change = trouble.circuit.look(admission, hint, now)?;
                self.gate.fetch_or(EJECTED, SeqCst);
                Some(change)
            };
            if let Some(change) = place.roster.eject(place.tier, eject) {
                let since = tick(now).saturating_sub(trouble.returned_at.load(SeqCst));
                let again = since < tick(place.roster.settings().circuit.forget_after);
                let before = if again { trouble.in_a_row.load(SeqCst) } else { 0 };
                trouble.in_a_row.store(before + 1, SeqCst);
                self.changed(place, trouble, Some(change), now);
            }
        }
    }

    /// The circuit may have changed.
    fn changed(&self, place: Place<'_>, trouble: &Trouble, change: Option<Change>, now: Duration) {
        self.republish(place, trouble, now);
        let Some(change) = change else { return };
        if trouble.circuit.flowing().is_some() && change.from == CircuitState::HalfOpen {
            let ms = tick(now);
            trouble.returned_at.store(ms, SeqCst);
            self.set_ratio(RETURNED, ms);
            self.publish(place.roster, ms);
            let length = RAMP.saturating_mul(trouble.in_a_row.load(SeqCst).max(1) as u32);
            let ramp = ramp_word(ms, length.min(LONGEST_RAMP));
            let back = |gate: u64| Some(without_ramp(gate) & !EJECTED | ramp | WATCHED);
            let gate = self.gate.fetch_update(SeqCst, SeqCst, back).unwrap_or_default();
            if gate & (EJECTED | AWAY) == EJECTED {
                place.roster.returned(place.tier);
            }
            place.roster.changed();
        }
        tell(place, &change);
    }

    /// The probe of this number has found that, or finds nothing any more.
    pub(crate) fn check(&self, place: Place<'_>, probe: u64, found: Option<Checked>, now: Instant) {
        let (at, ms) = (place.roster.at(now), place.roster.tick(now));
        let trouble = self.trouble(place);
        let flag = match trouble.check(probe, found) {
            Checked::Serves(_) => 0,
            Checked::Down => DOWN,
            Checked::Misconfigured => BARRED,
        };
        let change = |gate: u64| Some(gate & !(DOWN | BARRED) | flag | WATCHED);
        let before = self.gate.fetch_update(SeqCst, SeqCst, change).unwrap_or_default();
        self.publish(place.roster, ms);
        if before & (DOWN | BARRED) != flag {
            if flag == 0 && before & EJECTED != 0 {
                // live failures outrank a probe that passes: an ejected endpoint gets a trial, at once
                trouble.circuit.hasten(at);
                self.republish(place, trouble, at);
            }
            place.roster.changed();
        }
    }
}

impl Place<'_> {
    /// A call has ended: where all were at their limits, there is room now.
    #[inline]
    fn freed(&self) {
        if !self.roster.room().is_empty() {
            self.roster.room().wake();
        }
    }
}

fn verdict(ending: &Ending) -> Verdict {
    match ending.outcome {
        Outcome::Success => Verdict::Good,
        Outcome::Failure => Verdict::Bad,
        Outcome::Refused if !ending.evidence.local => Verdict::Bad,
        Outcome::Neutral if ending.dropped => Verdict::Dropped,
        _ => Verdict::Neutral,
    }
}

fn hint(ending: &Ending) -> Option<Duration> {
    match ending.evidence.hint(ending.outcome)? {
        Hint::AtLeast(time) | Hint::Exactly(time) => Some(time),
        Hint::Never => None,
    }
}

pub(super) fn tell(place: Place<'_>, change: &Change) {
    let (endpoint, from, state) = (place.name, change.from.name(), change.to.name());
    match change.to {
        CircuitState::Open => tracing::info!(
            target: "tower_failover::balance",
            endpoint, from, state, next_trial = ?change.next_probe, "ejected"
        ),
        CircuitState::HalfOpen => tracing::debug!(
            target: "tower_failover::balance", endpoint, from, state, "trial"
        ),
        _ => tracing::info!(
            target: "tower_failover::balance", endpoint, from, state, "returned"
        ),
    }
}
