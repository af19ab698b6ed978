//! The rest that an endpoint, or an account that several of them share, has asked for.

use crate::ewma::{LAST_TICK, Tick, tick};
use crate::sync::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// The rest after a throttling answer without a hint; it doubles with each in a row.
const FIRST: Duration = Duration::from_millis(100);
/// From so many throttling answers in a row the way back is one call at a time.
const BY_TRIAL: u64 = 2;
/// How long others wait for the answer to such a call.
const TRIAL: Tick = 1_000;

/// A rest, which is only ever made longer.
///
/// `SeqCst`: the words are compared with each other, and all but `at` happens when something was throttled.
/// Each of them is right by itself: `until` only grows, and a trial is taken by one. Together they may be
/// seen as between two answers. So two answers that come in the same instant may both count as one more in a
/// row, which makes the rest longer; and one who looked before another's answer may still take its trial.
#[derive(Debug, Default)]
pub(crate) struct CoolDown {
    until: AtomicU64,
    /// When it was asked for last.
    since: AtomicU64,
    /// Throttling answers in a row.
    row: AtomicU64,
    /// Until when one call is out to see whether the rest was long enough.
    trial: AtomicU64,
}

/// How a rest stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CoolState {
    Over,
    Until(Tick),
    /// One call may see whether it is over.
    Trial,
}

impl CoolDown {
    pub(crate) fn at(&self, now: Tick) -> CoolState {
        let until = self.until.load(SeqCst);
        if now < until {
            return CoolState::Until(until);
        }
        if self.row.load(SeqCst) < BY_TRIAL {
            return CoolState::Over;
        }
        match self.trial.load(SeqCst) {
            out if now < out => CoolState::Until(out),
            _ => CoolState::Trial,
        }
    }

    /// Takes the right to the one call.
    pub(crate) fn take_trial(&self, now: Tick) -> bool {
        let free = |out: u64| (out <= now).then_some(now.saturating_add(TRIAL));
        self.trial.fetch_update(SeqCst, SeqCst, free).is_ok()
    }

    /// A call that began then was throttled. `jitter` is between 0 and 1; returns the end of the rest.
    pub(crate) fn throttled(
        &self,
        now: Tick,
        began: Tick,
        hint: Option<Duration>,
        most: Duration,
        jitter: f64,
    ) -> Tick {
        // answers to calls that were under way together tell the same thing
        let same = self.row.load(SeqCst) > 0 && began <= self.since.load(SeqCst);
        let row = if same { self.row.load(SeqCst) } else { self.row.fetch_add(1, SeqCst) + 1 };
        if !same {
            self.since.store(now, SeqCst);
        }
        let doublings = u32::try_from(row.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        let own = FIRST.saturating_mul(1 << doublings);
        let rest = hint.unwrap_or_default().max(own).min(most);
        let rest = rest.saturating_add(rest.mul_f64(jitter / 10.0)).min(most);
        // a hint is a floor, also to the millisecond
        let until = now.saturating_add(tick(rest).saturating_add(1)).min(LAST_TICK);
        self.trial.store(0, SeqCst);
        self.until.fetch_max(until, SeqCst).max(until)
    }

    /// A call that began then went well.
    pub(crate) fn succeeded(&self, began: Tick) {
        if self.row.load(SeqCst) > 0 && began >= self.until.load(SeqCst) {
            self.row.store(0, SeqCst);
            self.trial.store(0, SeqCst);
        }
    }

    /// The way back is not by trial any more, and the rest is over.
    pub(crate) fn is_forgotten(&self, now: Tick) -> bool {
        self.row.load(SeqCst) == 0 && now >= self.until.load(SeqCst)
    }
}
