//! The rest that an endpoint has asked for.

use crate::endpoints::cool_down::{CoolDown, CoolState};
use crate::ewma::Tick;
use crate::explore::side_by_side;
use crate::sync::{Plant, is_planted};
use loom::sync::atomic::AtomicU32 as Shared;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

const MOST: Duration = Duration::from_secs(60);
/// When the calls began, and when they were throttled.
const BEGAN: Tick = 5;
const NOW: Tick = 10;
/// The first rest without a hint; it ends a tick later, so that a hint is kept to the millisecond.
const FIRST: Tick = 100;
const FAR: Tick = 100_000;

fn throttle(rest: &CoolDown, now: Tick, began: Tick, hint: Option<u64>) -> Tick {
    // planted: it is taken for a call that began when it ended
    let began = if is_planted(Plant::Swapped) { now + 1 } else { began };
    rest.throttled(now, began, hint.map(Duration::from_secs), MOST, 0.0)
}

fn succeed(rest: &CoolDown, now: Tick, began: Tick) {
    rest.succeeded(if is_planted(Plant::Swapped) { now } else { began });
}

fn until(rest: &CoolDown, now: Tick) -> Tick {
    match rest.at(now) {
        CoolState::Until(until) => until,
        CoolState::Over | CoolState::Trial => 0,
    }
}

/// A rest of two throttling answers in a row, and when it ends.
fn of_two() -> (CoolDown, Tick) {
    let rest = CoolDown::default();
    rest.throttled(NOW, BEGAN, None, MOST, 0.0);
    let until = rest.throttled(NOW + 1, NOW + 1, None, MOST, 0.0);
    assert_eq!(rest.at(until), CoolState::Trial);
    (rest, until)
}

/// H2
pub(crate) fn a_rest_is_only_ever_made_longer() {
    let rest = Arc::new(CoolDown::default());
    side_by_side(
        &rest,
        [
            |rest| assert!(throttle(rest, NOW, BEGAN, Some(1)) > NOW + 1_000),
            |rest| assert!(throttle(rest, NOW, BEGAN, Some(3)) > NOW + 3_000),
            |rest| {
                let seen = until(rest, NOW);
                assert!(until(rest, NOW) >= seen, "it was cut short");
            },
        ],
    );
    assert_eq!(rest.at(NOW), CoolState::Until(NOW + 3_001));
}

/// H2
pub(crate) fn calls_that_were_under_way_when_a_rest_began_do_not_count_again() {
    let rest = Arc::new(CoolDown::default());
    throttle(&rest, NOW, BEGAN, None);
    let late: fn(&CoolDown) = |rest| _ = throttle(rest, NOW, BEGAN, None);
    side_by_side(&rest, [late; 3]);
    assert_eq!(rest.at(NOW), CoolState::Until(NOW + FIRST + 1));
    assert_eq!(rest.at(FAR), CoolState::Over, "one in a row needs no trial");
}

/// H2
pub(crate) fn calls_that_are_throttled_in_one_instant_count_once_each_at_most() {
    let rest = Arc::new(CoolDown::default());
    side_by_side(
        &rest,
        [
            |rest| _ = throttle(rest, NOW, BEGAN, None),
            |rest| _ = throttle(rest, NOW, BEGAN, None),
            |rest| _ = rest.at(NOW),
        ],
    );
    let seen = until(&rest, NOW) - NOW;
    assert!([FIRST + 1, 2 * FIRST + 1].contains(&seen), "{seen} ms");
    throttle(&rest, NOW, BEGAN, None);
    let by_trial = rest.at(FAR) == CoolState::Trial;
    assert!([FIRST + 1, 2 * FIRST + 1].contains(&(until(&rest, NOW) - NOW)));
    assert!(by_trial || seen == FIRST + 1);
}

/// An endpoint whose rest is over, and which is tried.
struct Endpoint {
    rest: CoolDown,
    over: Tick,
    /// How many trials are out, counted where loom does not see it, and how many there were.
    out: AtomicU32,
    trials: AtomicU32,
    /// What all of them do, so that loom lets others go before it.
    work: Shared,
}

impl Endpoint {
    fn trial(&self, end: impl FnOnce(&CoolDown, Tick)) {
        if self.rest.at(self.over) != CoolState::Trial || !self.rest.take_trial(self.over) {
            return;
        }
        assert_eq!(self.out.fetch_add(1, Relaxed), 0, "another trial is out");
        self.trials.fetch_add(1, Relaxed);
        self.work.fetch_add(1, Relaxed);
        self.out.fetch_sub(1, Relaxed);
        end(&self.rest, self.over);
    }
}

/// F3
pub(crate) fn one_trial_is_out_at_a_time() {
    let (rest, over) = of_two();
    let (out, trials, work) = (AtomicU32::new(0), AtomicU32::new(0), Shared::new(0));
    let endpoint = Arc::new(Endpoint { rest, over, out, trials, work });
    side_by_side(
        &endpoint,
        [
            |endpoint| endpoint.trial(|rest, now| rest.succeeded(now)),
            |endpoint| endpoint.trial(|rest, now| _ = rest.throttled(now, now, None, MOST, 0.0)),
            |endpoint| endpoint.trial(|rest, now| rest.succeeded(now)),
        ],
    );
    assert!(endpoint.trials.load(Relaxed) >= 1, "the rest is over, and nobody saw to it");
}

/// H2
pub(crate) fn a_success_that_began_after_the_rest_ends_it() {
    let (rest, over) = of_two();
    let rest = Arc::new((rest, over));
    side_by_side(
        &rest,
        [
            |(rest, over)| {
                succeed(rest, *over - 1, *over);
                assert!(rest.is_forgotten(*over), "whoever says so sees it");
            },
            |(rest, over)| succeed(rest, *over - 1, *over),
            |(rest, over)| _ = rest.take_trial(*over),
        ],
    );
    assert_eq!(rest.0.at(over), CoolState::Over, "the trial that was taken holds up nobody");
}

/// H2
pub(crate) fn a_success_that_began_in_a_rest_leaves_it_as_it_is() {
    let (rest, over) = of_two();
    let rest = Arc::new((rest, over));
    side_by_side(
        &rest,
        [
            |(rest, over)| succeed(rest, *over + FAR, *over - 1),
            |(rest, over)| _ = rest.throttled(*over, *over, None, MOST, 0.0),
            |(rest, over)| succeed(rest, *over + FAR, *over - 1),
        ],
    );
    let rest = &rest.0;
    assert_eq!(rest.at(over), CoolState::Until(over + 4 * FIRST + 1), "the third in a row");
    assert_eq!(rest.at(FAR), CoolState::Trial);
}

/// H2
pub(crate) fn no_success_cuts_short_a_rest_that_others_ask_for() {
    let (rest, over) = of_two();
    let rest = Arc::new((rest, over));
    side_by_side(
        &rest,
        [
            |(rest, over)| succeed(rest, *over, *over),
            |(rest, over)| _ = throttle(rest, *over, *over, Some(1)),
            |(rest, over)| _ = throttle(rest, *over, *over, Some(3)),
        ],
    );
    assert_eq!(rest.0.at(over), CoolState::Until(over + 3_001));
}
