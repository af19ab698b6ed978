//! What is kept of an endpoint from its first bad answer on.

use super::checked::Checked;
use super::config::SetConfig;
use super::cool_down::CoolDown;
use crate::circuit::Circuit;
use crate::ewma::{Tick, left, unpack};
use crate::outcome::Outcome;
use crate::sync::{AtomicU64, Mutex, Ordering::Relaxed, Ordering::SeqCst};
use std::collections::BTreeMap;

/// The state of an endpoint that has failed at some time.
///
/// `SeqCst` where one word is compared with another, or with the gate: the silence, which is noted before the
/// gate is watched; what checks found; the times of trials and returns, which are read after the circuit or the gate has
/// said that they matter. Relaxed: `lingers`, of which an estimate is made. All of it happens after a failure.
#[derive(Debug)]
pub(crate) struct FailureState {
    pub(crate) circuit: Circuit,
    /// When the next trial may be, while it is ejected.
    pub(crate) next_trial: AtomicU64,
    /// How long it was told to pause before that.
    pub(crate) pause: AtomicU64,
    pub(crate) cool: CoolDown,
    /// Ejections since it was good for some time.
    pub(crate) in_a_row: AtomicU64,
    pub(crate) returned_at: AtomicU64,
    /// The worst of what probes found.
    checked: AtomicU64,
    /// What each of them found last.
    findings: Mutex<BTreeMap<u64, Checked>>,
    /// Calls that count as if they were still in flight.
    pub(crate) lingers: AtomicU64,
    /// The latency before calls began to lose, and since when nothing was answered; zero where something was.
    pub(crate) silence: AtomicU64,
    /// The calls that lost since then.
    pub(crate) losers: AtomicU64,
    /// When the age of a loser was last taken for a latency, and when that of an answer had been before.
    raised: AtomicU64,
    answered: AtomicU64,
    pub(crate) counts: OutcomeCounters,
}

impl FailureState {
    pub(crate) fn new(config: &SetConfig, seed: u64) -> Self {
        let circuit = Circuit::new(config.rules(), config.circuit.clone(), seed, false);
        Self {
            circuit,
            next_trial: AtomicU64::default(),
            pause: AtomicU64::default(),
            cool: CoolDown::default(),
            in_a_row: AtomicU64::default(),
            returned_at: AtomicU64::default(),
            checked: AtomicU64::new(Checked::HEALTHY.word()),
            findings: Mutex::default(),
            lingers: AtomicU64::default(),
            silence: AtomicU64::default(),
            losers: AtomicU64::default(),
            raised: AtomicU64::default(),
            answered: AtomicU64::default(),
            counts: OutcomeCounters::default(),
        }
    }

    /// When an answer came last, where a latency was noted last at that time.
    pub(crate) fn answered_at(&self, sampled_at: Tick) -> Tick {
        if sampled_at == self.raised.load(SeqCst) { self.answered.load(SeqCst) } else { sampled_at }
    }

    /// The latency that was noted now is the age of a loser: no answer has come.
    pub(crate) fn raised(&self, answered_at: Tick, now: Tick) {
        self.answered.store(answered_at, SeqCst);
        self.raised.store(now, SeqCst);
    }

    /// How many calls count as if they were in flight, where calls take this many nanoseconds.
    pub(crate) fn lingering(&self, usual: f32, now: Tick) -> f32 {
        let (count, at) = unpack(self.lingers.load(Relaxed));
        count * left(now.saturating_sub(at), (usual / 1e6).max(1.0))
    }

    /// The worst of what probes found.
    pub(crate) fn checked(&self) -> Checked {
        Checked::from_word(self.checked.load(SeqCst))
    }

    /// The probe of this number has found that, or finds nothing any more. Returns the worst of all.
    pub(crate) fn check(&self, probe: u64, found: Option<Checked>) -> Checked {
        let mut findings = self.findings.lock();
        match found {
            Some(found) => findings.insert(probe, found),
            None => findings.remove(&probe),
        };
        let worst = findings.values().copied().fold(Checked::HEALTHY, Checked::worse);
        self.checked.store(worst.word(), SeqCst);
        worst
    }
}

/// Calls that did not go well. Relaxed: statistics, nothing else is read because of them.
#[derive(Debug, Default)]
pub(crate) struct OutcomeCounters {
    failures: AtomicU64,
    refused: AtomicU64,
    throttled: AtomicU64,
    unsuitable: AtomicU64,
    neutral: AtomicU64,
}

impl OutcomeCounters {
    pub(crate) fn add(&self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Success => return,
            Outcome::Failure => &self.failures,
            Outcome::Refused => &self.refused,
            Outcome::Throttled { .. } => &self.throttled,
            Outcome::Unsuitable => &self.unsuitable,
            Outcome::Neutral => &self.neutral,
        };
        count.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self, successes: u64) -> OutcomeCounts {
        let read = |count: &AtomicU64| count.load(Relaxed);
        OutcomeCounts {
            successes,
            failures: read(&self.failures),
            refused: read(&self.refused),
            throttled: read(&self.throttled),
            unsuitable: read(&self.unsuitable),
            neutral: read(&self.neutral),
        }
    }
}

/// How the calls to an endpoint ended: plain data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutcomeCounts {
    /// Answered well.
    pub successes: u64,
    /// Failed, and may have done the work.
    pub failures: u64,
    /// Never taken, by the endpoint or on our own side.
    pub refused: u64,
    /// Asked to come later.
    pub throttled: u64,
    /// Will never be served by this endpoint.
    pub unsuitable: u64,
    /// Said nothing about the endpoint; calls that were given up early are among them.
    pub neutral: u64,
}
