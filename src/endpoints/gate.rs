//! One word that says whether an endpoint can be chosen, and what is to be asked before.
//!
//! | flag | set by | cleared by | read by |
//! |---|---|---|---|
//! | `WATCHED`: a success is more than a number and a latency | a failure, a throttle, a silence, a check, a rule that counts successes | a success after which all is well again | the end of a call |
//! | `HAS_ACCOUNT`: it shares an account, and so a rest, with others | the making | never | the choice, the end of a call |
//! | `LIMITED`: it has a limit of calls in flight of its own | the making | never | the choice |
//! | `EJECTED`: its circuit is not closed | a rule that was reached | the trial after which the circuit is closed | the choice, the end of a call, checks |
//! | `COOLS`: a throttle has asked for a rest | a throttle | a success after which the rest is forgotten | the choice, the end of a call |
//! | `RAMPS`: a ramp is on, whose end and length are in the same word | the making, the return from an ejection | the first look after its end | the choice |
//! | `DOWN`, `BARRED`: checks found it down, or misconfigured | a check | a check | the choice |
//! | `GONE`: it is no longer in the set | the removal | never | the choice, the end of a call |
//! | `AWAY`: its tier does not count it, since it was drained or removed | the drain, the removal | the end of a drain | ejection and return |
//!
//! # Ordering
//!
//! The word is changed by read-modify-writes only, so that no flag is lost. Those are `SeqCst`, since what they
//! say is compared with other words: with the changes that a set counts, and with the silence of an endpoint.
//! The two looks on the way of a good call are `Relaxed`: a call that ends as the flag is set may be counted as
//! one that ended just before. `EJECTED` and `AWAY` are set, and `AWAY` is cleared, under the lock of the set's
//! census, which counts them. A return clears `EJECTED` before it takes that lock; the same write tells it
//! whether it is the one that has to count. `tests/loom/gate.rs` explores it.

use super::checked::Checked;
use crate::ewma::{LAST_TICK, Tick, tick};
use crate::sync::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

// below the flags is the end of a ramp, above them its length
const WATCHED: u64 = 1 << 40;
const HAS_ACCOUNT: u64 = 1 << 41;
const LIMITED: u64 = 1 << 42;
const EJECTED: u64 = 1 << 43;
const COOLS: u64 = 1 << 44;
const RAMPS: u64 = 1 << 45;
const DOWN: u64 = 1 << 46;
const BARRED: u64 = 1 << 47;
const GONE: u64 = 1 << 48;
const AWAY: u64 = 1 << 49;
const RAMP_SHIFT: u32 = 50;
const RAMP_STEP: Tick = 100;
/// Where a success is more than a number and a latency.
const ATTENTION: u64 = WATCHED | HAS_ACCOUNT | EJECTED | COOLS;

#[derive(Debug)]
pub(crate) struct Gate(AtomicU64);

/// What a gate said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading(u64);

/// What is known of an endpoint when it is made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beginning {
    /// Successes matter from the beginning.
    pub(crate) watched: bool,
    /// It shares an account with others.
    pub(crate) has_account: bool,
    /// It has a limit of calls in flight of its own.
    pub(crate) limited: bool,
    /// When its slow start begins, and how long that is.
    pub(crate) ramp: Option<(Tick, Duration)>,
}

impl Gate {
    pub(crate) fn new(beginning: Beginning) -> Self {
        let flag = |is: bool, flag: u64| if is { flag } else { 0 };
        let flags = flag(beginning.watched, WATCHED)
            | flag(beginning.has_account, HAS_ACCOUNT)
            | flag(beginning.limited, LIMITED);
        let ramp = beginning.ramp.map_or(0, |(from, length)| ramp_word(from, length));
        Self(AtomicU64::new(flags | ramp))
    }

    /// Whether nothing is to be asked before the endpoint is chosen.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.0.load(Relaxed) & !WATCHED == 0
    }

    /// Whether a success is no more than a number and a latency.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        self.0.load(Relaxed) & ATTENTION == 0
    }

    pub(crate) fn read(&self) -> Reading {
        Reading(self.0.load(SeqCst))
    }

    /// From now on successes matter.
    pub(crate) fn watch(&self) {
        self.0.fetch_or(WATCHED, SeqCst);
    }

    /// A success is a number and a latency again, unless a silence has begun in this moment: it is noted before
    /// `watch`, and so either it is seen here or its `watch` comes after this.
    pub(crate) fn unwatch(&self, silence: &AtomicU64) {
        self.0.fetch_and(!WATCHED, SeqCst);
        if silence.load(SeqCst) != 0 {
            self.watch();
        }
    }

    /// Its tier counts it from now on; tells whether as ejected.
    pub(crate) fn come(&self) -> bool {
        self.0.fetch_and(!AWAY, SeqCst) & EJECTED != 0
    }

    /// Its tier does not count it from now on; tells whether it did as ejected.
    pub(crate) fn go_away(&self) -> bool {
        self.0.fetch_or(AWAY, SeqCst) & EJECTED != 0
    }

    /// It is no longer in the set.
    pub(crate) fn leave(&self) {
        self.0.fetch_or(GONE, SeqCst);
    }

    pub(crate) fn eject(&self) {
        self.0.fetch_or(EJECTED, SeqCst);
    }

    /// It is back from an ejection, with a ramp of this length; tells whether its tier counted it as ejected.
    pub(crate) fn take_back(&self, now: Tick, length: Duration) -> bool {
        let ramp = ramp_word(now, length);
        let back = |word: u64| Some(without_ramp(word) & !EJECTED | ramp | WATCHED);
        let before = self.0.fetch_update(SeqCst, SeqCst, back).unwrap_or_default();
        before & (EJECTED | AWAY) == EJECTED
    }

    /// It asked for a rest.
    pub(crate) fn cool(&self) {
        self.0.fetch_or(COOLS | WATCHED, SeqCst);
    }

    /// Its rest is forgotten.
    pub(crate) fn end_cooling(&self) {
        self.0.fetch_and(!COOLS, SeqCst);
    }

    /// Checks found this, as the worst of all; returns what was so before, and whether that is another thing.
    pub(crate) fn check(&self, found: Checked) -> (Reading, bool) {
        let flag = match found {
            Checked::Serves(_) => 0,
            Checked::Down => DOWN,
            Checked::Misconfigured => BARRED,
        };
        let change = |word: u64| Some(word & !(DOWN | BARRED) | flag | WATCHED);
        let before = self.0.fetch_update(SeqCst, SeqCst, change).unwrap_or_default();
        (Reading(before), before & (DOWN | BARRED) != flag)
    }

    /// The ramp that ends then is over; another one goes on.
    pub(crate) fn end_ramp(&self, until: Tick) {
        let over = |word: u64| (word & LAST_TICK == until).then_some(without_ramp(word));
        let _ = self.0.fetch_update(SeqCst, SeqCst, over);
    }
}

impl Reading {
    pub(crate) const fn is_gone(self) -> bool {
        self.0 & GONE != 0
    }

    /// It gets no call, whatever else holds.
    pub(crate) const fn is_barred(self) -> bool {
        self.0 & (GONE | BARRED) != 0
    }

    pub(crate) const fn is_ejected(self) -> bool {
        self.0 & EJECTED != 0
    }

    pub(crate) const fn is_down(self) -> bool {
        self.0 & DOWN != 0
    }

    pub(crate) const fn is_away(self) -> bool {
        self.0 & AWAY != 0
    }

    /// The end of its ramp and the ramp's length, while there is one.
    pub(crate) fn ramp(self) -> Option<(Tick, Tick)> {
        let (until, length) = (self.0 & LAST_TICK, (self.0 >> RAMP_SHIFT) * RAMP_STEP);
        (self.0 & RAMPS != 0).then_some((until, length))
    }
}

fn ramp_word(from: Tick, length: Duration) -> u64 {
    let steps = tick(length).div_ceil(RAMP_STEP).min((1 << (64 - RAMP_SHIFT)) - 1);
    if steps == 0 {
        return 0;
    }
    steps << RAMP_SHIFT | RAMPS | from.saturating_add(steps * RAMP_STEP).min(LAST_TICK)
}

const fn without_ramp(word: u64) -> u64 {
    word & ((1 << RAMP_SHIFT) - 1) & !(RAMPS | LAST_TICK)
}
