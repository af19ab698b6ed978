//! A service that waits for its circuit in `poll_ready`.

use super::state::Shared;
use crate::clock::{self, Sleep};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A place among those who wait; it is left when it is dropped.
pub(super) struct Gate {
    circuit: Shared,
    number: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Gate {
    fn new(circuit: &Shared) -> Self {
        let number = circuit.waiting().number();
        let sleep = Box::pin(clock::sleep_until(clock::now()));
        Self { circuit: circuit.clone(), number, sleep }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.circuit.waiting().leave(self.number);
    }
}

/// Waits until the circuit does not refuse calls. It takes no permit: of several that are let through
/// here, a circuit that is half-open may still refuse some when they call.
pub(super) fn poll_open(
    gate: &mut Option<Gate>,
    circuit: &Shared,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if circuit.circuit.refuses_until(|| circuit.now()).is_none() {
        *gate = None;
        return Poll::Ready(());
    }
    let own = gate.get_or_insert_with(|| Gate::new(circuit));
    // before the look at the circuit, so that no change in between is missed
    circuit.waiting().wait(own.number, cx.waker());
    loop {
        let now = clock::now();
        let Some(until) = circuit.circuit.refuses_until(|| circuit.at(now)) else {
            *gate = None;
            return Poll::Ready(());
        };
        if until == Duration::MAX {
            return Poll::Pending;
        }
        let until = clock::after(now, until.saturating_sub(circuit.at(now)));
        if own.sleep.deadline() != until {
            own.sleep.as_mut().reset(until);
        }
        if own.sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("number", &self.number).finish_non_exhaustive()
    }
}
