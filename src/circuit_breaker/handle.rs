//! How a circuit is watched and steered from outside.

use super::state::{Latest, SharedCircuit};
use crate::circuit::{CircuitSnapshot, CircuitState, Mode};
use std::fmt;
use tokio::sync::watch;

/// Watches and steers one circuit from outside; clones do so with the same.
///
/// It keeps the circuit, also when the last service is gone. It can be used from everywhere, from a
/// subscriber of `tracing` that is told of a change as well.
#[derive(Clone)]
pub struct CircuitHandle(pub(super) SharedCircuit);

impl CircuitHandle {
    /// Returns the name of the circuit breaker.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// Returns the state.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        self.0.circuit.state(self.0.now())
    }

    /// Reads the state and the counts; those of calls in flight may be missing.
    #[must_use]
    pub fn snapshot(&self) -> CircuitSnapshot {
        self.0.circuit.snapshot(self.0.now())
    }

    /// Subscribes to the changes of the state from now on.
    #[must_use]
    pub fn changes(&self) -> CircuitChanges {
        CircuitChanges(self.0.subscribe())
    }

    /// Refuses all calls until that is changed. What was counted is forgotten.
    pub fn force_open(&self) {
        self.0.reset(Mode::ForcedOpen);
    }

    /// Lets all calls through until that is changed: they are counted, and no rule trips.
    pub fn force_closed(&self) {
        self.0.reset(Mode::ForcedClosed);
    }

    /// Goes through the states as the rules say, and refuses nobody, until that is changed. Calls that
    /// would have been refused are in the totals, and in no window.
    pub fn observe_only(&self) {
        self.0.reset(Mode::ObserveOnly);
    }

    /// Closes the circuit with nothing counted and open times that are short again; from then on it goes
    /// by its rules. Ends what was forced. Calls that are on their way change nothing any more.
    pub fn reset(&self) {
        self.0.reset(Mode::Automatic);
    }
}

impl fmt::Debug for CircuitHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}

/// The changes of a circuit's state, made by [`CircuitHandle::changes`].
///
/// It does not keep the circuit. Clones see the same changes, each for itself.
#[derive(Clone)]
pub struct CircuitChanges(watch::Receiver<Latest>);

impl CircuitChanges {
    /// Waits for the next change, and returns the state after it, or `None` when the circuit is gone.
    /// Who comes late sees the newest state, not each one in between.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<CircuitState> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().state)
    }
}

impl fmt::Debug for CircuitChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitChanges").field("state", &self.0.borrow().state).finish()
    }
}
