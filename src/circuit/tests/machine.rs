//! The states alone: each line of their table.

use super::super::machine::Machine;
use super::super::tally::Reached;
use super::*;
use crate::trip::Action;
use CircuitState::{Closed, Degraded, ForcedClosed, ForcedOpen, HalfOpen, Open, Ramp};

/// A machine, what it was told, and its time.
pub(super) struct Steps {
    machine: Machine,
    config: CircuitConfig,
    now: Duration,
}

impl Steps {
    pub(super) fn new(config: CircuitConfig) -> Self {
        Self::beginning_at(config, 1)
    }

    fn beginning_at(config: CircuitConfig, first: Era) -> Self {
        Self { machine: Machine::new(3, first, Duration::ZERO), config, now: Duration::ZERO }
    }

    pub(super) fn wait(&mut self, time: Duration) -> &mut Self {
        self.now = self.now.saturating_add(time);
        self
    }

    pub(super) fn state(&self) -> CircuitState {
        self.machine.state(&self.config, self.now)
    }

    pub(super) fn share(&self) -> f64 {
        self.machine.share(&self.config, self.now)
    }

    /// A call asks, while the calls of its share were `calm`.
    pub(super) fn admit_if(&mut self, calm: Option<bool>) -> Result<Admission, Refused> {
        self.machine.admit(&self.config, self.now, || calm)
    }

    pub(super) fn admit(&mut self) -> Result<Admission, Refused> {
        self.admit_if(None)
    }

    #[track_caller]
    pub(super) fn trial(&mut self) -> Admission {
        let trial = self.admit().expect("let through");
        assert!(trial.is_trial());
        trial
    }

    pub(super) fn trial_ended(&mut self, trial: Admission, verdict: CallVerdict) -> CircuitState {
        self.machine.trial_ended(&self.config, trial, verdict, None, self.now);
        self.state()
    }

    /// A call that was just let through, or one of before, reaches a rule.
    pub(super) fn trip_by(
        &mut self,
        call: Admission,
        action: Action,
        severity: f64,
        hint: Option<Duration>,
    ) -> CircuitState {
        self.machine.trip(&self.config, call, Reached { action, severity }, hint, self.now);
        self.state()
    }

    pub(super) fn trip(&mut self, action: Action) -> CircuitState {
        let call = Admission { when: self.machine.when(), trial: 0 };
        self.trip_by(call, action, 1.0, None)
    }

    pub(super) fn reset(&mut self, mode: Mode) -> CircuitState {
        self.machine.reset(mode, self.now);
        self.state()
    }

    /// Opens, and waits until a trial may come.
    pub(super) fn until_trials(&mut self) -> &mut Self {
        assert_eq!(self.trip(Action::Open), Open);
        self.wait_out()
    }

    /// Waits for the open time to be over.
    pub(super) fn wait_out(&mut self) -> &mut Self {
        let left = self.open_time();
        self.wait(left)
    }

    /// What is left of it.
    pub(super) fn open_time(&self) -> Duration {
        self.machine.next_trial(self.now).expect("open")
    }

    /// In the state of this name.
    fn when(state: CircuitState) -> Self {
        let mut steps = Self::new(CircuitConfig { ramp: secs(10), ..trial_closes() });
        match state {
            Closed => {}
            Degraded => drop(steps.trip(Action::Degrade)),
            Open => drop(steps.trip(Action::Open)),
            HalfOpen => drop(steps.until_trials().trial()),
            Ramp => {
                let trial = steps.until_trials().trial();
                steps.trial_ended(trial, CallVerdict::Good);
            }
            ForcedOpen => drop(steps.reset(Mode::ForcedOpen)),
            ForcedClosed => drop(steps.reset(Mode::ForcedClosed)),
        }
        assert_eq!(steps.state(), state);
        steps
    }
}

#[test]
fn a_rule_that_opens_does_so_wherever_calls_flow() {
    for state in [Closed, Degraded, Ramp] {
        assert_eq!(Steps::when(state).trip(Action::Open), Open, "from {state:?}");
    }
    for state in [Open, HalfOpen, ForcedOpen, ForcedClosed] {
        let mut steps = Steps::when(state);
        let before = steps.machine.when();
        assert_eq!(steps.trip(Action::Open), state);
        assert_eq!(steps.machine.when(), before, "nothing has changed");
    }
}

#[test]
fn a_rule_that_degrades_makes_the_share_smaller_wherever_calls_flow() {
    for state in [Closed, Degraded, Ramp] {
        let mut steps = Steps::when(state);
        steps.wait(secs(5));
        let before = steps.share();
        assert_eq!(steps.trip(Action::Degrade), Degraded, "from {state:?}");
        assert!((steps.share() - before / 2.0).abs() < 1e-9, "from {state:?}");
    }
    for state in [Open, HalfOpen, ForcedOpen, ForcedClosed] {
        assert_eq!(Steps::when(state).trip(Action::Degrade), state);
    }
}

/// F4
#[test]
fn no_trial_is_let_through_before_the_open_time_is_over() {
    let mut steps = Steps::when(Open);
    steps.wait(ms(400));
    let refused = steps.admit().unwrap_err();
    assert_eq!(refused, Refused { state: Open, retry_after: Some(ms(600)) });
    steps.wait(ms(600) - Duration::from_nanos(1));
    assert_eq!(steps.admit().unwrap_err().retry_after, Some(Duration::from_nanos(1)));
    steps.wait(Duration::from_nanos(1));
    steps.trial();
    assert_eq!(steps.state(), HalfOpen);
}

#[test]
fn enough_good_trials_lead_to_the_ramp_or_close_where_there_is_none() {
    for (ramp, end) in [(secs(10), Ramp), (Duration::ZERO, Closed)] {
        let mut steps = Steps::new(CircuitConfig { ramp, ..plainly() });
        let first = steps.until_trials().trial();
        assert_eq!(steps.trial_ended(first, CallVerdict::Good), HalfOpen, "one of two");
        let second = steps.trial();
        assert_eq!(steps.trial_ended(second, CallVerdict::Good), end);
    }
}

#[test]
fn a_failed_trial_opens_for_the_whole_open_time_again() {
    let mut steps = Steps::when(HalfOpen);
    let trial = Admission { when: steps.machine.when(), trial: 1 };
    steps.wait(ms(500));
    assert_eq!(steps.trial_ended(trial, CallVerdict::Bad), Open);
    assert_eq!(steps.open_time(), secs(1));
}

/// F1: more of them than there are permits
#[test]
fn a_trial_that_says_nothing_gives_its_permit_back_and_decides_nothing() {
    let mut steps = Steps::new(plainly());
    steps.until_trials();
    for verdict in
        [CallVerdict::Neutral, CallVerdict::Dropped, CallVerdict::Neutral, CallVerdict::Dropped]
    {
        let trial = steps.trial();
        assert_eq!(steps.admit().unwrap_err(), Refused { state: HalfOpen, retry_after: None });
        assert_eq!(steps.trial_ended(trial, verdict), HalfOpen);
        assert_eq!(steps.machine.trials(), 0);
    }
}

#[test]
fn the_third_trial_in_a_row_that_is_dropped_opens() {
    for answer in [CallVerdict::Neutral, CallVerdict::Good] {
        let mut steps = Steps::new(plainly());
        steps.until_trials();
        for verdict in [
            CallVerdict::Dropped,
            CallVerdict::Dropped,
            answer,
            CallVerdict::Dropped,
            CallVerdict::Dropped,
        ] {
            let trial = steps.trial();
            assert_eq!(steps.trial_ended(trial, verdict), HalfOpen);
        }
        let trial = steps.trial();
        assert_eq!(steps.trial_ended(trial, CallVerdict::Dropped), Open, "{answer:?} came between");
    }
}

/// F3; resilience4j, `CircuitBreakerStateMachineTest`: 4 of 6 are let through, and one for one that ended
#[test]
fn there_are_never_more_trials_than_asked_for() {
    let mut steps = Steps::new(CircuitConfig { trials: 4, successes: 4, ..plainly() });
    steps.until_trials();
    let trials: Vec<_> = (0..4).map(|_| steps.trial()).collect();
    assert!((0..2).all(|_| steps.admit().is_err()));
    assert_eq!(steps.trial_ended(trials[1], CallVerdict::Neutral), HalfOpen);
    steps.trial();
    assert!(steps.admit().is_err());
    assert_eq!(steps.machine.trials(), 4);
}

#[test]
fn a_hung_trial_fails_when_its_time_is_up() {
    let mut steps = Steps::when(HalfOpen);
    steps.wait(secs(1) - Duration::from_nanos(1));
    assert_eq!(steps.admit().unwrap_err().state, HalfOpen);
    steps.wait(Duration::from_nanos(1));
    assert_eq!(steps.admit().unwrap_err(), Refused { state: Open, retry_after: Some(secs(1)) });

    let mut steps = Steps::when(HalfOpen);
    steps.wait(ms(1_700));
    let refused = steps.admit().unwrap_err();
    assert_eq!(refused.retry_after, Some(ms(300)), "counted from its time, not from this look");

    let mut steps = Steps::when(HalfOpen);
    steps.wait(secs(2));
    steps.trial();
    assert_eq!(steps.state(), HalfOpen, "it has been open for a second since");
}

/// D16
#[test]
fn a_trial_that_ends_in_the_moment_of_its_timeout_is_in_time() {
    let mut steps = Steps::new(trial_closes());
    let trial = steps.until_trials().trial();
    steps.wait(secs(1));
    assert_eq!(steps.trial_ended(trial, CallVerdict::Good), Closed);

    let mut steps = Steps::new(trial_closes());
    let trial = steps.until_trials().trial();
    steps.wait(secs(1) + Duration::from_nanos(1));
    assert_eq!(steps.trial_ended(trial, CallVerdict::Good), Open);
}

/// F1: its reader may take as long as it likes
#[test]
fn the_head_of_an_answer_gives_a_trial_its_time_anew_and_then_frees_its_place() {
    let mut steps = Steps::new(plainly());
    let slow = steps.until_trials().trial();
    steps.wait(secs(1));
    steps.machine.answered(&steps.config, slow, steps.now);
    steps.wait(ms(999));
    assert!(steps.admit().is_err(), "its place is taken");
    steps.wait(ms(1));
    let other = steps.trial();
    assert_eq!(steps.state(), HalfOpen, "it decided nothing");
    assert_eq!(steps.machine.trials(), 1);
    assert_eq!(steps.trial_ended(other, CallVerdict::Good), HalfOpen);
    steps.wait(secs(3_600));
    assert_eq!(steps.trial_ended(slow, CallVerdict::Good), Closed, "its end still tells something");
}

/// D16
#[test]
fn a_head_that_comes_after_the_time_of_its_trial_does_not_help_it() {
    let mut steps = Steps::new(trial_closes());
    let trial = steps.until_trials().trial();
    steps.wait(ms(1_001));
    steps.machine.answered(&steps.config, trial, steps.now);
    assert_eq!(steps.state(), Open);
    assert_eq!(steps.open_time(), ms(999));
}

/// F2
#[test]
fn a_trial_of_an_earlier_half_open_time_changes_nothing() {
    for verdict in [CallVerdict::Good, CallVerdict::Bad, CallVerdict::Dropped] {
        let mut steps = Steps::new(CircuitConfig { trials: 2, successes: 1, ..plainly() });
        let (late, bad) = (steps.until_trials().trial(), steps.trial());
        assert_eq!(steps.trial_ended(bad, CallVerdict::Bad), Open);
        assert_eq!(steps.trial_ended(late, verdict), Open);
        steps.wait_out().trial();
        for _ in 0..5 {
            assert_eq!(steps.trial_ended(late, verdict), HalfOpen);
            assert_eq!(steps.machine.trials(), 1);
        }
    }
}

/// F2
#[test]
fn a_call_of_an_earlier_period_reaches_no_rule() {
    let mut steps = Steps::new(trial_closes());
    let early = steps.admit().unwrap();
    let trial = steps.until_trials().trial();
    assert_eq!(steps.trial_ended(trial, CallVerdict::Good), Closed);
    for action in [Action::Open, Action::Degrade] {
        assert_eq!(steps.trip_by(early, action, 1.0, None), Closed);
        assert_eq!(steps.trip_by(trial, action, 1.0, None), Closed);
    }
}

/// F2
#[test]
fn a_call_of_an_earlier_share_can_open_but_not_degrade() {
    let mut steps = Steps::new(plainly());
    let early = steps.admit().unwrap();
    assert_eq!(steps.trip(Action::Degrade), Degraded);
    let share = steps.share();
    assert_eq!(steps.trip_by(early, Action::Degrade, 1.0, None), Degraded);
    assert_eq!(steps.share(), share);
    assert_eq!(steps.trip_by(early, Action::Open, 1.0, None), Open);
}

/// F10
#[test]
fn a_forced_state_lasts_until_it_is_changed() {
    for from in [Closed, Degraded, Open, HalfOpen, Ramp] {
        let mut steps = Steps::when(from);
        let call = Admission { when: steps.machine.when(), trial: 1 };
        assert_eq!(steps.reset(Mode::ForcedOpen), ForcedOpen);
        for _ in 0..10 {
            steps.wait(secs(86_400));
            steps.trial_ended(call, CallVerdict::Good);
            let refused = steps.admit().unwrap_err();
            assert_eq!(refused, Refused { state: ForcedOpen, retry_after: None });
        }
        assert!(!steps.machine.is_free() && !steps.machine.flows());

        assert_eq!(steps.reset(Mode::ForcedClosed), ForcedClosed);
        for action in [Action::Open, Action::Degrade] {
            assert_eq!(steps.trip(action), ForcedClosed);
            assert!(steps.admit().is_ok() && steps.machine.is_free());
        }
        assert_eq!(steps.reset(Mode::Automatic), Closed);
        assert_eq!(steps.trip(Action::Open), Open);
    }
}

/// F10
#[test]
fn a_circuit_that_is_only_observed_refuses_nobody_and_still_changes() {
    let mut steps = Steps::new(trial_closes());
    steps.reset(Mode::ObserveOnly);
    assert_eq!(steps.trip(Action::Open), Open);
    assert_eq!(steps.admit(), Ok(Admission::UNWATCHED));
    let trial = steps.wait_out().trial();
    assert_eq!(steps.state(), HalfOpen);
    assert_eq!(steps.admit(), Ok(Admission::UNWATCHED));
    assert_eq!(steps.trial_ended(trial, CallVerdict::Good), Closed);
    steps.trip(Action::Degrade);
    let (unwatched, counted): (Vec<_>, Vec<_>) =
        (0..20).map(|_| steps.admit().unwrap()).partition(|call| *call == Admission::UNWATCHED);
    assert_eq!((unwatched.len(), counted.len()), (9, 11));
}

#[test]
fn a_reset_closes_from_every_state_and_begins_everything_anew() {
    for from in [Closed, Degraded, Open, HalfOpen, Ramp, ForcedOpen, ForcedClosed] {
        let mut steps = Steps::when(from);
        let before = steps.machine.when();
        assert_eq!(steps.reset(Mode::Automatic), Closed, "from {from:?}");
        let after = steps.machine.when();
        assert!(before.generation() != after.generation() && before.period() != after.period());
        assert_eq!((steps.share(), steps.machine.trials()), (1.0, 0));
        assert!(steps.machine.is_free() && steps.machine.flows());
    }
}

/// E1
#[test]
fn periods_go_on_through_the_end_of_their_count() {
    for first in (0..8).map(|n| crate::window::LAST_ERA - n) {
        let mut steps = Steps::beginning_at(trial_closes(), first);
        let mut calls: Vec<Admission> = Vec::new();
        for _ in 0..4 {
            let call = steps.admit().unwrap();
            assert!(call.when.period() != 0 && call.when.generation() != 0);
            for early in &calls {
                assert_eq!(steps.trip_by(*early, Action::Open, 1.0, None), Closed);
            }
            let trial = steps.until_trials().trial();
            for early in &calls {
                assert_eq!(steps.trial_ended(*early, CallVerdict::Bad), HalfOpen);
            }
            assert_eq!(steps.trial_ended(trial, CallVerdict::Good), Closed);
            calls.extend([call, trial]);
        }
    }
}
