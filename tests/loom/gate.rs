//! The flags of an endpoint, and the census that counts it.

use crate::endpoints::census::{Census, Count};
use crate::endpoints::checked::Checked;
use crate::endpoints::gate::{Beginning, Gate};
use crate::ewma::Tick;
use crate::explore::side_by_side;
use crate::ratio::Ratio;
use crate::sync::{AtomicU64, Ordering::SeqCst, Plant, is_planted};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

const NOW: Tick = 5_000;
const SECOND: Tick = 1_000;
const RAMP: Duration = Duration::from_secs(1);
const LONGER: Duration = Duration::from_secs(3);

fn plain() -> Arc<Gate> {
    Arc::new(Gate::new(Beginning::default()))
}

/// F4
pub(crate) fn no_flag_is_lost_where_a_check_an_ejection_a_return_and_a_throttle_meet() {
    let gate = plain();
    side_by_side(
        &gate,
        [
            |gate| _ = gate.check(Checked::Down),
            |gate| {
                gate.eject();
                assert!(gate.take_back(NOW, RAMP), "its tier counted it as ejected");
            },
            |gate| {
                gate.cool();
                gate.unwatch(&AtomicU64::default());
            },
        ],
    );
    let seen = gate.read();
    assert!(seen.is_down() && !seen.is_ejected());
    assert_eq!(seen.ramp(), Some((NOW + SECOND, SECOND)));
    gate.unwatch(&AtomicU64::default());
    assert!(!gate.is_calm(), "it cools");
    gate.end_cooling();
    assert!(gate.is_calm());
}

/// F4
pub(crate) fn no_flag_is_kept_where_all_that_clears_them_meets() {
    let gate = plain();
    gate.check(Checked::Down);
    gate.cool();
    gate.take_back(NOW, RAMP);
    gate.unwatch(&AtomicU64::default());
    side_by_side(
        &gate,
        [
            |gate| assert!(gate.check(Checked::HEALTHY).1, "it was down"),
            |gate| {
                gate.end_cooling();
                gate.end_ramp(NOW + SECOND);
            },
            |gate| {
                assert!(!gate.go_away());
                gate.leave();
            },
        ],
    );
    let seen = gate.read();
    assert!(seen.is_gone() && seen.is_away());
    assert!(!seen.is_down() && seen.ramp().is_none());
    gate.unwatch(&AtomicU64::default());
    assert!(gate.is_calm());
}

/// D12, F4
pub(crate) fn a_ramp_that_is_over_ends_no_other_one() {
    let gate = plain();
    gate.take_back(NOW, RAMP);
    gate.eject();
    side_by_side(
        &gate,
        [
            |gate| gate.end_ramp(NOW + SECOND),
            |gate| assert!(gate.take_back(NOW + SECOND, LONGER)),
            |gate| gate.end_ramp(NOW + SECOND),
        ],
    );
    assert_eq!(gate.read().ramp(), Some((NOW + 4 * SECOND, 3 * SECOND)));
}

/// An endpoint of a tier in which three others are, one of them ejected.
struct Endpoint {
    gate: Gate,
    census: Census,
    /// Its circuit is not closed, and has a trial; changed where loom does not see it.
    open: AtomicBool,
    has_trial: AtomicBool,
}

const TIER: u8 = 1;

impl Endpoint {
    fn new() -> Arc<Self> {
        let census = Census::default();
        [true, false, false].into_iter().for_each(|ejected| census.enroll(TIER, || ejected));
        let gate = Gate::new(Beginning::default());
        let (open, has_trial) = (AtomicBool::new(false), AtomicBool::new(true));
        let endpoint = Self { gate, census, open, has_trial };
        endpoint.serve();
        Arc::new(endpoint)
    }

    fn serve(&self) {
        self.census.enroll(TIER, || self.gate.come());
    }

    fn drain(&self) {
        self.census.strike_off(TIER, || self.gate.go_away());
    }

    /// A rule was reached.
    fn eject(&self) {
        let eject = || {
            let away = self.gate.read().is_away() && !is_planted(Plant::LooksOnce);
            if away || self.open.swap(true, Relaxed) {
                return None;
            }
            self.gate.eject();
            Some(())
        };
        _ = self.census.eject(TIER, Ratio::percent::<100>(), eject);
    }

    /// A trial goes well, if one is made.
    fn take_back(&self) {
        if !self.gate.read().is_ejected() || !self.has_trial.swap(false, Relaxed) {
            return;
        }
        let counted = self.gate.take_back(NOW, RAMP);
        // no call is let through before that, and so none ejects it again
        self.open.store(false, Relaxed);
        if counted {
            self.census.returned(TIER);
        }
    }

    fn is_counted_once(&self) {
        let seen = self.gate.read();
        let (here, ejected) = (!seen.is_away(), !seen.is_away() && seen.is_ejected());
        let counted = Count { endpoints: 3 + u32::from(here), ejected: 1 + u32::from(ejected) };
        assert_eq!(self.census.of(TIER), counted, "{seen:?}");
    }
}

/// J4
pub(crate) fn one_that_is_drained_while_it_is_ejected_is_counted_once() {
    let endpoint = Endpoint::new();
    side_by_side(
        &endpoint,
        [
            Endpoint::eject,
            |endpoint| {
                endpoint.drain();
                endpoint.serve();
            },
            Endpoint::take_back,
        ],
    );
    endpoint.is_counted_once();
}

/// J4
pub(crate) fn one_that_is_drained_while_it_returns_is_counted_once() {
    let endpoint = Endpoint::new();
    endpoint.eject();
    side_by_side(&endpoint, [Endpoint::take_back, Endpoint::drain, Endpoint::eject]);
    endpoint.is_counted_once();
    endpoint.serve();
    endpoint.is_counted_once();
}

/// What a success and a loser share.
#[derive(Debug)]
struct Watched {
    gate: Gate,
    silence: AtomicU64,
}

impl Watched {
    fn succeed(&self) {
        self.silence.store(0, SeqCst);
        if is_planted(Plant::LooksOnce) {
            self.gate.unwatch(&AtomicU64::default());
        } else {
            self.gate.unwatch(&self.silence);
        }
    }

    fn fall_silent(&self) {
        if is_planted(Plant::Swapped) {
            self.gate.watch();
            self.silence.store(1, SeqCst);
        } else {
            self.silence.store(1, SeqCst);
            self.gate.watch();
        }
    }
}

/// A12
pub(crate) fn a_silent_endpoint_is_watched() {
    let endpoint = Watched {
        gate: Gate::new(Beginning { watched: true, ..Beginning::default() }),
        silence: AtomicU64::default(),
    };
    let endpoint = Arc::new(endpoint);
    side_by_side(&endpoint, [Watched::succeed, Watched::fall_silent, Watched::succeed]);
    let silent = endpoint.silence.load(SeqCst) != 0;
    assert!(!silent || !endpoint.gate.is_calm(), "silent, and nobody looks");
}
