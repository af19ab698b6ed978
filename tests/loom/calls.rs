//! Calls through a circuit: the only place of the models that knows how the circuit is told of them.

use crate::backoff::{Backoff, Jitter};
use crate::circuit::{Admission, CallVerdict, Change, Circuit, CircuitConfig, CircuitState};
use crate::sync::{Plant, is_planted};
use crate::trip::TripRule;
use std::sync::Arc;
use std::time::Duration;

/// For so long the circuits are open.
pub(crate) const OPEN_FOR: Duration = Duration::from_secs(1);
/// A time at which a circuit that opened in the first second lets a trial through.
pub(crate) const LATER: Duration = Duration::from_secs(5);
/// All that was forgotten has run out by then.
pub(crate) const MUCH_LATER: Duration = Duration::from_secs(500);

pub(crate) fn circuit(rule: impl Into<TripRule>, trials: u32, successes: u32) -> Arc<Circuit> {
    let open_for = Backoff::constant(OPEN_FOR).jitter(Jitter::None);
    let config = CircuitConfig { open_for, trials, successes, ..CircuitConfig::default() };
    Arc::new(Circuit::new(&[rule.into()], config, 1, false))
}

/// Asks as a service does.
pub(crate) fn ask(circuit: &Circuit, now: Duration) -> Option<Admission> {
    circuit.free().or_else(|| circuit.admit(now).0.ok())
}

pub(crate) fn succeed(circuit: &Circuit, admission: Admission, now: Duration) -> Option<Change> {
    let admission = own_or_renewed(circuit, admission);
    let look = circuit.succeeded(admission, None, now);
    end(circuit, admission, look, CallVerdict::Good, now)
}

pub(crate) fn fail(circuit: &Circuit, admission: Admission, now: Duration) -> Option<Change> {
    let admission = own_or_renewed(circuit, admission);
    let look = circuit.failed(admission, None, now);
    end(circuit, admission, look, CallVerdict::Bad, now)
}

/// The caller leaves before there is an answer.
pub(crate) fn give_up(circuit: &Circuit, admission: Admission, now: Duration) -> Option<Change> {
    circuit.said_nothing();
    if is_planted(Plant::KeptPermit) {
        return None;
    }
    end(circuit, admission, false, CallVerdict::Dropped, now)
}

fn end(
    circuit: &Circuit,
    admission: Admission,
    look: bool,
    verdict: CallVerdict,
    now: Duration,
) -> Option<Change> {
    if admission.is_trial() {
        circuit.trial_ended(admission, verdict, None, None, now)
    } else if look {
        circuit.look(admission, None, now)
    } else {
        None
    }
}

fn own_or_renewed(circuit: &Circuit, own: Admission) -> Admission {
    let renewed = if is_planted(Plant::Renewed) { circuit.free() } else { None };
    renewed.unwrap_or(own)
}

pub(crate) fn opens(change: Option<Change>) -> bool {
    change.is_some_and(|change| change.to == CircuitState::Open)
}
