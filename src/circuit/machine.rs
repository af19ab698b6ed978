//! The states of a circuit. Pure: every method takes the time, and nothing here is shared.

use super::share::Share;
use super::tally::Reached;
use super::types::{Admission, CallVerdict, CircuitConfig, CircuitState, Mode, Refused, When};
use crate::backoff::Progress;
use crate::trip::Action;
use crate::window::{Era, LAST_ERA};
use std::collections::BTreeMap;
use std::time::Duration;

/// So many dwells are enough where no call of them tells anything.
const PATIENCE: f64 = 4.0;
/// The share with which a ramp begins, as Envoy's slow start does.
const RAMP_FROM: f64 = 0.1;
/// So many trials in a row that were given up by their callers count as a failure.
const MOST_DROPPED: u32 = 3;
/// The longest open time that an answer can ask for.
const MAX_HINT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum Phase {
    Closed,
    Degraded { share: Share, since: Duration, admitted: u64 },
    Open { until: Duration },
    HalfOpen { trials: BTreeMap<u32, Lease>, successes: u32, dropped: u32 },
    Ramp { since: Duration },
}

/// The time a trial has.
#[derive(Clone, Copy, Debug)]
struct Lease {
    until: Duration,
    /// The head of the answer is there: what is late now is the body, perhaps by its reader's fault.
    answered: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Machine {
    phase: Phase,
    mode: Mode,
    period: Era,
    generation: Era,
    /// The open times, which grow.
    progress: Progress,
    closed_since: Duration,
    /// The least time that a trial has, whatever was told.
    patience: Duration,
    /// How often it has opened.
    opened: u64,
    last_trial: u32,
    /// What is left over of the share of a call, from call to call.
    share_left: f64,
}

impl Machine {
    /// `first`: the era to begin with, 1 but in tests of the end of their count.
    pub(crate) fn new(seed: u64, first: Era, now: Duration) -> Self {
        Self {
            phase: Phase::Closed,
            mode: Mode::Automatic,
            period: first,
            generation: first,
            progress: Progress::new(seed),
            closed_since: now,
            patience: Duration::ZERO,
            opened: 0,
            last_trial: 0,
            share_left: 1.0,
        }
    }

    pub(super) fn when(&self) -> When {
        When::new(self.period, self.generation)
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn opened(&self) -> u64 {
        self.opened
    }

    /// Every call is let through, and its result counts.
    pub(crate) fn is_free(&self) -> bool {
        match self.mode {
            Mode::Automatic | Mode::ObserveOnly => matches!(self.phase, Phase::Closed),
            Mode::ForcedClosed => true,
            Mode::ForcedOpen => false,
        }
    }

    /// Results of calls other than trials count.
    pub(crate) fn flows(&self) -> bool {
        let flows =
            matches!(self.phase, Phase::Closed | Phase::Degraded { .. } | Phase::Ramp { .. });
        flows && self.mode != Mode::ForcedOpen
    }

    pub(crate) fn state(&self, config: &CircuitConfig, now: Duration) -> CircuitState {
        match (self.mode, &self.phase) {
            (Mode::ForcedOpen, _) => CircuitState::ForcedOpen,
            (Mode::ForcedClosed, _) => CircuitState::ForcedClosed,
            (_, Phase::Closed) => CircuitState::Closed,
            (_, Phase::Degraded { .. }) => CircuitState::Degraded,
            (_, Phase::Open { .. }) => CircuitState::Open,
            (_, Phase::HalfOpen { .. }) => CircuitState::HalfOpen,
            (_, Phase::Ramp { since }) if now >= since.saturating_add(config.ramp) => {
                CircuitState::Closed
            }
            (_, Phase::Ramp { .. }) => CircuitState::Ramp,
        }
    }

    /// The share of calls that is let through.
    pub(crate) fn share(&self, config: &CircuitConfig, now: Duration) -> f64 {
        match (self.mode, &self.phase) {
            (Mode::ForcedOpen, _) => 0.0,
            (Mode::ForcedClosed, _) | (_, Phase::Closed) => 1.0,
            (_, Phase::Degraded { share, .. }) => share.get(),
            (_, Phase::Open { .. } | Phase::HalfOpen { .. }) => 0.0,
            (_, Phase::Ramp { since }) => ramp_share(config, *since, now),
        }
    }

    /// How many trials are out.
    pub(crate) fn trials(&self) -> usize {
        match &self.phase {
            Phase::HalfOpen { trials, .. } => trials.len(),
            _ => 0,
        }
    }

    /// When the next trial may be sent, where the circuit waits for that.
    pub(crate) fn next_trial(&self, now: Duration) -> Option<Duration> {
        match (self.mode, &self.phase) {
            (Mode::Automatic | Mode::ObserveOnly, Phase::Open { until }) => {
                Some(until.saturating_sub(now))
            }
            _ => None,
        }
    }

    /// When a call that would be refused now has a chance without anything having happened meanwhile, or
    /// `Duration::MAX` where it never has; none where calls are let through, as far as that does not hang
    /// on their share.
    pub(crate) fn refuses_until(
        &mut self,
        config: &CircuitConfig,
        now: Duration,
    ) -> Option<Duration> {
        match self.mode {
            Mode::ForcedOpen => return Some(Duration::MAX),
            Mode::ForcedClosed | Mode::ObserveOnly => return None,
            Mode::Automatic => self.expire(config, |until| now >= until, now),
        }
        match &self.phase {
            Phase::Open { until } => Some(*until).filter(|until| now < *until),
            Phase::HalfOpen { trials, .. } if trials.len() >= config.trials as usize => {
                trials.values().map(|lease| lease.until).min()
            }
            _ => None,
        }
    }

    /// A call asks to be let through. `calm`: the calls of this generation would reach no rule that
    /// degrades; `None` where none has ended yet.
    pub(crate) fn admit(
        &mut self,
        config: &CircuitConfig,
        now: Duration,
        calm: impl FnOnce() -> Option<bool>,
    ) -> Result<Admission, Refused> {
        match self.mode {
            Mode::ForcedClosed => return Ok(self.admission(0)),
            Mode::ForcedOpen => {
                return Err(Refused { state: CircuitState::ForcedOpen, retry_after: None });
            }
            Mode::Automatic | Mode::ObserveOnly => {}
        }
        self.expire(config, |until| now >= until, now);
        match self.phase {
            Phase::Open { until } if now >= until => {
                self.turn(Phase::HalfOpen { trials: BTreeMap::new(), successes: 0, dropped: 0 });
            }
            Phase::Degraded { .. } => self.raise(config, now, calm),
            _ => {}
        }
        let admitted = match &mut self.phase {
            Phase::Closed => return Ok(self.admission(0)),
            Phase::Open { until } => Err(Some(until.saturating_sub(now))),
            Phase::HalfOpen { trials, .. } => {
                if trials.len() < config.trials as usize {
                    self.last_trial = self.last_trial.wrapping_add(1).max(1);
                    let until = now.saturating_add(config.trial_timeout().max(self.patience));
                    trials.insert(self.last_trial, Lease { until, answered: false });
                    Ok(self.last_trial)
                } else {
                    Err(None)
                }
            }
            Phase::Degraded { share, admitted, .. } => {
                let passes = take_share(&mut self.share_left, share.get());
                *admitted += u64::from(passes);
                if passes { Ok(0) } else { Err(None) }
            }
            Phase::Ramp { since } => {
                let share = ramp_share(config, *since, now);
                if take_share(&mut self.share_left, share) { Ok(0) } else { Err(None) }
            }
        };
        match admitted {
            Ok(trial) => Ok(self.admission(trial)),
            Err(_) if self.mode == Mode::ObserveOnly => Ok(Admission::UNWATCHED),
            Err(retry_after) => Err(Refused { state: self.state(config, now), retry_after }),
        }
    }

    /// Gives trials at least this time from now on.
    pub(crate) fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The head of a trial's answer has come, and is good so far: its time counts for the body now.
    pub(crate) fn answered(&mut self, config: &CircuitConfig, admission: Admission, now: Duration) {
        // an answer in the very moment of the timeout is in time
        self.expire(config, |until| now > until, now);
        if let Phase::HalfOpen { trials, .. } = &mut self.phase {
            if let Some(lease) = trials.get_mut(&admission.trial) {
                let until = now.saturating_add(config.trial_timeout().max(self.patience));
                *lease = Lease { until, answered: true };
            }
        }
    }

    /// A trial has ended. `hint`: how long the service asked to be left alone.
    pub(crate) fn trial_ended(
        &mut self,
        config: &CircuitConfig,
        admission: Admission,
        verdict: CallVerdict,
        hint: Option<Duration>,
        now: Duration,
    ) {
        self.expire(config, |until| now > until, now);
        if admission.when.generation() != self.generation {
            return;
        }
        let Phase::HalfOpen { trials, successes, dropped } = &mut self.phase else { return };
        trials.remove(&admission.trial);
        match verdict {
            CallVerdict::Good => {
                (*successes, *dropped) = (*successes + 1, 0);
                if *successes >= config.successes {
                    self.close(config, now);
                }
            }
            CallVerdict::Bad => self.open(config, hint, now),
            CallVerdict::Neutral => *dropped = 0,
            CallVerdict::Dropped => {
                *dropped += 1;
                if *dropped >= MOST_DROPPED {
                    self.open(config, None, now);
                }
            }
        }
    }

    /// A rule was reached by a call that was let through like this. `hint`: how long the service asked
    /// to be left alone.
    pub(crate) fn trip(
        &mut self,
        config: &CircuitConfig,
        admission: Admission,
        Reached { action, severity }: Reached,
        hint: Option<Duration>,
        now: Duration,
    ) {
        if admission.when.period() != self.period
            || !self.flows()
            || self.mode == Mode::ForcedClosed
        {
            return;
        }
        match action {
            Action::Open => self.open(config, hint, now),
            Action::Degrade if admission.when.generation() == self.generation => {
                let share = match self.phase {
                    Phase::Degraded { share, .. } => share,
                    _ => Share::new(self.share(config, now)),
                };
                self.forget(config, now);
                self.degrade(share.cut(severity), now);
            }
            Action::Degrade => {}
        }
    }

    /// There is reason to think that the service is back: it need not wait for its first trial.
    pub(crate) fn hasten(&mut self, now: Duration) {
        if let Phase::Open { until } = &mut self.phase {
            *until = now.min(*until);
        }
    }

    /// Closes the circuit with nothing counted, and leaves the decisions to `mode`.
    pub(crate) fn reset(&mut self, mode: Mode, now: Duration) {
        self.mode = mode;
        self.progress.restart();
        self.turn(Phase::Closed);
        self.period = self.generation;
        self.closed_since = now;
    }

    fn admission(&self, trial: u32) -> Admission {
        Admission { when: self.when(), trial }
    }

    fn turn(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation = if self.generation < LAST_ERA { self.generation + 1 } else { 1 };
        self.share_left = 1.0;
        if !self.flows() {
            self.period = self.generation;
        }
    }

    fn open(&mut self, config: &CircuitConfig, hint: Option<Duration>, now: Duration) {
        self.forget(config, now);
        self.opened += 1;
        let time = self.progress.next(&config.open_for);
        let time = time.max(hint.unwrap_or_default().min(MAX_HINT));
        self.turn(Phase::Open { until: now.saturating_add(time) });
    }

    /// A good time ends, which may have been long enough.
    fn forget(&mut self, config: &CircuitConfig, now: Duration) {
        let good = matches!(self.phase, Phase::Closed | Phase::Ramp { .. });
        if good && now.saturating_sub(self.closed_since) >= config.forget_after {
            self.progress.restart();
        }
    }

    fn close(&mut self, config: &CircuitConfig, now: Duration) {
        let phase = if config.ramp.is_zero() { Phase::Closed } else { Phase::Ramp { since: now } };
        self.turn(phase);
        self.period = self.generation;
        self.closed_since = now;
    }

    fn degrade(&mut self, share: Share, now: Duration) {
        let left = self.share_left;
        self.turn(Phase::Degraded { share, since: now, admitted: 0 });
        // else each change would let a call through, which may be what brings about the next change
        self.share_left = left;
    }

    /// Raises the share for the time that has passed well: a step for a dwell of which a call tells, a
    /// step for each dwell without any calls, and one for a longer time whose calls tell nothing.
    fn raise(
        &mut self,
        config: &CircuitConfig,
        now: Duration,
        calm: impl FnOnce() -> Option<bool>,
    ) {
        let Phase::Degraded { share, since, admitted } = self.phase else { return };
        let passed = now.saturating_sub(since);
        if passed < config.dwell {
            return;
        }
        let dwells = (passed.as_nanos() / config.dwell.as_nanos().max(1)) as f64;
        let raised = match calm() {
            Some(true) => share.raise(),
            Some(false) => return,
            None if admitted == 0 => share.raise_idle(dwells),
            None if dwells >= PATIENCE => share.raise(),
            None => return,
        };
        match raised {
            Some(share) => self.degrade(share, now),
            None => {
                self.turn(Phase::Closed);
                self.closed_since = now;
            }
        }
    }

    /// Does what the time alone brings about.
    fn expire(&mut self, config: &CircuitConfig, passed: impl Fn(Duration) -> bool, now: Duration) {
        match &mut self.phase {
            Phase::HalfOpen { trials, .. } => {
                let hung = trials.values().filter(|lease| !lease.answered && passed(lease.until));
                match hung.map(|lease| lease.until).min() {
                    // it failed when its time was up, not when somebody looked
                    Some(at) => self.open(config, None, at),
                    // who reads an answer slowly does not keep others from being trials
                    None => trials.retain(|_, lease| !passed(lease.until)),
                }
            }
            Phase::Ramp { since } if now >= since.saturating_add(config.ramp) => {
                self.turn(Phase::Closed);
            }
            _ => {}
        }
    }
}

fn ramp_share(config: &CircuitConfig, since: Duration, now: Duration) -> f64 {
    let passed = now.saturating_sub(since).as_secs_f64() / config.ramp.as_secs_f64().max(1e-9);
    passed.clamp(RAMP_FROM, 1.0)
}

/// Whether the next call is one of this share of all, spread evenly over them.
fn take_share(left: &mut f64, share: f64) -> bool {
    *left += share;
    let takes = *left >= 1.0;
    if takes {
        *left -= 1.0;
    }
    takes
}
