//! A service that waits for its circuit in `poll_ready`.

use super::state::SharedCircuit;
use crate::clock::{self, Sleep};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A place among those who wait; it is left when it is dropped.
pub(super) struct Gate {
    circuit: SharedCircuit,
    number: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Gate {
    pub(super) fn new(circuit: &SharedCircuit) -> Self {
        let number = circuit.waiters().number();
        let sleep = Box::pin(clock::sleep_until(clock::now()));
        Self { circuit: circuit.clone(), number, sleep }
    }

    /// Waits until the circuit does not refuse calls. It takes no permit: of several that are let through
    /// here, a circuit that is half-open may still refuse some when they call.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let circuit = &self.circuit;
        // before the look at the circuit, so that no change in between is missed
        circuit.waiters().wait(self.number, cx.waker());
        loop {
            let now = clock::now();
            let time = circuit.at(now);
            let Some(until) = circuit.refuses_until(time) else { return Poll::Ready(()) };
            if until == Duration::MAX {
                return Poll::Pending;
            }
            let until = clock::after(now, until.saturating_sub(time));
            if self.sleep.deadline() != until {
                self.sleep.as_mut().reset(until);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.circuit.waiters().leave(self.number);
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("number", &self.number).finish_non_exhaustive()
    }
}
