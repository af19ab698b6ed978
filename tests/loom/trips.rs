//! Failures of two threads that reach a rule together.

use crate::calls::{self, OPEN_FOR};
use crate::trip::{Consecutive, Failures, TripRule};
use loom::thread;
use std::time::Duration;

const SLICE: Duration = Duration::from_millis(100);

/// Two threads fail while a third one asks.
fn opens_once(rule: impl Into<TripRule>, at: [Duration; 2]) {
    let circuit = calls::circuit(rule, 1, 1);
    let failing = at.map(|at| {
        let circuit = circuit.clone();
        let admitted = calls::ask(&circuit, Duration::ZERO).unwrap();
        thread::spawn(move || {
            let change = calls::fail(&circuit, admitted, at);
            let opened = calls::opens(change);
            if opened {
                assert!(calls::ask(&circuit, at).is_none(), "let through by whom it just refused");
            }
            change.filter(|_| opened).map(|change| at + change.next_trial.unwrap())
        })
    });
    let now = at[0].max(at[1]);
    let asked = calls::ask(&circuit, now);
    let trials = asked.is_some_and(|admission| admission.is_trial());
    assert!(!trials, "a trial before the open time is over");
    if asked.is_none() {
        assert!(circuit.free().is_none(), "let through after it was refused");
    }

    let opened = failing.map(|failing| failing.join().unwrap());
    let until: Vec<_> = opened.into_iter().flatten().collect();
    assert_eq!(until.len(), 1, "it opens once");
    let until = until[0];
    assert!(at.contains(&(until - OPEN_FOR)));
    assert_eq!(circuit.snapshot(now).opened, 1);
    assert!(calls::ask(&circuit, until - Duration::from_nanos(1)).is_none());
    assert!(calls::ask(&circuit, until).is_some_and(|admission| admission.is_trial()));
}

/// E3, F3, F4
pub(crate) fn two_failures_at_the_edge_of_a_slice_open_the_circuit_once() {
    let rule = Failures::count::<2>().within(2 * SLICE).buckets(2);
    opens_once(rule, [SLICE - Duration::from_nanos(1), SLICE]);
}

/// E3, F3, F4
pub(crate) fn two_failures_in_one_slice_open_the_circuit_once() {
    let rule = Failures::count::<2>().within(2 * SLICE).buckets(2);
    opens_once(rule, [SLICE, SLICE]);
}

/// E3, F3, F4
pub(crate) fn two_failures_in_a_row_open_the_circuit_once() {
    opens_once(Consecutive::count::<2>(), [SLICE, SLICE]);
}
