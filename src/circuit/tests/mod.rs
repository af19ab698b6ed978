//! The circuit without a service: what its rules count, how its states follow, and a plain model of both.

mod machine;
mod model;
mod recovery;
mod rules;
mod threads;

use super::*;
use crate::backoff::{Backoff, Jitter};
use crate::ratio::Ratio;
use crate::trip::TripRule;
use crate::window::Era;
use std::num::NonZeroU32;
use std::time::Duration;

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn ratio(share: f64) -> Ratio {
    Ratio::new(share).unwrap()
}

/// One second of waiting, each time; two trials' successes close it.
fn plainly() -> CircuitConfig {
    CircuitConfig { open_for: steadily(secs(1)), ..CircuitConfig::default() }
}

fn steadily(time: Duration) -> Backoff {
    Backoff::constant(time).jitter(Jitter::None)
}

fn trial_closes() -> CircuitConfig {
    CircuitConfig { successes: 1, ..plainly() }
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    verdict: CallVerdict,
    /// How long its head and all of it took.
    took: Option<(Duration, Duration)>,
    hint: Option<Duration>,
}

const GOOD: End = End { verdict: CallVerdict::Good, took: None, hint: None };
const BAD: End = End { verdict: CallVerdict::Bad, took: None, hint: None };
const NEUTRAL: End = End { verdict: CallVerdict::Neutral, took: None, hint: None };
const DROPPED: End = End { verdict: CallVerdict::Dropped, took: None, hint: None };

impl End {
    fn after(self, took: Duration) -> Self {
        Self { took: Some((took, took)), ..self }
    }
}

/// What the layer does with the end of a call.
fn end(circuit: &Circuit, admission: Admission, end: End, now: Duration) -> Option<Change> {
    let look = match end.verdict {
        CallVerdict::Good => match circuit.window() {
            // the way of most circuits
            Some(window) => {
                let slices = now.as_nanos() / window.slice().as_nanos();
                circuit.succeeded_in(&window, &admission, admission.slice(slices as u64))
            }
            None => circuit.succeeded(admission, end.took, now),
        },
        CallVerdict::Bad => circuit.failed(admission, end.took, now),
        CallVerdict::Neutral | CallVerdict::Dropped => {
            circuit.said_nothing();
            false
        }
    };
    if admission.is_trial() {
        circuit.trial_ended(admission, end.verdict, end.took, end.hint, now)
    } else if look {
        circuit.look(admission, end.hint, now)
    } else {
        None
    }
}

/// What the layer does with the beginning of a call.
fn begin(circuit: &Circuit, now: Duration) -> Result<Admission, Refused> {
    circuit.free().map_or_else(|| circuit.admit(now).0, Ok)
}

/// A number that is known not to be zero.
fn nonzero(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

/// A circuit and its time.
struct Bench {
    circuit: Circuit,
    now: Duration,
}

impl Bench {
    fn new(rules: &[TripRule], config: CircuitConfig) -> Self {
        Self { circuit: Circuit::new(rules, config, 7, false), now: Duration::ZERO }
    }

    fn state(&self) -> CircuitState {
        self.circuit.state(self.now)
    }

    fn share(&self) -> f64 {
        self.circuit.snapshot(self.now).share
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    fn begin(&self) -> Result<Admission, Refused> {
        begin(&self.circuit, self.now)
    }

    #[track_caller]
    fn admitted(&self) -> Admission {
        self.begin().expect("let through")
    }

    fn end(&self, admission: Admission, how: End) -> Option<Change> {
        end(&self.circuit, admission, how, self.now)
    }

    /// Calls that end at once, and are let through.
    #[track_caller]
    fn calls(&self, count: u32, how: End) -> CircuitState {
        for _ in 0..count {
            self.end(self.admitted(), how);
        }
        self.state()
    }
}
