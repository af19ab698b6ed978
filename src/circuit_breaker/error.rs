//! The error of a circuit that refuses.

use crate::circuit::{CircuitState, Refused};
use crate::error::Refusal;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A circuit refused the call; the service was not asked.
///
/// It is a [`Refusal`]: classifiers judge it as `Refused`, it is held against no endpoint, and no retry
/// waits for it.
#[derive(Clone, Debug)]
pub struct CircuitOpen {
    name: Arc<str>,
    state: CircuitState,
    refusal: Refusal,
}

impl CircuitOpen {
    pub(super) fn new(name: Arc<str>, Refused { state, retry_after }: Refused) -> Self {
        let refusal = retry_after.map_or(Refusal::new(), |after| Refusal::new().after(after));
        Self { name, state, refusal }
    }

    /// Returns the name of the circuit breaker.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the state in which it refused: open, or one that lets only a part of the calls through.
    #[must_use]
    pub const fn state(&self) -> CircuitState {
        self.state
    }

    /// Returns the time until the circuit lets a call through to see whether the service is back, while it is open.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.refusal.retry_after()
    }
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.retry_after() == Some(Duration::ZERO) {
            // by now it may be closed
            return write!(f, "circuit `{}` refused when it was polled ready", self.name);
        }
        write!(f, "circuit `{}` is {}", self.name, self.state.name())?;
        match self.retry_after() {
            Some(after) => write!(f, " for another {after:?}"),
            None => Ok(()),
        }
    }
}

impl Error for CircuitOpen {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.refusal)
    }
}
