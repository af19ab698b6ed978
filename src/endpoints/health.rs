//! What is known of one endpoint.

use super::availability::Availability;
use super::checked::Checked;
use super::cool_down::{CoolDown, CoolState};
use super::endpoint_ref::EndpointRef;
use super::events::notify;
use super::failure_state::{FailureState, OutcomeCounts};
use super::gate::{Beginning, Gate};
use super::set_state::SetState;
use crate::circuit::{Admission, CircuitState};
use crate::ewma::{Tick, left, pack, tick, toward, unpack};
use crate::sync::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use crate::window::nanos;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

/// The time constant, in milliseconds, in which a latency goes back to what is usual in the set.
const LATENCY_DECAY: f32 = 2_000.0;
/// The time constant in which a bad answer is forgiven: an endpoint that fails, and is called too seldom
/// to be ejected, is tried again after some seconds, and one that has healed is back after as many.
const HEALTH_DECAY: f32 = 3_500.0;
/// From here on the health is taken for whole.
const WHOLE: f32 = 0.99;
/// A cost is taken for true this long where no call ends, in milliseconds.
const FRESH: Tick = 250;
/// A ramp begins with this share, as Envoy's slow start does.
const RAMP_FROM: f32 = 0.1;
/// Fewer calls that linger don't matter.
pub(crate) const FEW: f32 = 0.05;
/// Where no repeatable request came for so many pauses, another one serves as the trial.
const PATIENCE: u64 = 10;

/// A success, beside the calls in flight, which stand in the lower bits.
pub(crate) const SUCCESS: u64 = 1 << 24;

/// One endpoint's health; the calls to it are recorded here.
///
/// Relaxed, but for the gate and the ends of calls: a cost, a latency and a share of good answers are estimates
/// that each stand in one word with their time. The end of a call, and the look whether there is room, are
/// `SeqCst`, since they are compared with [`Waiters`](crate::waiters::Waiters).
// in this order, so that all a choice reads stands together
#[repr(C)]
pub(crate) struct Health {
    /// Calls in flight and successes.
    pub(crate) flow: AtomicU64,
    /// The slow part of the cost, and until when it is fresh.
    cost: AtomicU64,
    pub(super) gate: Gate,
    /// Nanoseconds, and when they were noted; zero where no call has ended well.
    latency: AtomicU64,
    /// The share of good answers, and when it was noted; zero for all.
    pub(crate) ratio: AtomicU64,
    pub(crate) failure_state: OnceLock<Box<FailureState>>,
}

impl Health {
    pub(crate) fn new(beginning: Beginning) -> Self {
        Self {
            flow: AtomicU64::default(),
            cost: AtomicU64::default(),
            latency: AtomicU64::default(),
            ratio: AtomicU64::default(),
            gate: Gate::new(beginning),
            failure_state: OnceLock::new(),
        }
    }

    /// A call is on its way, beside so many others.
    #[inline]
    pub(crate) fn begin(&self) -> u32 {
        (self.flow.fetch_add(1, Relaxed) % SUCCESS) as u32
    }

    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        // one that waits for room says so and then looks here, and a call that ends does the reverse
        (self.flow.load(SeqCst) % SUCCESS) as u32
    }

    pub(crate) fn end(&self) {
        self.flow.fetch_sub(1, SeqCst);
    }

    /// Whether nothing is to be asked before it is chosen.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.gate.is_plain()
    }

    /// From now on successes matter, whatever was before.
    pub(crate) fn watch(&self) {
        self.gate.watch();
    }

    /// It serves in its tier.
    pub(crate) fn enroll(&self, endpoint: EndpointRef<'_>) {
        endpoint.set_state.census().enroll(endpoint.tier, || self.gate.come());
    }

    /// It gets no more calls, whatever becomes of those that are under way.
    pub(crate) fn strike_off(&self, endpoint: EndpointRef<'_>) {
        endpoint.set_state.census().strike_off(endpoint.tier, || self.gate.go_away());
    }

    /// It is no longer in the set: what becomes of its calls matters to nobody.
    pub(crate) fn leave(&self) {
        self.gate.leave();
    }

    /// The part of the cost of a call that does not hang on what is in flight.
    #[inline]
    pub(crate) fn cost(&self, set_state: &SetState, now: Tick) -> f32 {
        let (cost, until) = unpack(self.cost.load(Relaxed));
        if now < until { cost } else { self.fresh_cost(set_state, now) }
    }

    #[cold]
    fn fresh_cost(&self, set_state: &SetState, now: Tick) -> f32 {
        if self.cost.load(Relaxed) == 0 {
            // nothing was ever recorded
            return set_state.typical().max(1.0);
        }
        self.publish(set_state, now)
    }

    #[cold]
    pub(crate) fn publish(&self, set_state: &SetState, now: Tick) -> f32 {
        let (usual, latency) = (set_state.typical(), self.expected(set_state, now));
        let lingering = self
            .failure_state
            .get()
            .map_or(0.0, |failure_state| failure_state.lingering(usual, now));
        let health = self.health(now).max(1e-6);
        let cost = latency.max(1.0) * (1.0 + lingering) / (health * health);
        let fresh = match latency {
            // where nothing is known yet, what is known next is to count at once
            0.0 => 0,
            _ if lingering < FEW => FRESH,
            _ => 1,
        };
        self.cost.store(pack(cost, now.saturating_add(fresh)), Relaxed);
        cost
    }

    /// The share of good answers of late, of what probes found.
    pub(crate) fn health(&self, now: Tick) -> f32 {
        let checked = self.failure_state.get().map(|failure_state| failure_state.checked());
        let found = match checked {
            Some(Checked::Serves(factor)) => factor,
            Some(Checked::Down | Checked::Misconfigured) => 0.0,
            None => 1.0,
        };
        self.ratio(now) * found
    }

    pub(crate) fn ratio(&self, now: Tick) -> f32 {
        match unpack(self.ratio.load(Relaxed)) {
            (0.0, _) => 1.0,
            (ratio, at) => {
                let forgiven = toward(ratio, 1.0, left(now.saturating_sub(at), HEALTH_DECAY));
                if forgiven >= WHOLE { 1.0 } else { forgiven }
            }
        }
    }

    pub(crate) fn set_ratio(&self, ratio: f32, now: Tick) {
        let word = if ratio >= WHOLE { 0 } else { pack(ratio.max(1e-6), now) };
        self.ratio.store(word, Relaxed);
    }

    /// Whether the share of good answers is less than whole.
    pub(crate) fn has_failed(&self) -> bool {
        self.ratio.load(Relaxed) != 0
    }

    /// The average time to a good answer.
    pub(crate) fn latency(&self) -> Option<Duration> {
        duration(self.nanos())
    }

    /// The same in nanoseconds, 0 where it is not known.
    pub(crate) fn nanos(&self) -> f32 {
        unpack(self.latency.load(Relaxed)).0
    }

    /// The latency of good answers; what is usual in the set where it is not known, and 0 where nothing is.
    pub(crate) fn usual(&self, set_state: &SetState) -> f32 {
        match self.nanos() {
            0.0 => set_state.typical(),
            nanos => nanos,
        }
    }

    /// When a latency was noted last.
    pub(crate) fn sampled_at(&self) -> Tick {
        unpack(self.latency.load(Relaxed)).1
    }

    /// The average, which goes back to what is usual while no call tells more.
    fn expected(&self, set_state: &SetState, now: Tick) -> f32 {
        let (usual, (average, at)) = (set_state.typical(), unpack(self.latency.load(Relaxed)));
        match average {
            0.0 => usual,
            _ if usual == 0.0 => average,
            _ => toward(average, usual, left(now.saturating_sub(at), LATENCY_DECAY)),
        }
    }

    /// Takes a latency into the average, the first of each millisecond: so it is an average over time,
    /// the same for an endpoint with many calls and for one with few.
    #[inline]
    pub(crate) fn sample(&self, took: Duration, set_state: &SetState, now: Tick) {
        let (before, at) = unpack(self.latency.load(Relaxed));
        if now <= at && before > 0.0 {
            return;
        }
        let took = (nanos(took) as f32).max(1.0);
        let after = if before > 0.0 {
            toward(before, took, left(now.saturating_sub(at), LATENCY_DECAY))
        } else {
            if set_state.typical() == 0.0 {
                // until the median is taken: else those of which nothing is known would look fast
                set_state.set_typical(took, now);
            }
            took
        };
        // two samples at once may leave only one: it is an average
        self.latency.store(pack(after, now), Relaxed);
        self.cost.store(pack(after, now + FRESH), Relaxed);
    }

    pub(crate) fn availability(&self, endpoint: EndpointRef<'_>, now: Tick) -> Availability {
        let gate = self.gate.read();
        if gate.is_barred() {
            return Availability::Never;
        }
        let rest = self.rest(endpoint).map_or(CoolState::Over, |rest| rest.at(now));
        if let CoolState::Until(until) = rest {
            return Availability::Cools(until);
        }
        if gate.is_ejected() {
            let next =
                self.failure_state.get().map(|failure_state| failure_state.next_trial.load(SeqCst));
            return Availability::Ejected(next.unwrap_or(now));
        }
        match (rest, gate.ramp()) {
            _ if gate.is_down() => Availability::Down,
            (CoolState::Trial, _) => Availability::CoolTrial,
            (_, Some(ramp)) => self.ramp(ramp, now),
            (_, None) => Availability::Serves,
        }
    }

    fn ramp(&self, (until, length): (Tick, Tick), now: Tick) -> Availability {
        if now >= until || length == 0 {
            self.gate.end_ramp(until);
            return Availability::Serves;
        }
        let share = 1.0 - (until - now) as f32 / length as f32;
        Availability::Ramps(share.clamp(RAMP_FROM, 1.0))
    }

    /// The rest that it takes itself, or with others; none where it never asked for one.
    pub(crate) fn rest<'a>(&'a self, endpoint: EndpointRef<'a>) -> Option<&'a CoolDown> {
        endpoint
            .account
            .or_else(|| self.failure_state.get().map(|failure_state| &failure_state.cool))
    }

    /// When a trial may be made with a request that can't be repeated: some pauses after the others.
    pub(crate) fn last_resort(&self) -> Tick {
        let Some(failure_state) = self.failure_state.get() else { return 0 };
        let wait = failure_state.pause.load(SeqCst).saturating_mul(PATIENCE - 1);
        failure_state.next_trial.load(SeqCst).saturating_add(wait)
    }

    /// The right of a call; none while it is ejected.
    #[inline]
    pub(crate) fn admission(&self) -> Option<Admission> {
        match self.failure_state.get() {
            None => Some(Admission::FIRST),
            Some(failure_state) => failure_state.circuit.flowing(),
        }
    }

    /// Asks for the one call that may see whether an ejected endpoint is back.
    #[cold]
    pub(crate) fn trial(&self, endpoint: EndpointRef<'_>, now: Tick) -> Option<Admission> {
        let failure_state = self.failure_state.get()?;
        let at = Duration::from_millis(now);
        // where answers take long, a trial has as long as other calls
        let usual = || self.latency().or_else(|| duration(endpoint.set_state.typical()));
        failure_state.circuit.be_patient(endpoint.set_state.config().hang_after.patience(usual));
        let (asked, change) = failure_state.circuit.admit(at);
        if let Some(change) = change {
            notify(endpoint, &change);
        }
        self.republish(endpoint, failure_state, at);
        asked.ok()
    }

    /// Asks for the one call that may see whether a rest was long enough.
    pub(crate) fn cool_trial(&self, endpoint: EndpointRef<'_>, now: Tick) -> Option<Admission> {
        let taken = self.rest(endpoint).is_some_and(|rest| rest.take_trial(now));
        if taken {
            endpoint.set_state.changed();
        }
        self.admission().filter(|_| taken)
    }

    /// Writes down when the next trial may be.
    pub(crate) fn republish(
        &self,
        endpoint: EndpointRef<'_>,
        failure_state: &FailureState,
        now: Duration,
    ) {
        let until = failure_state.circuit.refuses_until(now).0;
        if failure_state.circuit.flowing().is_some() {
            return;
        }
        let next = until.unwrap_or(now);
        // a trial that is early is refused by the circuit
        let next = tick(next.saturating_add(Duration::from_micros(999)));
        failure_state.next_trial.store(next, SeqCst);
        failure_state.pause.store(next.saturating_sub(tick(now)), SeqCst);
        endpoint.set_state.changed();
    }

    pub(crate) fn outcome_counts(&self) -> OutcomeCounts {
        let successes = self.flow.load(Relaxed) / SUCCESS;
        match self.failure_state.get() {
            Some(failure_state) => failure_state.counts.read(successes),
            None => OutcomeCounts { successes, ..OutcomeCounts::default() },
        }
    }

    /// How often it was ejected, trials that failed included.
    pub(crate) fn ejections(&self) -> u64 {
        self.failure_state.get().map_or(0, |failure_state| failure_state.circuit.opened())
    }

    /// Whether a trial is out.
    pub(crate) fn is_on_trial(&self, now: Tick) -> bool {
        self.failure_state.get().is_some_and(|failure_state| {
            failure_state.circuit.state(Duration::from_millis(now)) == CircuitState::HalfOpen
        })
    }
}

/// None where it is not known.
pub(crate) fn duration(nanos: f32) -> Option<Duration> {
    (nanos > 0.0).then(|| Duration::from_nanos(nanos as u64))
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("in_flight", &self.in_flight())
            .field("latency", &self.latency())
            .finish_non_exhaustive()
    }
}
