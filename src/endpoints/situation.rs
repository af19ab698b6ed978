//! How the tiers of a snapshot stand: looked up anew when an endpoint rests or returns, and not at
//! every pick.

use super::availability::Availability;
use super::change_count::ChangeCount;
use super::tiers::{Count, Load, loads};
use crate::ewma::{LAST_TICK, Tick};
use crate::ratio::Ratio;
use crate::sync::{AtomicU64, Mutex, Ordering::SeqCst};
use std::sync::Arc;

/// Larger sets are looked through at most once in so many milliseconds.
const LARGE: usize = 2_000;
const LARGE_PAUSE: Tick = 10;

/// What was found by the last look.
///
/// `SeqCst`, as the [`ChangeCount`] that `seen` is compared with. It is written under the lock, and `seen` last: so
/// what is read after a `seen` that is new is of that look, or of a later one.
#[derive(Debug)]
pub(crate) struct Situation {
    /// The changes of the set that it knows of.
    seen: AtomicU64,
    /// Until when nothing changes by itself.
    until: AtomicU64,
    /// When a trial is due, and when one is with a request that can't be repeated.
    next_trial: AtomicU64,
    last_resort: AtomicU64,
    /// Every endpoint serves, so that the first tier takes everything.
    well: AtomicU64,
    found: Mutex<Found>,
}

#[derive(Clone, Debug, Default)]
struct Found {
    at: Tick,
    loads: Arc<[Load]>,
}

impl Situation {
    /// Of a snapshot that nobody has looked at.
    pub(crate) fn new() -> Self {
        Self {
            seen: AtomicU64::new(u64::MAX),
            until: AtomicU64::default(),
            next_trial: AtomicU64::default(),
            last_resort: AtomicU64::default(),
            well: AtomicU64::default(),
            found: Mutex::default(),
        }
    }

    /// Of a snapshot with the same endpoints but some that serve: what was well stays so.
    pub(crate) fn carried_on(&self) -> Self {
        let well = self.well.load(SeqCst);
        let next = Self::new();
        if well != 0 {
            next.well.store(well, SeqCst);
            next.next_trial.store(LAST_TICK, SeqCst);
            next.last_resort.store(LAST_TICK, SeqCst);
            next.until.store(self.until.load(SeqCst), SeqCst);
            next.seen.store(self.seen.load(SeqCst), SeqCst);
        }
        next
    }

    /// Whether every endpoint serves.
    #[inline]
    pub(crate) fn is_well(&self, changes: &ChangeCount, now: Tick) -> bool {
        self.seen.load(SeqCst) == changes.read()
            && now < self.until.load(SeqCst)
            && self.well.load(SeqCst) != 0
    }

    /// Whether a trial is due that this request may be.
    pub(crate) fn trial_is_due(&self, now: Tick, may_be_lost: bool) -> bool {
        let due = if may_be_lost { &self.next_trial } else { &self.last_resort };
        now >= due.load(SeqCst)
    }

    /// The loads of so many tiers with so many endpoints; where they have to be looked up anew, `survey` does.
    pub(crate) fn loads(
        &self,
        changes: &ChangeCount,
        now: Tick,
        (tiers, endpoints): (usize, usize),
        survey: impl FnOnce() -> Survey,
    ) -> Arc<[Load]> {
        let mut found = self.found.lock();
        let changes = changes.read();
        let known = self.seen.load(SeqCst) == changes && now < self.until.load(SeqCst);
        let soon = now < found.at.saturating_add(LARGE_PAUSE) && endpoints > LARGE;
        let same = found.loads.len() == tiers;
        if same && (known || soon) {
            return found.loads.clone();
        }
        let survey = survey();
        let loads = loads(&survey.counts, survey.panic_threshold);
        *found = Found { at: now, loads: loads.into() };
        self.until.store(survey.until, SeqCst);
        self.next_trial.store(survey.next_trial, SeqCst);
        self.last_resort.store(survey.last_resort, SeqCst);
        self.well.store(survey.is_well().into(), SeqCst);
        self.seen.store(changes, SeqCst);
        found.loads.clone()
    }
}

/// What a look through the whole set has found.
#[derive(Debug)]
pub(crate) struct Survey {
    panic_threshold: Ratio,
    counts: Vec<Count>,
    until: Tick,
    next_trial: Tick,
    last_resort: Tick,
}

impl Survey {
    pub(crate) const fn new(panic_threshold: Ratio) -> Self {
        Self {
            panic_threshold,
            counts: Vec::new(),
            until: LAST_TICK,
            next_trial: LAST_TICK,
            last_resort: LAST_TICK,
        }
    }

    /// Looks at the next tier: at the availability of each endpoint, and when a request that can't be repeated
    /// may be its trial.
    pub(crate) fn add_tier(
        &mut self,
        endpoints: impl Iterator<Item = (Availability, Tick)>,
        now: Tick,
    ) {
        let mut count = Count::default();
        for (availability, last_resort) in endpoints {
            count.endpoints += 1;
            match availability {
                Availability::Serves | Availability::Ramps(_) => count.available += 1,
                Availability::Ejected(next) => {
                    self.next_trial = self.next_trial.min(next);
                    self.last_resort = self.last_resort.min(last_resort);
                }
                Availability::Down => {}
                Availability::Cools(until) => {
                    count.resting += 1;
                    self.until = self.until.min(until);
                }
                Availability::CoolTrial => {
                    count.resting += 1;
                    self.next_trial = self.next_trial.min(now);
                    self.last_resort = self.last_resort.min(now);
                }
                Availability::Never => count.resting += 1,
            }
        }
        self.counts.push(count);
    }

    fn is_well(&self) -> bool {
        self.counts.iter().all(|count| count.available == count.endpoints)
    }
}
