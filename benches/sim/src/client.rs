//! What a client is to the simulation.

use crate::clock::Clock;
use crate::scenario::Nanos;
use crate::wire::{Answer, Wire};
use crate::world::Truth;
use std::rc::Rc;
use std::task::Poll;

/// What all clients of a simulation use.
pub(crate) struct Scene {
    pub(crate) clock: Clock,
    pub(crate) wire: Rc<Wire>,
}

/// One client: chooses where the calls of its requests go, and sees no others.
pub(crate) trait Client {
    /// A request on its way.
    type Request;

    /// Makes a request. Only a bound may look at the truth.
    fn send(&mut self, number: usize, scene: &Scene, truth: &Truth<'_>) -> Self::Request;

    /// Polls a request: after it was made, when one of its calls has an answer, and when it is woken.
    fn poll(&mut self, request: &mut Self::Request, scene: &Scene, now: Nanos) -> Poll<Answer>;

    /// Whether its requests may set timers.
    fn sleeps(&self) -> bool {
        false
    }

    /// What it thinks of each server.
    fn known(&self) -> Vec<Known> {
        Vec::new()
    }

    /// For how many requests a hedge was due and not paid for at first.
    fn denied(&self) -> u64 {
        0
    }
}

/// How often a client took a server for a bad one.
#[derive(Clone, Copy, Default)]
pub(crate) struct Known {
    pub(crate) failures: u64,
    pub(crate) ejections: u64,
}
