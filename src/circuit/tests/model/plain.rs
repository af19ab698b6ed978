//! The model: obviously right, and slow.

use super::counted::{Counted, Rule};
use super::{CallVerdict, CircuitState, End, Mode};

/// All in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) open: u64,
    pub(super) forget: u64,
    pub(super) trials: usize,
    pub(super) successes: u32,
    pub(super) lease: u64,
    pub(super) ramp: u64,
    pub(super) dwell: u64,
}

pub(super) const MOST_OPEN: u64 = 500;
const MOST_HINT: u64 = 60_000;

/// A call that was let through.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    Plain { period: u64, share: u64 },
    Trial { period: u64, number: u64 },
    Unwatched,
}

impl Call {
    pub(super) fn is_trial(self) -> bool {
        matches!(self, Self::Trial { .. })
    }

    pub(super) fn is_watched(self) -> bool {
        !matches!(self, Self::Unwatched)
    }
}

#[derive(Debug)]
pub(super) enum Asked {
    Passes(Call),
    Refused(Option<u64>),
}

#[derive(Clone, Debug)]
struct Trial {
    number: u64,
    until: u64,
    answered: bool,
}

#[derive(Clone, Debug)]
enum State {
    Closed,
    Degraded { share: f64, since: u64, admitted: bool },
    Open { until: u64 },
    HalfOpen { out: Vec<Trial>, good: u32, dropped: u32 },
    Ramp { since: u64 },
}

pub(super) struct Model {
    pub(super) now: u64,
    pub(super) mode: Mode,
    /// Good, bad, slow, without a verdict, refused.
    pub(super) counts: [u64; 5],
    pub(super) opened: u64,
    rules: Vec<Counted>,
    terms: Terms,
    state: State,
    /// The numbers of this period and of this share.
    period: u64,
    share: u64,
    /// The share that was too large the last time after it was raised.
    knee: Option<f64>,
    /// The share was raised since it was cut.
    rising: bool,
    /// The next open time, before a hint.
    next_open: u64,
    closed_at: u64,
    last_trial: u64,
    /// Parts of calls that may pass.
    credit: f64,
}

impl Model {
    pub(super) fn new(rules: Vec<Rule>, terms: Terms) -> Self {
        Self {
            now: 0,
            mode: Mode::Automatic,
            counts: [0; 5],
            opened: 0,
            rules: rules.into_iter().map(Counted::new).collect(),
            state: State::Closed,
            period: 0,
            share: 0,
            knee: None,
            rising: false,
            next_open: terms.open,
            closed_at: 0,
            last_trial: 0,
            credit: 1.0,
            terms,
        }
    }

    // What can be seen.

    pub(super) fn state(&self) -> CircuitState {
        match (self.mode, &self.state) {
            (Mode::ForcedOpen, _) => CircuitState::ForcedOpen,
            (Mode::ForcedClosed, _) => CircuitState::ForcedClosed,
            (_, State::Closed) => CircuitState::Closed,
            (_, State::Degraded { .. }) => CircuitState::Degraded,
            (_, State::Open { .. }) => CircuitState::Open,
            (_, State::HalfOpen { .. }) => CircuitState::HalfOpen,
            (_, State::Ramp { since }) if self.now < since + self.terms.ramp => CircuitState::Ramp,
            (_, State::Ramp { .. }) => CircuitState::Closed,
        }
    }

    pub(super) fn share(&self) -> f64 {
        match (self.mode, &self.state) {
            (Mode::ForcedOpen, _) => 0.0,
            (Mode::ForcedClosed, _) | (_, State::Closed) => 1.0,
            (_, State::Degraded { share, .. }) => *share,
            (_, State::Ramp { since }) => {
                let passed = (self.now - since) as f64 / 1_000.0;
                (passed / (self.terms.ramp as f64 / 1_000.0)).clamp(0.1, 1.0)
            }
            (_, State::Open { .. } | State::HalfOpen { .. }) => 0.0,
        }
    }

    pub(super) fn trials(&self) -> usize {
        if let State::HalfOpen { out, .. } = &self.state { out.len() } else { 0 }
    }

    pub(super) fn next_trial(&self) -> Option<u64> {
        match self.state {
            State::Open { until } => Some(until.saturating_sub(self.now)),
            _ => None,
        }
    }

    pub(super) fn windows(&self) -> Vec<(u64, u64)> {
        self.rules.iter().map(|rule| rule.window(self.now)).collect()
    }

    /// What is due at a known time.
    pub(super) fn due(&self) -> Vec<u64> {
        let mut due = match &self.state {
            State::Closed => vec![self.closed_at + self.terms.forget],
            State::Degraded { since, .. } => {
                [1, 2, 4].iter().map(|dwells| since + dwells * self.terms.dwell).collect()
            }
            State::Open { until } => vec![*until],
            State::HalfOpen { out, .. } => out.iter().map(|trial| trial.until).collect(),
            State::Ramp { since } => vec![since + self.terms.ramp, since + self.terms.ramp / 2],
        };
        due.extend(self.rules.iter().filter_map(Counted::due));
        due
    }

    fn is_slow(&self, how: End) -> bool {
        self.rules.iter().any(|rule| rule.is_slow(how))
    }

    // How one state follows another.

    /// Another share: each is judged by its own calls.
    fn begin_share(&mut self, state: State) {
        if !matches!(state, State::Degraded { .. }) {
            self.credit = 1.0;
            (self.knee, self.rising) = (None, false);
        }
        self.state = state;
        self.share += 1;
        let degrading = self.rules.iter_mut().filter(|rule| rule.degrades());
        degrading.for_each(Counted::clear);
    }

    /// Another period: nothing of before counts.
    fn begin_period(&mut self, state: State) {
        self.begin_share(state);
        self.period += 1;
        self.rules.iter_mut().for_each(Counted::clear);
    }

    fn open(&mut self, hint: u64, at: u64) {
        self.forget(at);
        let time = self.next_open.min(MOST_OPEN).max(hint.min(MOST_HINT));
        self.next_open = (self.next_open * 2).min(MOST_OPEN);
        self.opened += 1;
        self.begin_period(State::Open { until: at + time });
    }

    /// A good time that was long enough lets open times begin anew.
    fn forget(&mut self, at: u64) {
        let good = matches!(self.state, State::Closed | State::Ramp { .. });
        if good && at - self.closed_at >= self.terms.forget {
            self.next_open = self.terms.open;
        }
    }

    /// What time alone brings about. `late`: what is due just now is past.
    fn pass(&mut self, late: bool) {
        let now = self.now;
        let past = |until: u64| until < now || (late && until == now);
        match &mut self.state {
            State::HalfOpen { out, .. } => {
                let hung = out.iter().filter(|trial| !trial.answered && past(trial.until));
                if let Some(at) = hung.map(|trial| trial.until).min() {
                    self.open(0, at);
                } else {
                    out.retain(|trial| !past(trial.until));
                }
            }
            State::Ramp { since } if now >= *since + self.terms.ramp => {
                self.begin_share(State::Closed);
            }
            _ => {}
        }
    }

    /// Whether the calls of a share went well; none if none has ended.
    fn went_well(&self) -> Option<bool> {
        let rules = || self.rules.iter().filter(|rule| rule.degrades());
        let ended = rules().any(|rule| rule.window(self.now).0 > 0);
        ended.then(|| !rules().any(|rule| rule.is_over(self.now)))
    }

    fn raise(&mut self) {
        let State::Degraded { share, since, admitted } = self.state else { return };
        let dwells = (self.now - since) / self.terms.dwell;
        let steps = match self.went_well() {
            _ if dwells == 0 => 0,
            Some(well) => well.into(),
            None if !admitted => dwells,
            None => u64::from(dwells >= 4),
        };
        if steps == 0 {
            return;
        }
        let idle = !admitted && self.went_well().is_none();
        if idle {
            self.knee = None;
        }
        let near =
            self.knee.map(|knee| share / knee).is_some_and(|near| (0.8..1.1).contains(&near));
        let share = share + if near { 0.01 } else { 0.05 * steps as f64 };
        if share > 0.975 {
            self.begin_share(State::Closed);
            self.closed_at = self.now;
        } else {
            self.begin_share(State::Degraded { share, since: self.now, admitted: false });
            self.rising = true;
        }
    }

    // What happens.

    pub(super) fn ask(&mut self) -> Asked {
        let asked = self.ask_rules();
        match (asked, self.mode) {
            (Asked::Refused(_), Mode::ObserveOnly) => Asked::Passes(Call::Unwatched),
            (Asked::Refused(after), _) => {
                self.counts[4] += 1;
                Asked::Refused(after)
            }
            (passes, _) => passes,
        }
    }

    fn ask_rules(&mut self) -> Asked {
        if self.mode == Mode::ForcedOpen {
            return Asked::Refused(None);
        }
        self.pass(true);
        match self.state {
            State::Open { until } if self.now >= until => {
                self.begin_period(State::HalfOpen { out: Vec::new(), good: 0, dropped: 0 });
            }
            State::Degraded { .. } => self.raise(),
            _ => {}
        }
        let share = self.share();
        let mut passes = || {
            self.credit += share;
            let passes = self.credit >= 1.0;
            self.credit -= if passes { 1.0 } else { 0.0 };
            passes
        };
        match &mut self.state {
            State::Open { until } => return Asked::Refused(Some(*until - self.now)),
            State::HalfOpen { out, .. } => {
                if out.len() == self.terms.trials {
                    return Asked::Refused(None);
                }
                self.last_trial += 1;
                let number = self.last_trial;
                out.push(Trial { number, until: self.now + self.terms.lease, answered: false });
                return Asked::Passes(Call::Trial { period: self.period, number });
            }
            State::Closed => {}
            State::Degraded { admitted, .. } => {
                if !passes() {
                    return Asked::Refused(None);
                }
                *admitted = true;
            }
            State::Ramp { .. } => {
                if !passes() {
                    return Asked::Refused(None);
                }
            }
        }
        Asked::Passes(Call::Plain { period: self.period, share: self.share })
    }

    pub(super) fn head(&mut self, call: Call) {
        self.pass(false);
        let until = self.now + self.terms.lease;
        if let (Call::Trial { number, .. }, State::HalfOpen { out, .. }) = (call, &mut self.state) {
            if let Some(trial) = out.iter_mut().find(|trial| trial.number == number) {
                *trial = Trial { number, until, answered: true };
            }
        }
    }

    pub(super) fn end(&mut self, call: Call, how: End) {
        let kind = match how.verdict {
            CallVerdict::Good => 0,
            CallVerdict::Bad => 1,
            CallVerdict::Neutral | CallVerdict::Dropped => 3,
        };
        self.counts[kind] += 1;
        match call {
            Call::Plain { period, share } if kind < 3 => self.end_plain(period, share, how),
            Call::Trial { period, number } => self.end_trial(period, number, how),
            Call::Plain { .. } | Call::Unwatched => {}
        }
    }

    fn end_plain(&mut self, period: u64, share: u64, how: End) {
        if period != self.period {
            return;
        }
        self.counts[2] += u64::from(self.is_slow(how));
        let (now, of_this_share) = (self.now, share == self.share);
        let counts = |rule: &Counted| !rule.degrades() || of_this_share;
        self.rules.iter_mut().filter(|rule| counts(rule)).for_each(|rule| rule.count(now, how));
        if self.mode == Mode::ForcedClosed {
            return;
        }
        let reached = self.rules.iter().filter(|rule| counts(rule) && rule.is_reached(now));
        let (soft, hard): (Vec<_>, Vec<_>) = reached.partition(|rule| rule.degrades());
        let worst = soft.iter().map(|rule| rule.severity(now)).max_by(f64::total_cmp);
        if !hard.is_empty() {
            let hint = how.hint.map_or(0, |hint| hint.as_millis() as u64);
            self.open(hint, self.now);
        } else if let Some(severity) = worst {
            if self.rising {
                (self.knee, self.rising) = (Some(self.share()), false);
            }
            let share = (self.share() * (0.9 - 0.4 * severity)).max(0.05);
            self.forget(self.now);
            self.begin_share(State::Degraded { share, since: self.now, admitted: false });
        }
    }

    fn end_trial(&mut self, period: u64, number: u64, how: End) {
        let slow = self.is_slow(how);
        self.counts[2] += u64::from(slow);
        self.pass(false);
        if period != self.period {
            return;
        }
        let State::HalfOpen { out, good, dropped } = &mut self.state else { return };
        out.retain(|trial| trial.number != number);
        match how.verdict {
            CallVerdict::Good if !slow => {
                *good += 1;
                *dropped = 0;
                if *good == self.terms.successes {
                    self.closed_at = self.now;
                    let state = match self.terms.ramp {
                        0 => State::Closed,
                        _ => State::Ramp { since: self.now },
                    };
                    self.begin_period(state);
                }
            }
            CallVerdict::Good | CallVerdict::Bad => {
                let hint = how.hint.map_or(0, |hint| hint.as_millis() as u64);
                self.open(hint, self.now);
            }
            CallVerdict::Neutral => *dropped = 0,
            CallVerdict::Dropped => {
                *dropped += 1;
                if *dropped == 3 {
                    self.open(0, self.now);
                }
            }
        }
    }

    pub(super) fn reset(&mut self, mode: Mode) {
        self.mode = mode;
        self.next_open = self.terms.open;
        self.closed_at = self.now;
        self.begin_period(State::Closed);
    }
}
