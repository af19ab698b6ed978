//! One circuit for calls of many threads.

use super::machine::Machine;
use super::tally::{Ended, Reached, Tally};
use super::types::{Admission, CallVerdict, CircuitConfig, CircuitState, Mode, Refused, When};
use crate::padded::CachePadded;
use crate::striped::{STRIPES, stripe};
use crate::sync::{AtomicU64, Mutex, Ordering::Relaxed, Ordering::SeqCst};
use crate::trip::{Action, TripRule};
use crate::window::{Era, TimeWindow, nanos};
use std::sync::Arc;
use std::time::Duration;

/// The weight of a sample in the average latency: one in so many.
const SAMPLES: u64 = 8;

/// A circuit: the machine behind its lock, and beside it what calls read and write while it is closed.
///
/// The time is that since the circuit was made.
#[derive(Debug)]
pub(crate) struct Circuit {
    published: CachePadded<Published>,
    lines: Box<[CachePadded<StripeCounts>]>,
    tallies: Box<[Tally]>,
    /// Whether it matters for a rule how long a call takes.
    needs_time: bool,
    config: CircuitConfig,
    counts: CallCounts,
    machine: Mutex<Machine>,
}

/// What every call reads. Written under the lock only. `SeqCst`: a call that sees a new period also sees what was
/// done before it began.
#[derive(Debug, Default)]
struct Published {
    /// The period and generation while every call is let through, and else [`When::NEVER`].
    free: AtomicU64,
    /// The same while calls that are no trials count, and else [`When::NO_PERIOD`].
    flows: AtomicU64,
}

/// What every call of a stripe writes. Relaxed: a statistic and an average, which no rule goes by.
#[derive(Debug, Default)]
struct StripeCounts {
    successes: AtomicU64,
    /// The average time to a good answer, in nanoseconds; zero where none is known.
    latency: AtomicU64,
}

/// Written on the bad path only. Relaxed: statistics, nothing else is read because of them.
#[derive(Debug, Default)]
struct CallCounts {
    failures: AtomicU64,
    slow: AtomicU64,
    neutral: AtomicU64,
    refused: AtomicU64,
}

/// The circuit has changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) generation: Era,
    pub(crate) from: CircuitState,
    pub(crate) to: CircuitState,
    pub(crate) share: f64,
    /// When it lets a trial through, where it waits for that.
    pub(crate) next_trial: Option<Duration>,
}

/// What can be seen of a circuit: plain data, read at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CircuitSnapshot {
    /// The state.
    pub state: CircuitState,
    /// Nobody is refused, whatever the state is.
    pub observe_only: bool,
    /// The share of calls that is let through: 1 while closed, 0 while open or half-open.
    pub share: f64,
    /// Probes that are out.
    pub trials: usize,
    /// The time until a trial is let through, while the circuit is open.
    pub next_trial: Option<Duration>,
    /// How often the circuit has opened, reopenings included.
    pub opened: u64,
    /// Calls that ended well, slow ones included.
    pub successes: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Calls that were slow for a rule, whether they failed or not.
    pub slow: u64,
    /// Calls that say nothing about the service.
    pub neutral: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// What is in the windows of the rules, in their order.
    pub rules: Vec<RuleSnapshot>,
}

/// What is in the window of a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RuleSnapshot {
    /// The rule.
    pub rule: TripRule,
    /// The calls in its window; the same as the hits for a rule that counts no others.
    pub calls: u64,
    /// Those that failed, or were slow.
    pub hits: u64,
}

impl Circuit {
    /// `spread`: over stripes, since many threads will call through it.
    pub(crate) fn new(
        rules: &[TripRule],
        mut config: CircuitConfig,
        seed: u64,
        spread: bool,
    ) -> Self {
        let slow = rules.iter().filter_map(TripRule::slow_limit).min();
        config.trial_timeout = config.trial_timeout.or(slow);
        Self::beginning_at(rules, config, seed, spread, 1)
    }

    pub(super) fn beginning_at(
        rules: &[TripRule],
        config: CircuitConfig,
        seed: u64,
        spread: bool,
        first: Era,
    ) -> Self {
        let lines = if spread { STRIPES } else { 1 };
        let machine = Machine::new(seed, first, Duration::ZERO);
        let tallies: Box<[_]> = rules.iter().map(|rule| Tally::new(*rule, spread)).collect();
        let circuit = Self {
            published: CachePadded::default(),
            lines: (0..lines).map(|_| CachePadded::default()).collect(),
            needs_time: rules.iter().any(TripRule::needs_time),
            tallies,
            config,
            counts: CallCounts::default(),
            machine: Mutex::new(machine),
        };
        circuit.publish(&circuit.machine.lock());
        circuit
    }

    /// Whether it matters for a rule how long a call takes.
    pub(crate) fn needs_time(&self) -> bool {
        self.needs_time
    }

    /// The window in which a success is to be counted, if that is all there is to do for it.
    pub(crate) fn window(&self) -> Option<Arc<TimeWindow>> {
        let mut rules = self.tallies.iter().filter(|tally| !tally.ignores_successes());
        let window = rules.next()?.window_alone()?.clone();
        rules.next().is_none().then_some(window)
    }

    /// The right of a call while the circuit is closed, for which nothing is asked.
    #[inline]
    pub(crate) fn free(&self) -> Option<Admission> {
        let when = When(self.published.0.free.load(SeqCst));
        if when == When::NEVER { None } else { Some(Admission { when, trial: 0 }) }
    }

    /// The right of a call whose result counts, whatever share of the calls is let through.
    #[inline]
    pub(crate) fn flowing(&self) -> Option<Admission> {
        let when = When(self.published.0.flows.load(SeqCst));
        if when == When::NO_PERIOD { None } else { Some(Admission { when, trial: 0 }) }
    }

    /// Whether the result of a call still counts.
    pub(crate) fn counts(&self, admission: Admission) -> bool {
        admission.when.is_in_period_of(When(self.published.0.flows.load(SeqCst)))
    }

    /// A call asks to be let through.
    pub(crate) fn admit(&self, now: Duration) -> (Result<Admission, Refused>, Option<Change>) {
        let (asked, change) = self.change(now, |machine, config| {
            let generation = machine.when().generation();
            machine.admit(config, now, || self.is_calm(generation, now))
        });
        if asked.is_err() {
            self.counts.refused.fetch_add(1, Relaxed);
        }
        (asked, change)
    }

    /// Gives trials at least this time from now on, as for a service whose answers take long.
    pub(crate) fn be_patient(&self, patience: Duration) {
        self.machine.lock().be_patient(patience);
    }

    /// Whether the calls of a generation would reach no rule that degrades; `None` where none ended.
    fn is_calm(&self, generation: Era, now: Duration) -> Option<bool> {
        let mut rules = self.tallies.iter().filter(|tally| tally.action() == Action::Degrade);
        let ended = rules.clone().any(|tally| tally.totals(now, generation).calls > 0);
        ended.then(|| rules.all(|tally| tally.is_calm(now, generation)))
    }

    /// When a call that would be refused has a chance without anything having happened meanwhile, or
    /// `Duration::MAX` for "not by itself"; none where calls are let through.
    pub(crate) fn refuses_until(&self, now: Duration) -> (Option<Duration>, Option<Change>) {
        self.change(now, |machine, config| machine.refuses_until(config, now))
    }

    /// A call is refused that would have been when it was polled ready.
    pub(crate) fn refuse(&self, now: Duration) -> (Refused, Option<Change>) {
        self.counts.refused.fetch_add(1, Relaxed);
        self.change(now, |machine, config| {
            let retry_after = match machine.refuses_until(config, now) {
                // it would not be any more
                None => Some(Duration::ZERO),
                Some(_) => machine.next_trial(now),
            };
            Refused { state: machine.state(config, now), retry_after }
        })
    }

    /// The head of a trial's answer has come, and is good so far.
    pub(crate) fn answered(&self, admission: Admission, now: Duration) -> Option<Change> {
        self.change(now, |machine, config| machine.answered(config, admission, now)).1
    }

    /// Counts a success in the window that is all that [`window`](Self::window) told, in the
    /// admission's slice. Tells whether more is to be done: to [look](Self::look), or to tell that a trial
    /// has ended.
    #[inline]
    pub(crate) fn succeeded_in(
        &self,
        window: &TimeWindow,
        admission: &Admission,
        slice: u64,
    ) -> bool {
        let current = When(self.published.0.flows.load(SeqCst));
        if !admission.when.is_in_period_of(current) {
            return self.succeeded_elsewhen(*admission);
        }
        window.success(slice, stripe())
    }

    /// A success of a trial, or of a call that was admitted in an earlier period.
    #[cold]
    fn succeeded_elsewhen(&self, admission: Admission) -> bool {
        self.line(stripe()).successes.fetch_add(1, Relaxed);
        admission.is_trial()
    }

    /// A call has ended well; `took` is how long it took up to the head of its answer and in all, if that
    /// is known. Tells whether the circuit should [look](Self::look).
    pub(crate) fn succeeded(
        &self,
        admission: Admission,
        took: Option<(Duration, Duration)>,
        now: Duration,
    ) -> bool {
        let stripe = stripe();
        self.line(stripe).successes.fetch_add(1, Relaxed);
        if let Some((head, _)) = took {
            self.line(stripe).sample(head);
        }
        self.count(admission, &Ended::new(false, took), stripe, now)
    }

    /// A good answer took so long.
    #[inline]
    pub(crate) fn sample(&self, took: Duration) {
        self.line(stripe()).sample(took);
    }

    #[inline]
    fn line(&self, stripe: usize) -> &StripeCounts {
        &self.lines[stripe & (self.lines.len() - 1)].0
    }

    /// A call has failed. Tells whether the circuit should [look](Self::look).
    pub(crate) fn failed(
        &self,
        admission: Admission,
        took: Option<(Duration, Duration)>,
        now: Duration,
    ) -> bool {
        self.counts.failures.fetch_add(1, Relaxed);
        self.count(admission, &Ended::new(true, took), stripe(), now)
    }

    /// A call has ended that says nothing.
    pub(crate) fn said_nothing(&self) {
        self.counts.neutral.fetch_add(1, Relaxed);
    }

    fn count(&self, admission: Admission, ended: &Ended, stripe: usize, now: Duration) -> bool {
        let current = When(self.published.0.flows.load(SeqCst));
        if !admission.when.is_in_period_of(current) {
            return false;
        }
        if self.needs_time && self.is_slow(ended) {
            self.counts.slow.fetch_add(1, Relaxed);
        }
        self.tallies.iter().fold(false, |look, tally| match tally.era(admission.when, current) {
            Some(era) => tally.record(now, era, stripe, ended) | look,
            None => look,
        })
    }

    /// Looks whether a call has reached a rule. `hint`: how long the service asked to be left alone.
    #[cold]
    pub(crate) fn look(
        &self,
        admission: Admission,
        hint: Option<Duration>,
        now: Duration,
    ) -> Option<Change> {
        let reached = self
            .tallies
            .iter()
            .filter_map(|tally| tally.reached(now, tally.era(admission.when, admission.when)?));
        let reached = reached.max_by(Reached::by_gravity)?;
        self.change(now, |machine, config| machine.trip(config, admission, reached, hint, now)).1
    }

    /// A trial has ended, after what a call that ended so does.
    #[cold]
    pub(crate) fn trial_ended(
        &self,
        admission: Admission,
        verdict: CallVerdict,
        took: Option<(Duration, Duration)>,
        hint: Option<Duration>,
        now: Duration,
    ) -> Option<Change> {
        let counts = matches!(verdict, CallVerdict::Good | CallVerdict::Bad);
        let slow = counts && self.is_slow(&Ended::new(false, took));
        self.counts.slow.fetch_add(slow.into(), Relaxed);
        let verdict = if slow && verdict == CallVerdict::Good { CallVerdict::Bad } else { verdict };
        self.change(now, |machine, config| {
            machine.trial_ended(config, admission, verdict, hint, now);
        })
        .1
    }

    fn is_slow(&self, ended: &Ended) -> bool {
        self.tallies.iter().any(|tally| ended.is_slow(tally.rule()))
    }

    pub(crate) fn reset(&self, mode: Mode, now: Duration) -> Option<Change> {
        self.change(now, |machine, _| machine.reset(mode, now)).1
    }

    /// There is reason to think that the service is back: the next call may be the first trial.
    pub(crate) fn hasten(&self, now: Duration) {
        self.machine.lock().hasten(now);
    }

    /// The average time to a good answer, if one is known.
    pub(crate) fn latency(&self) -> Option<Duration> {
        let known =
            self.lines.iter().map(|line| line.0.latency.load(Relaxed)).filter(|nanos| *nanos > 0);
        let (sum, count) = known
            .fold((0_u128, 0_u128), |(sum, count), nanos| (sum + u128::from(nanos), count + 1));
        let mean = sum.checked_div(count)?;
        Some(Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX)))
    }

    /// How often it has opened.
    pub(crate) fn opened(&self) -> u64 {
        self.machine.lock().opened()
    }

    pub(crate) fn state(&self, now: Duration) -> CircuitState {
        self.machine.lock().state(&self.config, now)
    }

    /// Whether the rules decide alone.
    pub(crate) fn is_automatic(&self) -> bool {
        self.machine.lock().mode() == Mode::Automatic
    }

    pub(crate) fn snapshot(&self, now: Duration) -> CircuitSnapshot {
        let machine = self.machine.lock();
        let when = machine.when();
        let rules = self.tallies.iter().map(|tally| {
            let totals = tally.era(when, when).map(|era| tally.totals(now, era));
            let totals = totals.unwrap_or_default();
            RuleSnapshot { rule: *tally.rule(), calls: totals.calls, hits: totals.hits }
        });
        let count = |count: &AtomicU64| count.load(Relaxed);
        CircuitSnapshot {
            state: machine.state(&self.config, now),
            observe_only: machine.mode() == Mode::ObserveOnly,
            share: machine.share(&self.config, now),
            trials: machine.trials(),
            next_trial: machine.next_trial(now),
            opened: machine.opened(),
            successes: self.successes(),
            failures: count(&self.counts.failures),
            slow: count(&self.counts.slow),
            neutral: count(&self.counts.neutral),
            refused: count(&self.counts.refused),
            rules: rules.collect(),
        }
    }

    fn successes(&self) -> u64 {
        let lines = self.lines.iter().map(|line| line.0.successes.load(Relaxed));
        let windows = self.tallies.iter().map(Tally::successes);
        lines.chain(windows).sum()
    }

    /// Changes the machine, and tells of it if its generation is another one after that.
    fn change<T>(
        &self,
        now: Duration,
        change: impl FnOnce(&mut Machine, &CircuitConfig) -> T,
    ) -> (T, Option<Change>) {
        let mut machine = self.machine.lock();
        // as it was told last: the end of a ramp is told with the first call after it
        let (when, from) = (machine.when(), machine.state(&self.config, Duration::ZERO));
        let result = change(&mut machine, &self.config);
        if machine.when() == when {
            return (result, None);
        }
        self.publish(&machine);
        let to = machine.state(&self.config, now);
        let change = Change {
            generation: machine.when().generation(),
            from,
            to,
            share: machine.share(&self.config, now),
            next_trial: machine.next_trial(now),
        };
        (result, Some(change))
    }

    fn publish(&self, machine: &Machine) {
        let (flows, free) = (machine.flows(), machine.is_free());
        self.published
            .0
            .flows
            .store(if flows { machine.when() } else { When::NO_PERIOD }.0, SeqCst);
        self.published.0.free.store(if free { machine.when() } else { When::NEVER }.0, SeqCst);
    }
}

impl StripeCounts {
    #[inline]
    fn sample(&self, took: Duration) {
        let took = nanos(took).max(1);
        let before = self.latency.load(Relaxed);
        let after = if before == 0 { took } else { before - before / SAMPLES + took / SAMPLES };
        // two samples at once may leave only one: it is an average
        self.latency.store(after, Relaxed);
    }
}
