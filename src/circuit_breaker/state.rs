//! A circuit, and all who want to know of its changes.

use super::error::CircuitOpen;
use super::policy::BreakerConfig;
use crate::attempt::{AttemptObserver, Ending};
use crate::circuit::{Admission, CallVerdict, Change, Circuit, CircuitState, Mode, Refused};
use crate::clock::{self, Instant, Slices};
use crate::error::BoxError;
use crate::waiters::Waiters;
use crate::window::TimeWindow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// One circuit of a breaker.
#[doc(hidden)]
pub struct ObservedCircuit {
    pub(super) circuit: Circuit,
    pub(super) config: BreakerConfig,
    made: Instant,
    /// The window of all successes and its slices, if those are to be counted there and nowhere else.
    successes: Option<(Arc<TimeWindow>, Slices)>,
    latest: watch::Sender<Latest>,
    waiters: Waiters,
    /// Told of every change, beside the subscribers.
    listener: Option<Listener>,
}

pub(super) type Listener = Box<dyn Fn(CircuitState) + Send + Sync>;

/// The newest state that was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latest {
    generation: u32,
    pub(super) state: CircuitState,
}

impl ObservedCircuit {
    /// `spread`: many threads will call through it.
    pub(super) fn new(config: &BreakerConfig, spread: bool, listener: Option<Listener>) -> Self {
        let circuit =
            Circuit::new(config.rules(), config.circuit.clone(), config.seeds.next(), spread);
        let made = clock::now();
        Self {
            successes: circuit.window().map(|window| {
                let slices = Slices::new(made, window.slice());
                (window, slices)
            }),
            circuit,
            config: config.clone(),
            made,
            latest: watch::Sender::new(Latest { generation: 0, state: CircuitState::Closed }),
            waiters: Waiters::default(),
            listener,
        }
    }

    /// The circuit's time.
    pub(super) fn now(&self) -> Duration {
        self.at(clock::now())
    }

    pub(super) fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.made)
    }

    /// The beginning of a call, where it must be known.
    pub(super) fn start(&self) -> Option<Instant> {
        self.circuit.needs_time().then(clock::now)
    }

    /// The right of a call while the circuit is closed and no rule asks when a call began: nothing is to be
    /// asked or noted.
    #[inline]
    pub(super) fn pass(&self) -> Option<Admission> {
        if self.circuit.needs_time() { None } else { self.circuit.free() }
    }

    /// A call asks to be let through.
    pub(super) fn admit(&self) -> Result<Admission, Arc<BoxError>> {
        if let Some(admission) = self.circuit.free() {
            return Ok(admission);
        }
        let (asked, change) = self.circuit.admit(self.now());
        self.tell(change);
        asked.map_err(|refused| self.error(refused))
    }

    /// The service has panicked in a call that has no recorder yet.
    #[cold]
    pub(super) fn panicked(&self, admission: Admission) {
        self.settle(admission, &Ending::panicked());
    }

    #[inline]
    pub(super) fn is_free(&self) -> bool {
        self.circuit.free().is_some()
    }

    pub(super) fn refuses(&self) -> bool {
        self.refuses_until(self.now()).is_some()
    }

    /// As [`Circuit::refuses_until`].
    pub(super) fn refuses_until(&self, now: Duration) -> Option<Duration> {
        let (until, change) = self.circuit.refuses_until(now);
        self.tell(change);
        until
    }

    /// The error of a call that would have been refused when it was polled ready.
    pub(super) fn refusal(&self) -> Arc<BoxError> {
        let (refused, change) = self.circuit.refuse(self.now());
        self.tell(change);
        self.error(refused)
    }

    fn error(&self, refused: Refused) -> Arc<BoxError> {
        Arc::new(CircuitOpen::new(self.config.name.clone(), refused).into())
    }

    pub(super) fn reset(&self, mode: Mode) {
        self.tell(self.circuit.reset(mode, self.now()));
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Latest> {
        self.latest.subscribe()
    }

    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    #[inline]
    fn tell(&self, change: Option<Change>) {
        if let Some(change) = change {
            self.tell_all(change);
        }
    }

    /// Nothing is locked here: whoever is told may ask the circuit at once.
    #[cold]
    fn tell_all(&self, change: Change) {
        let Change { generation, from, to, share, next_trial } = change;
        self.latest.send_if_modified(|latest| {
            // two changes may be told in the other order than they were made
            let newer = generation.wrapping_sub(latest.generation) <= u32::MAX / 2;
            let differs = newer && latest.state != to;
            if newer {
                *latest = Latest { generation, state: to };
            }
            differs
        });
        if let Some(listener) = &self.listener {
            listener(to);
        }
        self.waiters.wake();
        // last, so that a subscriber which panics keeps the change from nobody
        let name = &*self.config.name;
        if from == to && to == CircuitState::Degraded {
            tracing::debug!(
                target: "tower_failover::circuit_breaker",
                name, state = to.name(), share, generation, "share changed"
            );
        } else {
            tracing::info!(
                target: "tower_failover::circuit_breaker",
                name, from = from.name(), state = to.name(), share, next_trial = ?next_trial,
                generation, "state changed"
            );
        }
    }

    #[inline(never)]
    fn sample(&self, started: &Instant, now: Instant) {
        self.circuit.sample(now.saturating_duration_since(*started));
    }

    #[cold]
    fn go_on_well(&self, admission: &Admission, now: Instant) {
        self.go_on(*admission, CallVerdict::Good, None, None, now);
    }

    /// A call has ended well that more is asked of than when.
    #[inline(never)]
    fn succeeded_slowly(&self, admission: &Admission, started: &Option<Instant>, now: Instant) {
        let admission = *admission;
        let took = started.map(|started| now.saturating_duration_since(started));
        let took = took.map(|took| (took, took));
        if self.circuit.succeeded(admission, took, self.at(now)) | admission.is_trial() {
            self.go_on(admission, CallVerdict::Good, took, None, now);
        }
    }

    /// What a call brings about beyond being counted.
    #[cold]
    fn go_on(
        &self,
        admission: Admission,
        verdict: CallVerdict,
        took: Option<(Duration, Duration)>,
        hint: Option<Duration>,
        now: Instant,
    ) {
        let now = self.at(now);
        if admission.is_trial() {
            self.tell(self.circuit.trial_ended(admission, verdict, took, hint, now));
            // its permit is free
            self.waiters.wake();
        } else {
            self.tell(self.circuit.look(admission, hint, now));
        }
    }
}

impl AttemptObserver for ObservedCircuit {
    fn answered(&self, admission: Admission, _: Option<Instant>, head: Instant) {
        if admission.is_trial() {
            self.tell(self.circuit.answered(admission, self.at(head)));
        }
    }

    #[inline(always)]
    fn succeeded(&self, admission: &Admission, started: &Option<Instant>) {
        let now = clock::now();
        let Some((window, slices)) = &self.successes else {
            return self.succeeded_slowly(admission, started, now);
        };
        if let Some(started) = started {
            self.sample(started, now);
        }
        let slice = slices.name(now, admission.key(), |elapsed| admission.slice(elapsed));
        if self.circuit.succeeded_in(window, admission, slice) {
            self.go_on_well(admission, now);
        }
    }

    #[cold]
    fn settle(&self, admission: Admission, ending: &Ending) {
        let now = clock::now();
        let since = |end: Instant| Some(end.saturating_duration_since(ending.started?));
        let took = since(ending.head.unwrap_or(now)).zip(since(now));
        let effect = ending.effect();
        let verdict = ending.verdict(effect.breaker, self.config.count_throttled);
        let at = self.at(now);
        let look = match verdict {
            CallVerdict::Good => self.circuit.succeeded(admission, took, at),
            CallVerdict::Bad => self.circuit.failed(admission, took, at),
            CallVerdict::Neutral | CallVerdict::Dropped => {
                self.circuit.said_nothing();
                false
            }
        };
        if look || admission.is_trial() {
            // only a throttle that opens the circuit makes it wait for longer
            let hint = ending.hint().filter(|_| effect.cools);
            self.go_on(admission, verdict, took, hint, now);
        }
    }

    fn hang_after(&self) -> Option<Duration> {
        self.config.hang_after.time(|| self.circuit.latency())
    }

    fn body_hang_after(&self) -> Option<Duration> {
        self.config.body_hang_after
    }
}

impl fmt::Debug for ObservedCircuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedCircuit")
            .field("name", &self.config.name)
            .field("circuit", &self.circuit.snapshot(self.now()))
            .finish_non_exhaustive()
    }
}

/// A circuit that is shared.
pub(super) type SharedCircuit = Arc<ObservedCircuit>;
