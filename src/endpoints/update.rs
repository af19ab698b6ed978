//! How the end of a call changes what is known of its endpoint.

use super::checked::Checked;
use super::endpoint_ref::EndpointRef;
use super::events::notify;
use super::failure_state::FailureState;
use super::health::{FEW, Health, SUCCESS};
use crate::attempt::Ending;
use crate::circuit::{Admission, CallVerdict, Change, CircuitState};
use crate::clock::Instant;
use crate::ewma::{Tick, pack, tick};
use crate::outcome::Outcome;
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

/// A call that has ended, and was counted.
#[derive(Clone, Copy, Debug)]
struct Concluded {
    admission: Admission,
    verdict: CallVerdict,
    /// Up to the head of its answer, and in all.
    took: Option<(Duration, Duration)>,
    hint: Option<Duration>,
    /// It may have reached a rule.
    look: bool,
}

impl Health {
    /// A call that went well has ended.
    #[inline]
    pub(crate) fn succeeded(
        &self,
        endpoint: EndpointRef<'_>,
        admission: Admission,
        started: Option<Instant>,
        now: Instant,
    ) {
        if !self.gate.is_calm() {
            let head = started.map(|_| now);
            return self.succeeded_after_trouble(endpoint, admission, started, head, now);
        }
        self.flow.fetch_add(SUCCESS - 1, SeqCst);
        if let Some(started) = started {
            let took = now.saturating_duration_since(started);
            self.sample(took, endpoint.set_state, endpoint.set_state.tick(now));
        }
        endpoint.freed();
    }

    /// The head of a good answer has come.
    pub(crate) fn answered(
        &self,
        endpoint: EndpointRef<'_>,
        admission: Admission,
        started: Option<Instant>,
        head: Instant,
    ) {
        if let Some(started) = started.filter(|_| !endpoint.set_state.whole_latency()) {
            if self.counts(admission) {
                let took = head.saturating_duration_since(started);
                self.sample_of(endpoint, admission, took, endpoint.set_state.tick(head));
                self.publish(endpoint.set_state, endpoint.set_state.tick(head));
            }
        }
        let Some(failure_state) = self.failure_state.get() else { return };
        failure_state.silence.store(0, SeqCst);
        if admission.is_trial() {
            let change = failure_state.circuit.answered(admission, endpoint.set_state.at(head));
            self.changed(endpoint, failure_state, change, endpoint.set_state.at(head));
        }
    }

    /// Takes the time of a call for a sample. That of a trial may be the time up to the return of the
    /// endpoint: it makes it look faster, and never slower.
    pub(crate) fn sample_of(
        &self,
        endpoint: EndpointRef<'_>,
        admission: Admission,
        took: Duration,
        now: Tick,
    ) {
        if !admission.is_trial() || (took.as_nanos() as f32) < self.nanos() {
            self.sample(took, endpoint.set_state, now);
        }
    }

    /// Whether the result of a call still counts: an ejection has not come between.
    pub(crate) fn counts(&self, admission: Admission) -> bool {
        admission.is_trial()
            || admission == Admission::UNWATCHED
            || match self.failure_state.get() {
                None => true,
                Some(failure_state) => failure_state.circuit.counts(admission),
            }
    }

    pub(crate) fn failure_state(&self, endpoint: EndpointRef<'_>) -> &FailureState {
        self.failure_state.get_or_init(|| {
            Box::new(FailureState::new(&endpoint.set_state.config(), endpoint.set_state.seed()))
        })
    }

    #[inline(never)]
    fn succeeded_after_trouble(
        &self,
        endpoint: EndpointRef<'_>,
        admission: Admission,
        started: Option<Instant>,
        head: Option<Instant>,
        now: Instant,
    ) {
        self.flow.fetch_add(SUCCESS - 1, SeqCst);
        let failure_state = self.failure_state(endpoint);
        failure_state.silence.store(0, SeqCst);
        let (at, ms) = (endpoint.set_state.at(now), endpoint.set_state.tick(now));
        let since = |end: Instant| Some(end.saturating_duration_since(started?));
        let took = head.and_then(since).zip(since(now));
        if self.counts(admission) {
            let missing = 1.0 - self.ratio(ms);
            self.set_ratio(1.0 - missing * AFTER_SUCCESS, ms);
            if let Some((to_head, in_all)) = took {
                let took = if endpoint.set_state.whole_latency() { in_all } else { to_head };
                self.sample_of(endpoint, admission, took, ms);
            }
            self.publish(endpoint.set_state, ms);
            if let (Some(rest), Some(started)) = (self.rest(endpoint), started) {
                rest.succeeded(endpoint.set_state.tick_of(started));
                if rest.is_forgotten(ms) {
                    self.gate.end_cooling();
                }
            }
        }
        let look = failure_state.circuit.succeeded(admission, took, at);
        let call = Concluded { admission, verdict: CallVerdict::Good, took, hint: None, look };
        self.go_on(endpoint, failure_state, call, at);
        let calm = self.ratio.load(Relaxed) == 0
            && failure_state.checked() == Checked::HEALTHY
            && failure_state.lingering(endpoint.set_state.typical(), ms) < FEW;
        if calm && !endpoint.set_state.config().watches_successes() {
            self.gate.unwatch(&failure_state.silence);
        }
        endpoint.freed();
    }

    /// A call has ended otherwise, or later than its head.
    #[cold]
    pub(crate) fn settle(
        &self,
        endpoint: EndpointRef<'_>,
        admission: Admission,
        ending: &Ending,
        now: Instant,
    ) {
        if ending.unpolled {
            return self.give_back(endpoint, admission, now);
        }
        let hangs = ending.lost && self.has_outlasted(endpoint, admission, ending, now);
        let ending = if hangs { &Ending { outcome: Outcome::Failure, ..*ending } } else { ending };
        let effect = ending.effect();
        let verdict = ending.verdict(effect.endpoint, false);
        if verdict == CallVerdict::Good {
            if self.gate.is_calm() {
                self.flow.fetch_add(SUCCESS - 1, SeqCst);
                // the latency of the head was noted when that came
                if let Some(started) = ending.started.filter(|_| endpoint.set_state.whole_latency())
                {
                    let took = now.saturating_duration_since(started);
                    self.sample(took, endpoint.set_state, endpoint.set_state.tick(now));
                }
                return endpoint.freed();
            }
            let head = ending.head.or(Some(now));
            return self.succeeded_after_trouble(endpoint, admission, ending.started, head, now);
        }
        self.end();
        if self.gate.read().is_gone() {
            return endpoint.freed();
        }
        let failure_state = self.failure_state(endpoint);
        if !ending.dropped {
            failure_state.silence.store(0, SeqCst);
        }
        failure_state.counts.add(ending.outcome);
        let (at, ms) = (endpoint.set_state.at(now), endpoint.set_state.tick(now));
        let hint = ending.hint();
        if effect.cools && self.counts(admission) {
            self.cool(endpoint, failure_state, ending.started, hint, ms);
        }
        let since = |end: Instant| Some(end.saturating_duration_since(ending.started?));
        let took = since(ending.head.unwrap_or(now)).zip(since(now));
        let may_cool = !endpoint.set_state.config().max_cool_down.is_zero();
        let says_nothing = effect.lingers || (effect.cools && !may_cool);
        if verdict == CallVerdict::Neutral && says_nothing {
            self.linger(endpoint, failure_state, since(ending.head.unwrap_or(now)), ms);
        }
        let look = if verdict == CallVerdict::Bad {
            if self.counts(admission) {
                self.gate.watch();
                self.set_ratio(self.ratio(ms) * AFTER_FAILURE, ms);
                self.publish(endpoint.set_state, ms);
            }
            failure_state.circuit.failed(admission, took, at)
        } else {
            failure_state.circuit.said_nothing();
            false
        };
        let call = Concluded { admission, verdict, took, hint, look };
        self.go_on(endpoint, failure_state, call, at);
        endpoint.freed();
    }

    /// A call was not made after all: it has no outcome.
    pub(crate) fn give_back(&self, endpoint: EndpointRef<'_>, admission: Admission, now: Instant) {
        self.end();
        if let Some(failure_state) = self.failure_state.get().filter(|_| admission.is_trial()) {
            let at = endpoint.set_state.at(now);
            let change =
                failure_state.circuit.trial_ended(admission, CallVerdict::Dropped, None, None, at);
            self.changed(endpoint, failure_state, change, at);
        }
        endpoint.freed();
    }

    /// An answer that says nothing came this soon: for its cost, the call stays as long as others do, or
    /// the endpoint would look idle and gain traffic.
    fn linger(
        &self,
        endpoint: EndpointRef<'_>,
        failure_state: &FailureState,
        took: Option<Duration>,
        now: Tick,
    ) {
        let (usual, took) =
            (endpoint.set_state.typical(), took.unwrap_or_default().as_nanos() as f32);
        if took < usual {
            failure_state.lingers.store(
                pack(failure_state.lingering(usual, now) + 1.0 - took / usual, now),
                Relaxed,
            );
            self.gate.watch();
            self.publish(endpoint.set_state, now);
        }
    }

    fn cool(
        &self,
        endpoint: EndpointRef<'_>,
        failure_state: &FailureState,
        started: Option<Instant>,
        hint: Option<Duration>,
        now: Tick,
    ) {
        let began = started.map_or(now, |started| endpoint.set_state.tick_of(started));
        let most = endpoint.set_state.config().max_cool_down;
        if most.is_zero() {
            return;
        }
        let rest = endpoint.account.unwrap_or(&failure_state.cool);
        let until = rest.throttled(now, began, hint, most, endpoint.set_state.jitter());
        self.gate.cool();
        endpoint.set_state.changed();
        tracing::debug!(
            target: "tower_failover::balance",
            endpoint = endpoint.name, rest = until.saturating_sub(now), "cools down"
        );
    }

    /// What the end of a call brings about beyond being counted.
    fn go_on(
        &self,
        endpoint: EndpointRef<'_>,
        failure_state: &FailureState,
        call: Concluded,
        now: Duration,
    ) {
        let Concluded { admission, verdict, took, hint, look } = call;
        if admission.is_trial() {
            let change = failure_state.circuit.trial_ended(admission, verdict, took, hint, now);
            self.changed(endpoint, failure_state, change, now);
        } else if look {
            let eject = || {
                if self.gate.read().is_away() {
                    return None;
                }
                let change = failure_state.circuit.look(admission, hint, now)?;
                self.gate.eject();
                Some(change)
            };
            if let Some(change) = endpoint.set_state.eject(endpoint.tier, eject) {
                let since = tick(now).saturating_sub(failure_state.returned_at.load(SeqCst));
                let again = since < tick(endpoint.set_state.config().circuit.forget_after);
                let before = if again { failure_state.in_a_row.load(SeqCst) } else { 0 };
                failure_state.in_a_row.store(before + 1, SeqCst);
                self.changed(endpoint, failure_state, Some(change), now);
            }
        }
    }

    /// The circuit may have changed.
    fn changed(
        &self,
        endpoint: EndpointRef<'_>,
        failure_state: &FailureState,
        change: Option<Change>,
        now: Duration,
    ) {
        self.republish(endpoint, failure_state, now);
        let Some(change) = change else { return };
        if failure_state.circuit.flowing().is_some() && change.from == CircuitState::HalfOpen {
            let ms = tick(now);
            failure_state.returned_at.store(ms, SeqCst);
            self.set_ratio(RETURNED, ms);
            self.publish(endpoint.set_state, ms);
            let length = RAMP.saturating_mul(failure_state.in_a_row.load(SeqCst).max(1) as u32);
            if self.gate.take_back(ms, length.min(LONGEST_RAMP)) {
                endpoint.set_state.census().returned(endpoint.tier);
            }
            endpoint.set_state.changed();
        }
        notify(endpoint, &change);
    }

    /// The probe of this number has found that, or finds nothing any more.
    pub(crate) fn check(
        &self,
        endpoint: EndpointRef<'_>,
        probe: u64,
        found: Option<Checked>,
        now: Instant,
    ) {
        let (at, ms) = (endpoint.set_state.at(now), endpoint.set_state.tick(now));
        let failure_state = self.failure_state(endpoint);
        let worst = failure_state.check(probe, found);
        let (before, changed) = self.gate.check(worst);
        self.publish(endpoint.set_state, ms);
        if changed {
            if before.is_ejected() && matches!(worst, Checked::Serves(_)) {
                // live failures outrank a probe that passes: an ejected endpoint gets a trial, at once
                failure_state.circuit.hasten(at);
                self.republish(endpoint, failure_state, at);
            }
            endpoint.set_state.changed();
        }
    }
}
