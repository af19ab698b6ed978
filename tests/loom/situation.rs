//! How the tiers stand, beside endpoints that rest.

use crate::endpoints::availability::Availability;
use crate::endpoints::change_count::ChangeCount;
use crate::endpoints::situation::{Situation, Survey};
use crate::endpoints::tiers::Load;
use crate::ewma::Tick;
use crate::explore::side_by_side;
use crate::ratio::Ratio;
use crate::sync::{AtomicU64, Ordering::SeqCst, Plant, is_planted};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const NOW: Tick = 100;

/// A tier of two endpoints.
struct Set {
    panic_threshold: Ratio,
    situation: Situation,
    changes: ChangeCount,
    /// Which of them are down.
    down: [AtomicU64; 2],
    /// How many look through the set, counted where loom does not see it, and how often somebody did.
    looking: AtomicU32,
    looks: AtomicU32,
}

impl Set {
    fn new(panic_threshold: Ratio) -> Arc<Self> {
        Arc::new(Self {
            panic_threshold,
            situation: Situation::new(),
            changes: ChangeCount::default(),
            down: Default::default(),
            looking: AtomicU32::new(0),
            looks: AtomicU32::new(0),
        })
    }

    fn is_well(&self) -> bool {
        self.situation.is_well(&self.changes, NOW)
    }

    fn loads(&self) -> Arc<[Load]> {
        self.situation.loads(&self.changes, NOW, (1, self.down.len()), || self.survey())
    }

    /// So many are down that rests are ignored.
    fn panics(&self) -> bool {
        self.loads()[0].panics
    }

    fn survey(&self) -> Survey {
        assert_eq!(self.looking.fetch_add(1, Relaxed), 0, "another one looks");
        self.looks.fetch_add(1, Relaxed);
        let mut survey = Survey::new(self.panic_threshold);
        let availability = |down: &AtomicU64| match down.load(SeqCst) {
            0 => Availability::Serves,
            _ => Availability::Down,
        };
        survey.add_tier(self.down.iter().map(|down| (availability(down), 0)), NOW);
        self.looking.fetch_sub(1, Relaxed);
        survey
    }

    fn goes_down(&self, at: usize) {
        if is_planted(Plant::Swapped) {
            self.changes.note();
            self.down[at].store(1, SeqCst);
        } else {
            self.down[at].store(1, SeqCst);
            self.changes.note();
        }
        assert!(!self.is_well(), "an answer from before the change");
    }
}

/// F4
pub(crate) fn a_change_that_was_noted_is_never_missed() {
    let set = Set::new(Ratio::percent::<0>());
    assert!(!set.is_well(), "nobody has looked");
    assert!(!set.panics() && set.is_well());
    side_by_side(&set, [|set| set.goes_down(0), |set| set.goes_down(1), |set| _ = set.loads()]);
    assert!(!set.is_well());
    assert!(set.panics(), "both are down");
    assert!(!set.is_well());
}

/// F4
pub(crate) fn the_set_is_looked_through_by_one_at_a_time_and_no_more_often_than_it_changes() {
    let set = Set::new(Ratio::percent::<50>());
    side_by_side(
        &set,
        [
            |set| {
                set.goes_down(0);
                assert!(set.panics(), "one of two is down");
            },
            |set| _ = set.loads(),
            |set| _ = set.loads(),
        ],
    );
    assert!(set.panics());
    assert!(set.looks.load(Relaxed) <= 2, "one look for the beginning and one for the change");
}
