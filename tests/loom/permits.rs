//! A half-open circuit that several callers ask at once.

use crate::calls::{self, LATER, MUCH_LATER};
use crate::circuit::Circuit;
use crate::trip::Consecutive;
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU32 as Shared;
use loom::thread;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// A circuit whose open time is over at [`LATER`].
fn tripped(trials: u32, successes: u32) -> Arc<Circuit> {
    let circuit = calls::circuit(Consecutive::count::<1>(), trials, successes);
    let admitted = calls::ask(&circuit, Duration::ZERO).unwrap();
    assert!(calls::opens(calls::fail(&circuit, admitted, Duration::ZERO)));
    circuit
}

/// How a trial ends.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    Well,
    GivenUp,
    /// Nobody is told.
    Forgotten,
}

/// The service that is trial_ended.
struct Service {
    /// How many trials are inside; counted where loom does not see it.
    inside: AtomicU32,
    limit: u32,
    /// What all of them do, so that loom lets others go before it.
    work: Shared,
}

impl Service {
    /// Returns whether a permit was taken.
    fn call(&self, circuit: &Circuit, ends: Ends) -> bool {
        let Some(admission) = calls::ask(circuit, LATER) else { return false };
        if !admission.is_trial() {
            return false;
        }
        let inside = self.inside.fetch_add(1, Relaxed) + 1;
        assert!(inside <= self.limit, "{inside} trials, and {} are allowed", self.limit);
        self.work.fetch_add(1, Relaxed);
        match ends {
            // whoever is never told of holds the place until its time is over
            Ends::Forgotten => return true,
            Ends::Well | Ends::GivenUp => self.inside.fetch_sub(1, Relaxed),
        };
        match ends {
            Ends::Well => calls::succeed(circuit, admission, LATER),
            _ => calls::give_up(circuit, admission, LATER),
        };
        true
    }
}

fn never_more_than(trials: u32, successes: u32) {
    let circuit = tripped(trials, successes);
    let service = Service { inside: AtomicU32::new(0), limit: trials, work: Shared::new(0) };
    let service = Arc::new(service);
    let others = [[Ends::Well, Ends::GivenUp], [Ends::GivenUp, Ends::Well]].map(|ends| {
        let (circuit, service) = (circuit.clone(), service.clone());
        thread::spawn(move || ends.map(|ends| service.call(&circuit, ends)).contains(&true))
    });
    let forgotten = service.call(&circuit, Ends::Forgotten);
    let trial_ended = others.map(|other| other.join().unwrap());
    assert!(forgotten || trial_ended.contains(&true), "the open time is over, and nobody got in");
    if !forgotten || trials > 1 {
        assert!(calls::ask(&circuit, LATER).is_some(), "all places are free but that of one");
    }
    assert!(calls::ask(&circuit, MUCH_LATER).is_some(), "no place is taken for ever");
}

/// A4, A11, F1, F3, and G5 for permits
pub(crate) fn one_trial_is_inside_at_most_and_its_permit_comes_back() {
    never_more_than(1, 2);
}

/// A4, A11, F1, F3, and G5 for permits
pub(crate) fn two_trials_are_inside_at_most_and_their_permits_come_back() {
    never_more_than(2, 2);
}

/// F5
pub(crate) fn what_a_trial_did_is_seen_by_those_admitted_after_it() {
    let circuit = tripped(1, 1);
    let done = Rc::new(UnsafeCell::new(()));
    let trial = calls::ask(&circuit, LATER).unwrap();
    let others = [(), ()].map(|()| {
        let (circuit, done) = (circuit.clone(), done.clone());
        thread::spawn(move || {
            if calls::ask(&circuit, LATER).is_some() {
                // loom complains when that is no later than what the trial did
                done.with(|_| ());
            }
        })
    });
    done.with_mut(|_| ());
    calls::succeed(&circuit, trial, LATER);
    others.into_iter().for_each(|other| other.join().unwrap());
}
