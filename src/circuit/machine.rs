//! The states of a circuit. Pure: every method takes the time, and nothing here is shared.

use super::rule::Action;
use super::share::Share;
use super::words::{Admission, CircuitState, Mode, Refused, Settings, Verdict, When};
use crate::backoff::Progress;
use crate::window::{Era, LAST_ERA};
use std::collections::BTreeMap;
use std::time::Duration;

/// So many dwells are enough where no call of them tells anything.
const PATIENCE: f64 = 4.0;
/// The share with which a ramp begins, as Envoy's slow start does.
const RAMP_FROM: f64 = 0.1;
/// So many probes in a row that were given up by their callers count as a failure.
const MOST_DROPPED: u32 = 3;
/// The longest open time that an answer can ask for.
const MAX_HINT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum Phase {
    Closed,
    Degraded { share: Share, since: Duration, admitted: u64 },
    Open { until: Duration },
    HalfOpen { probes: BTreeMap<u32, Lease>, successes: u32, dropped: u32 },
    Ramp { since: Duration },
}

/// The time a probe has.
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
    /// The least time that a probe has, whatever was told.
    patience: Duration,
    /// How often it has opened.
    opened: u64,
    last_probe: u32,
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
            last_probe: 0,
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

    /// Results of calls other than probes count.
    pub(crate) fn flows(&self) -> bool {
        let flows =
            matches!(self.phase, Phase::Closed | Phase::Degraded { .. } | Phase::Ramp { .. });
        flows && self.mode != Mode::ForcedOpen
    }

    pub(crate) fn state(&self, settings: &Settings, now: Duration) -> CircuitState {
        match (self.mode, &self.phase) {
            (Mode::ForcedOpen, _) => CircuitState::ForcedOpen,
            (Mode::ForcedClosed, _) => CircuitState::ForcedClosed,
            (_, Phase::Closed) => CircuitState::Closed,
            (_, Phase::Degraded { .. }) => CircuitState::Degraded,
            (_, Phase::Open { .. }) => CircuitState::Open,
            (_, Phase::HalfOpen { .. }) => CircuitState::HalfOpen,
            (_, Phase::Ramp { since }) if now >= since.saturating_add(settings.ramp) => {
                CircuitState::Closed
            }
            (_, Phase::Ramp { .. }) => CircuitState::Ramp,
        }
    }

    /// The share of calls that is let through.
    pub(crate) fn share(&self, settings: &Settings, now: Duration) -> f64 {
        match (self.mode, &self.phase) {
            (Mode::ForcedOpen, _) => 0.0,
            (Mode::ForcedClosed, _) | (_, Phase::Closed) => 1.0,
            (_, Phase::Degraded { share, .. }) => share.get(),
            (_, Phase::Open { .. } | Phase::HalfOpen { .. }) => 0.0,
            (_, Phase::Ramp { since }) => ramp_share(settings, *since, now),
        }
    }

    /// How many probes are out.
    pub(crate) fn probes(&self) -> usize {
        match &self.phase {
            Phase::HalfOpen { probes, .. } => probes.len(),
            _ => 0,
        }
    }

    /// When the next probe may be sent, where the circuit waits for that.
    pub(crate) fn next_probe(&self, now: Duration) -> Option<Duration> {
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
    pub(crate) fn refuses_until(&mut self, settings: &Settings, now: Duration) -> Option<Duration> {
        match self.mode {
            Mode::ForcedOpen => return Some(Duration::MAX),
            Mode::ForcedClosed | Mode::ObserveOnly => return None,
            Mode::Automatic => self.expire(settings, |until| now >= until, now),
        }
        match &self.phase {
            Phase::Open { until } => Some(*until).filter(|until| now < *until),
            Phase::HalfOpen { probes, .. } if probes.len() >= settings.probes as usize => {
                probes.values().map(|lease| lease.until).min()
            }
            _ => None,
        }
    }

    /// A call asks to be let through. `calm`: the calls of this generation would reach no rule that
    /// degrades; `None` where none has ended yet.
    pub(crate) fn admit(
        &mut self,
        settings: &Settings,
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
        self.expire(settings, |until| now >= until, now);
        match self.phase {
            Phase::Open { until } if now >= until => {
                self.turn(Phase::HalfOpen { probes: BTreeMap::new(), successes: 0, dropped: 0 });
            }
            Phase::Degraded { .. } => self.raise(settings, now, calm),
            _ => {}
        }
        let admitted = match &mut self.phase {
            Phase::Closed => return Ok(self.admission(0)),
            Phase::Open { until } => Err(Some(until.saturating_sub(now))),
            Phase::HalfOpen { probes, .. } => {
                if probes.len() < settings.probes as usize {
                    self.last_probe = self.last_probe.wrapping_add(1).max(1);
                    let until = now.saturating_add(settings.probe_timeout().max(self.patience));
                    probes.insert(self.last_probe, Lease { until, answered: false });
                    Ok(self.last_probe)
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
                let share = ramp_share(settings, *since, now);
                if take_share(&mut self.share_left, share) { Ok(0) } else { Err(None) }
            }
        };
        match admitted {
            Ok(probe) => Ok(self.admission(probe)),
            Err(_) if self.mode == Mode::ObserveOnly => Ok(Admission::UNWATCHED),
            Err(retry_after) => Err(Refused { state: self.state(settings, now), retry_after }),
        }
    }

    /// Gives probes at least this time from now on.
    pub(crate) fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The head of a probe's answer has come, and is good so far: its time counts for the body now.
    pub(crate) fn answered(&mut self, settings: &Settings, admission: Admission, now: Duration) {
        // an answer in the very moment of the timeout is in time
        self.expire(settings, |until| now > until, now);
        if let Phase::HalfOpen { probes, .. } = &mut self.phase {
            if let Some(lease) = probes.get_mut(&admission.probe) {
                let until = now.saturating_add(settings.probe_timeout().max(self.patience));
                *lease = Lease { until, answered: true };
            }
        }
    }

    /// A probe has ended. `hint`: how long the service asked to be left alone.
    pub(crate) fn probed(
        &mut self,
        settings: &Settings,
        admission: Admission,
        verdict: Verdict,
        hint: Option<Duration>,
        now: Duration,
    ) {
        self.expire(settings, |until| now > until, now);
        if admission.when.generation() != self.generation {
            return;
        }
        let Phase::HalfOpen { probes, successes, dropped } = &mut self.phase else { return };
        probes.remove(&admission.probe);
        match verdict {
            Verdict::Good => {
                (*successes, *dropped) = (*successes + 1, 0);
                if *successes >= settings.successes {
                    self.close(settings, now);
                }
            }
            Verdict::Bad => self.open(settings, hint, now),
            Verdict::Neutral => *dropped = 0,
            Verdict::Dropped => {
                *dropped += 1;
                if *dropped >= MOST_DROPPED {
                    self.open(settings, None, now);
                }
            }
        }
    }

    /// A rule was reached by a call that was let through like this. `hint`: how long the service asked
    /// to be left alone.
    pub(crate) fn trip(
        &mut self,
        settings: &Settings,
        admission: Admission,
        action: Action,
        severity: f64,
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
            Action::Open => self.open(settings, hint, now),
            Action::Degrade if admission.when.generation() == self.generation => {
                let share = match self.phase {
                    Phase::Degraded { share, .. } => share,
                    _ => Share::new(self.share(settings, now)),
                };
                self.forget(settings, now);
                self.degrade(share.cut(severity), now);
            }
            Action::Degrade => {}
        }
    }

    /// There is reason to think that the service is back: it need not wait for its first probe.
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

    fn admission(&self, probe: u32) -> Admission {
        Admission { when: self.when(), probe }
    }

    fn turn(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation = if self.generation < LAST_ERA { self.generation + 1 } else { 1 };
        self.share_left = 1.0;
        if !self.flows() {
            self.period = self.generation;
        }
    }

    fn open(&mut self, settings: &Settings, hint: Option<Duration>, now: Duration) {
        self.forget(settings, now);
        self.opened += 1;
        let time = self.progress.next(&settings.open_for);
        let time = time.max(hint.unwrap_or_default().min(MAX_HINT));
        self.turn(Phase::Open { until: now.saturating_add(time) });
    }

    /// A good time ends, which may have been long enough.
    fn forget(&mut self, settings: &Settings, now: Duration) {
        let good = matches!(self.phase, Phase::Closed | Phase::Ramp { .. });
        if good && now.saturating_sub(self.closed_since) >= settings.forget_after {
            self.progress.restart();
        }
    }

    fn close(&mut self, settings: &Settings, now: Duration) {
        let phase =
            if settings.ramp.is_zero() { Phase::Closed } else { Phase::Ramp { since: now } };
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
    fn raise(&mut self, settings: &Settings, now: Duration, calm: impl FnOnce() -> Option<bool>) {
        let Phase::Degraded { share, since, admitted } = self.phase else { return };
        let passed = now.saturating_sub(since);
        if passed < settings.dwell {
            return;
        }
        let dwells = (passed.as_nanos() / settings.dwell.as_nanos().max(1)) as f64;
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
    fn expire(&mut self, settings: &Settings, passed: impl Fn(Duration) -> bool, now: Duration) {
        match &mut self.phase {
            Phase::HalfOpen { probes, .. } => {
                let hung = probes.values().filter(|lease| !lease.answered && passed(lease.until));
                match hung.map(|lease| lease.until).min() {
                    // it failed when its time was up, not when somebody looked
                    Some(at) => self.open(settings, None, at),
                    // who reads an answer slowly does not keep others from being probes
                    None => probes.retain(|_, lease| !passed(lease.until)),
                }
            }
            Phase::Ramp { since } if now >= since.saturating_add(settings.ramp) => {
                self.turn(Phase::Closed);
            }
            _ => {}
        }
    }
}

fn ramp_share(settings: &Settings, since: Duration, now: Duration) -> f64 {
    let passed = now.saturating_sub(since).as_secs_f64() / settings.ramp.as_secs_f64().max(1e-9);
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
