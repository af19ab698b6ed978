//! One circuit for calls of many threads.

use super::machine::Machine;
use super::rule::{Action, TripRule};
use super::tally::{Ended, Reached, Tally};
use super::words::{Admission, CircuitState, Mode, Refused, Settings, Verdict, When};
use crate::stripe::{Apart, STRIPES, stripe};
use crate::sync::{AtomicU64, Mutex, Ordering::Relaxed, Ordering::SeqCst};
use crate::window::{Era, nanos};
use std::time::Duration;

/// The weight of a sample in the average latency: one in so many.
const SAMPLES: u64 = 8;

/// A circuit: the machine behind its lock, and beside it what calls read and write while it is closed.
///
/// The time is that since the circuit was made.
#[derive(Debug)]
pub(crate) struct Circuit {
    words: Apart<Words>,
    lines: Box<[Apart<Line>]>,
    tallies: Box<[Tally]>,
    /// Whether it matters for a rule how long a call takes.
    needs_time: bool,
    settings: Settings,
    counts: Counts,
    machine: Mutex<Machine>,
}

/// What every call reads: the period and the generation, or zero. Written under the lock only.
#[derive(Debug, Default)]
struct Words {
    /// While every call is let through.
    free: AtomicU64,
    /// While calls that are no probes count.
    flows: AtomicU64,
}

/// What every call of a stripe writes.
#[derive(Debug, Default)]
struct Line {
    successes: AtomicU64,
    /// The average time to a good answer, in nanoseconds; zero where none is known.
    latency: AtomicU64,
}

/// Written on the bad path only.
#[derive(Debug, Default)]
struct Counts {
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
    /// When it lets a probe through, where it waits for that.
    pub(crate) next_probe: Option<Duration>,
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
    pub probes: usize,
    /// The time until a probe is let through, while the circuit is open.
    pub next_probe: Option<Duration>,
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
    pub(crate) fn new(rules: &[TripRule], mut settings: Settings, seed: u64, spread: bool) -> Self {
        let slow = rules.iter().filter_map(TripRule::slow_limit).min();
        settings.probe_timeout = settings.probe_timeout.or(slow);
        Self::beginning_at(rules, settings, seed, spread, 1)
    }

    pub(super) fn beginning_at(
        rules: &[TripRule],
        settings: Settings,
        seed: u64,
        spread: bool,
        first: Era,
    ) -> Self {
        let lines = if spread { STRIPES } else { 1 };
        let machine = Machine::new(seed, first, Duration::ZERO);
        let circuit = Self {
            words: Apart::default(),
            lines: (0..lines).map(|_| Apart::default()).collect(),
            needs_time: rules.iter().any(TripRule::needs_time),
            tallies: rules.iter().map(|rule| Tally::new(*rule, spread)).collect(),
            settings,
            counts: Counts::default(),
            machine: Mutex::new(machine),
        };
        circuit.publish(&circuit.machine.lock());
        circuit
    }

    /// Whether it matters for a rule how long a call takes.
    pub(crate) fn needs_time(&self) -> bool {
        self.needs_time
    }

    /// The right of a call while the circuit is closed, for which nothing is asked.
    #[inline]
    pub(crate) fn free(&self) -> Option<Admission> {
        let when = When(self.words.0.free.load(SeqCst));
        if when == When::NEVER { None } else { Some(Admission { when, probe: 0 }) }
    }

    /// A call asks to be let through.
    pub(crate) fn admit(&self, now: Duration) -> (Result<Admission, Refused>, Option<Change>) {
        let (asked, change) = self.change(now, |machine, settings| {
            let generation = machine.when().generation();
            machine.admit(settings, now, || self.is_calm(generation, now))
        });
        if asked.is_err() {
            self.counts.refused.fetch_add(1, Relaxed);
        }
        (asked, change)
    }

    /// Whether the calls of a generation would reach no rule that degrades; `None` where none ended.
    fn is_calm(&self, generation: Era, now: Duration) -> Option<bool> {
        let mut rules = self.tallies.iter().filter(|tally| tally.action() == Action::Degrade);
        let ended = rules.clone().any(|tally| tally.totals(now, generation).calls > 0);
        ended.then(|| rules.all(|tally| tally.is_calm(now, generation)))
    }

    /// When a call that is refused has a chance without anything having happened meanwhile; `None`
    /// where calls are let through. `Duration::MAX` stands for "not by itself".
    #[inline]
    pub(crate) fn refuses_until(&self, now: impl FnOnce() -> Duration) -> Option<Duration> {
        if self.words.0.free.load(SeqCst) != 0 { None } else { self.refuses_while_not_free(now()) }
    }

    #[cold]
    fn refuses_while_not_free(&self, now: Duration) -> Option<Duration> {
        let machine = self.machine.lock();
        machine.refuses(&self.settings, now).then(|| machine.next_chance().unwrap_or(Duration::MAX))
    }

    /// A call is refused that would have been when it was polled ready.
    pub(crate) fn refuse(&self, now: Duration) -> Refused {
        self.counts.refused.fetch_add(1, Relaxed);
        let retry_after = match self.refuses_until(|| now) {
            // it would not be any more
            None => Some(Duration::ZERO),
            Some(Duration::MAX) => None,
            Some(until) => Some(until.saturating_sub(now)),
        };
        Refused { state: self.state(now), retry_after }
    }

    /// The head of a probe's answer has come, and is good so far.
    pub(crate) fn answered(&self, admission: Admission, now: Duration) -> Option<Change> {
        self.change(now, |machine, settings| machine.answered(settings, admission, now)).1
    }

    /// A call has ended well; `took` is how long it took up to the head of its answer and in all, if that
    /// is known. Tells whether the circuit should [look](Self::look).
    #[inline]
    pub(crate) fn succeeded(
        &self,
        admission: Admission,
        took: Option<(Duration, Duration)>,
        now: Duration,
    ) -> bool {
        let stripe = stripe();
        let line = &self.lines[stripe & (self.lines.len() - 1)].0;
        line.successes.fetch_add(1, Relaxed);
        let (mut head, mut total) = (Duration::ZERO, Duration::ZERO);
        if let Some(took) = took {
            (head, total) = took;
            line.sample(head);
        }
        self.count(admission, &Ended { failed: false, head, total }, stripe, now)
    }

    /// A call has failed. Tells whether the circuit should [look](Self::look).
    pub(crate) fn failed(
        &self,
        admission: Admission,
        took: Option<(Duration, Duration)>,
        now: Duration,
    ) -> bool {
        self.counts.failures.fetch_add(1, Relaxed);
        let (head, total) = took.unwrap_or_default();
        self.count(admission, &Ended { failed: true, head, total }, stripe(), now)
    }

    /// A call has ended that says nothing.
    pub(crate) fn said_nothing(&self) {
        self.counts.neutral.fetch_add(1, Relaxed);
    }

    #[inline]
    fn count(&self, admission: Admission, ended: &Ended, stripe: usize, now: Duration) -> bool {
        let current = When(self.words.0.flows.load(SeqCst));
        // a probe has a period of its own
        if admission.when.period() != current.period() || current == When::NEVER {
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
        let Reached { action, severity } = reached.max_by(Reached::by_gravity)?;
        self.change(now, |machine, settings| {
            machine.trip(settings, admission, action, severity, hint, now);
        })
        .1
    }

    /// A probe has ended, after what a call that ended so does.
    #[cold]
    pub(crate) fn probed(
        &self,
        admission: Admission,
        verdict: Verdict,
        took: Option<(Duration, Duration)>,
        hint: Option<Duration>,
        now: Duration,
    ) -> Option<Change> {
        let (head, total) = took.unwrap_or_default();
        let slow = self.is_slow(&Ended { failed: false, head, total });
        self.counts.slow.fetch_add(slow.into(), Relaxed);
        let verdict = if slow && verdict == Verdict::Good { Verdict::Bad } else { verdict };
        self.change(now, |machine, settings| {
            machine.probed(settings, admission, verdict, hint, now);
        })
        .1
    }

    fn is_slow(&self, ended: &Ended) -> bool {
        self.tallies.iter().any(|tally| ended.is_slow(tally.rule()))
    }

    pub(crate) fn reset(&self, mode: Mode, now: Duration) -> Option<Change> {
        self.change(now, |machine, _| machine.reset(mode, now)).1
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

    pub(crate) fn state(&self, now: Duration) -> CircuitState {
        self.machine.lock().state(&self.settings, now)
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
            state: machine.state(&self.settings, now),
            observe_only: machine.mode() == Mode::ObserveOnly,
            share: machine.share(&self.settings, now),
            probes: machine.probes(),
            next_probe: machine.next_probe(now),
            opened: machine.opened(),
            successes: self.lines.iter().map(|line| count(&line.0.successes)).sum(),
            failures: count(&self.counts.failures),
            slow: count(&self.counts.slow),
            neutral: count(&self.counts.neutral),
            refused: count(&self.counts.refused),
            rules: rules.collect(),
        }
    }

    /// Changes the machine, and tells of it if its generation is another one after that.
    fn change<T>(
        &self,
        now: Duration,
        change: impl FnOnce(&mut Machine, &Settings) -> T,
    ) -> (T, Option<Change>) {
        let mut machine = self.machine.lock();
        let (when, from) = (machine.when(), machine.state(&self.settings, now));
        let result = change(&mut machine, &self.settings);
        if machine.when() == when {
            return (result, None);
        }
        self.publish(&machine);
        let to = machine.state(&self.settings, now);
        let change = Change {
            generation: machine.when().generation(),
            from,
            to,
            share: machine.share(&self.settings, now),
            next_probe: machine.next_probe(now),
        };
        (result, Some(change))
    }

    fn publish(&self, machine: &Machine) {
        let word = |holds| if holds { machine.when() } else { When::NEVER };
        self.words.0.flows.store(word(machine.flows()).0, SeqCst);
        self.words.0.free.store(word(machine.is_free()).0, SeqCst);
    }
}

impl Line {
    #[inline]
    fn sample(&self, took: Duration) {
        let took = nanos(took).max(1);
        let before = self.latency.load(Relaxed);
        let after = if before == 0 { took } else { before - before / SAMPLES + took / SAMPLES };
        // two samples at once may leave only one: it is an average
        self.latency.store(after, Relaxed);
    }
}
