//! How a backend behaves for a while.

use crate::random::Rng;

/// The action of a backend on one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Ok,
    Error,
    Refuse,
    Status404,
    Status408,
    Status429,
    Status503,
    Status500,
    Status501,
    PanicInCall,
    PanicInPoll,
    Hang,
}

/// Delays are in milliseconds, chances in percent.
#[derive(Clone, Debug)]
pub(crate) struct Behavior {
    name: &'static str,
    /// With the weight of each.
    actions: Vec<(u64, Action)>,
    delay: (u64, u64),
    pub(crate) unready: u64,
    pub(crate) unready_error: u64,
    pub(crate) unready_hang: u64,
    pub(crate) broken_body: u64,
}

const CHAOS: [(u64, Action); 12] = [
    (6, Action::Ok),
    (1, Action::Error),
    (1, Action::Refuse),
    (1, Action::Status404),
    (1, Action::Status408),
    (1, Action::Status429),
    (1, Action::Status503),
    (1, Action::Status500),
    (1, Action::Status501),
    (1, Action::PanicInCall),
    (1, Action::PanicInPoll),
    (1, Action::Hang),
];

fn draw_actions(rng: &mut Rng) -> (&'static str, Vec<(u64, Action)>) {
    use Action::{Error, Hang, Ok, Refuse, Status429, Status500, Status501, Status503};
    match rng.below(8) {
        0 | 1 => ("good", vec![(1, Ok)]),
        2 => ("flaky", vec![(7, Ok), (2, Error), (1, Status500)]),
        3 => ("dead", vec![(3, Error), (3, Status500), (1, Status503)]),
        4 => ("throttled", vec![(1, Ok), (2, Status429), (2, Status503)]),
        5 => ("refusing", vec![(1, Ok), (2, Refuse), (1, Status501)]),
        6 => ("slow", vec![(5, Ok), (1, Hang)]),
        _ => ("chaos", CHAOS.into()),
    }
}

impl Behavior {
    pub(crate) fn draw(rng: &mut Rng, hangs: bool, panics: bool) -> Self {
        let delay = rng.pick(&[(0, 0), (0, 0), (1, 20), (5, 5), (20, 400), (300, 3_000)]);
        let (name, mut actions) = draw_actions(rng);
        let unready = if rng.chance(25) { rng.pick(&[10, 50, 100]) } else { 0 };
        let unready_error = if rng.chance(10) { rng.pick(&[5, 40, 100]) } else { 0 };
        let unready_hang = if rng.chance(8) { rng.pick(&[5, 50]) } else { 0 };
        let broken_body = if rng.chance(50) { rng.pick(&[5, 30, 100]) } else { 0 };
        actions.retain(|(_, action)| match action {
            Action::Hang => hangs,
            Action::PanicInCall | Action::PanicInPoll => panics,
            _ => true,
        });
        let unready_hang = if hangs { unready_hang } else { 0 };
        Self { name, actions, delay, unready, unready_error, unready_hang, broken_body }
    }

    /// Draws the action for a call, and the milliseconds before it.
    pub(crate) fn draw_action(&self, rng: &mut Rng) -> (Action, u64) {
        let mut left = rng.below(self.actions.iter().map(|(weight, _)| weight).sum());
        let chosen = self.actions.iter().find(|(weight, _)| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        });
        let (_, action) = chosen.expect("the number is below the sum of the weights");
        (*action, rng.range(self.delay.0, self.delay.1))
    }

    pub(crate) fn describe(&self) -> String {
        let Self { name, delay, unready, unready_error, unready_hang, broken_body, .. } = self;
        format!(
            "{name} delay {delay:?} unready {unready}/{unready_error}/{unready_hang} broken {broken_body}"
        )
    }
}
