//! Answers that come when their time is over.

use crate::calls::{self, LATER, OPEN_FOR};
use crate::circuit::{Admission, Change, Circuit, CircuitState};
use crate::trip::{Consecutive, Failures};
use loom::thread;
use std::num::NonZeroU32;
use std::time::Duration;

const EARLY: Duration = Duration::ZERO;

/// So many calls were let through after the circuit had opened, and went well.
#[derive(Default)]
struct Calls {
    trials: u32,
    others: u64,
}

impl Calls {
    /// `before`: what calls got before it opened.
    fn make(&mut self, circuit: &Circuit, before: Admission) {
        let Some(admission) = calls::ask(circuit, LATER) else { return };
        if admission == before {
            calls::succeed(circuit, admission, EARLY);
            return;
        }
        calls::succeed(circuit, admission, LATER);
        if admission.is_trial() {
            self.trials += 1;
        } else {
            self.others += 1;
        }
    }
}

/// One thread trips the circuit and asks later again, as another one does, while a third one ends a call
/// that was admitted before all that.
fn changes_nothing(late: fn(&Circuit, Admission, Duration) -> Option<Change>) {
    let circuit =
        calls::circuit(Failures::count::<1>().last(const { NonZeroU32::new(4).unwrap() }), 1, 2);
    let before = calls::ask(&circuit, EARLY).unwrap();
    let answered_late = {
        let circuit = circuit.clone();
        thread::spawn(move || late(&circuit, before, EARLY))
    };
    let tripping = {
        let circuit = circuit.clone();
        thread::spawn(move || {
            calls::fail(&circuit, before, EARLY);
            let mut calls = Calls::default();
            calls.make(&circuit, before);
            calls.make(&circuit, before);
            calls
        })
    };
    let mut calls = Calls::default();
    calls.make(&circuit, before);
    let others = tripping.join().unwrap();
    answered_late.join().unwrap();

    let seen = circuit.snapshot(LATER);
    assert_eq!((seen.state, seen.trials), (after(calls.trials + others.trials), 0));
    assert_eq!(seen.opened, 1);
    assert_eq!((seen.rules[0].calls, seen.rules[0].hits), (calls.others + others.others, 0));
}

/// Where so many good trials bring a circuit that has opened.
fn after(trials: u32) -> CircuitState {
    match trials {
        0 => CircuitState::Open,
        1 => CircuitState::HalfOpen,
        _ => CircuitState::Closed,
    }
}

/// F2
pub(crate) fn a_failure_from_before_the_trip_changes_nothing() {
    changes_nothing(calls::fail);
}

/// F2
pub(crate) fn a_success_from_before_the_trip_changes_nothing() {
    changes_nothing(calls::succeed);
}

/// A12, F2
pub(crate) fn a_trial_that_was_overtaken_changes_nothing() {
    let circuit = calls::circuit(Consecutive::count::<1>(), 1, 2);
    let first = calls::ask(&circuit, EARLY).unwrap();
    calls::fail(&circuit, first, EARLY);
    let hung = calls::ask(&circuit, EARLY + OPEN_FOR).unwrap();
    assert!(hung.is_trial());

    let answered_late = {
        let circuit = circuit.clone();
        thread::spawn(move || calls::succeed(&circuit, hung, LATER))
    };
    let other = {
        let circuit = circuit.clone();
        thread::spawn(move || {
            let mut calls = Calls::default();
            calls.make(&circuit, first);
            calls.trials
        })
    };
    let mut calls = Calls::default();
    calls.make(&circuit, first);
    let trials = calls.trials + other.join().unwrap();
    answered_late.join().unwrap();

    let seen = circuit.snapshot(LATER);
    assert!(trials >= 1, "the hung trial's time was over");
    assert_eq!((seen.state, seen.trials), (after(trials), 0));
}
