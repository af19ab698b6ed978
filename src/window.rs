//! How many calls there were lately, and how many of them hit a rule: sliding, and without a lock.
//!
//! A window is told the *era* of each call. A window of a newer era starts empty, and what comes
//! late from an older one is not counted: a circuit that changes its state clears its windows by going
//! on to the next era, and nothing has to be written for it.

use crate::stripe::{Apart, STRIPES};
use crate::sync::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) calls: u64,
    pub(crate) hits: u64,
}

/// Counts from 1 and skips zero, which stands for "never".
pub(crate) type Era = u32;

/// Whether `a` comes after `b`, also where the count has begun anew in between.
fn is_newer(a: Era, b: Era) -> bool {
    b == 0 || (a != b && a.wrapping_sub(b) <= Era::MAX / 2)
}

/// The calls of a trailing span, in slices.
///
/// A slice is one word, which holds its number and its count together: whoever finds the number of
/// an earlier round starts the count anew in the same write, so nothing is lost at a slice's edge.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    /// Nanoseconds of a slice.
    slice: u64,
    slices: u64,
    /// So many numbers there are, so that the first follows the last also among the slices.
    numbers: u64,
    /// The slices of each stripe, whose number is a power of two.
    calls: Box<[Apart<Line>]>,
    /// Calls that hit are rare, and not spread.
    hits: Box<Line>,
    /// The number of the last slice with a hit, plus one.
    last_hit: AtomicU64,
}

pub(crate) const MOST_SLICES: u16 = 32;

type Line = [AtomicU64; MOST_SLICES as usize];

/// A word of a slice: its number, and below it the count, which stops at its largest value.
const COUNT: u32 = 28;
const MOST: u64 = (1 << COUNT) - 1;
const NUMBERS: u64 = 1 << (64 - COUNT);

/// A slice that is ahead by less rounds is one of the future, and otherwise one of long ago.
const LATE: u64 = 64;

impl TimeWindow {
    /// `spread`: over stripes, since many threads will write to it.
    pub(crate) fn new(span: Duration, slices: u16, spread: bool) -> Self {
        let slices = u64::from(slices.clamp(1, MOST_SLICES));
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let stripes = if spread { STRIPES } else { 1 };
        Self {
            slice: span.div_ceil(slices).max(1),
            slices,
            numbers: NUMBERS - NUMBERS % slices,
            calls: (0..stripes).map(|_| Apart::default()).collect(),
            hits: Box::default(),
            last_hit: AtomicU64::default(),
        }
    }

    /// Counts a call, and tells whether there is a hit in the window.
    #[inline]
    pub(crate) fn record(&self, now: Duration, era: Era, stripe: usize, hit: bool) -> bool {
        let number = self.number(now, era);
        let line = &self.calls[stripe & (self.calls.len() - 1)].0;
        self.add(line, number);
        if hit {
            self.hit(number);
        }
        match self.last_hit.load(SeqCst) {
            0 => false,
            last => self.is_near(number, last - 1),
        }
    }

    /// Counts a hit without its call, for rules that don't need the calls.
    pub(crate) fn record_hit(&self, now: Duration, era: Era) {
        self.hit(self.number(now, era));
    }

    pub(crate) fn totals(&self, now: Duration, era: Era) -> Totals {
        let number = self.newest(now, era);
        let hits = self.hits.iter().map(|slice| self.count(slice, number)).sum();
        let calls = self.calls.iter().flat_map(|line| &line.0);
        Totals { calls: calls.map(|slice| self.count(slice, number)).sum(), hits }
    }

    pub(crate) fn hits(&self, now: Duration, era: Era) -> u64 {
        let number = self.newest(now, era);
        self.hits.iter().map(|slice| self.count(slice, number)).sum()
    }

    /// Every era begins a whole window after the one before.
    #[inline]
    fn number(&self, now: Duration, era: Era) -> u64 {
        let number = (nanos(now) / self.slice).wrapping_add(u64::from(era) * self.slices);
        if number < self.numbers { number } else { number % self.numbers }
    }

    /// The slice that a window looks back from. A thread that read its clock before a slice's edge may
    /// come after one that read it behind: together their hits may reach a rule.
    fn newest(&self, now: Duration, era: Era) -> u64 {
        let number = self.number(now, era);
        match self.last_hit.load(SeqCst) {
            last if last > 0 && self.ahead(last - 1, number) < self.slices => last - 1,
            _ => number,
        }
    }

    /// How many slices `number` is ahead of `other`.
    #[inline]
    fn ahead(&self, number: u64, other: u64) -> u64 {
        if number >= other { number - other } else { number + self.numbers - other }
    }

    #[inline]
    fn add(&self, line: &Line, number: u64) {
        let slice = &line[(number % self.slices) as usize % line.len()];
        let word = slice.load(SeqCst);
        if word >> COUNT != number || word & MOST == MOST {
            return self.begin(slice, number);
        }
        if slice.compare_exchange(word, word + 1, SeqCst, SeqCst).is_err() {
            self.begin(slice, number);
        }
    }

    /// Counts where the slice is that of an earlier round, or another thread writes to it.
    #[cold]
    fn begin(&self, slice: &AtomicU64, number: u64) {
        // an error is a word that stays as it is
        let _ = slice.fetch_update(SeqCst, SeqCst, |word| {
            let (of, count) = (word >> COUNT, word & MOST);
            if of == number {
                return (count < MOST).then_some(word + 1);
            }
            // a call that comes a whole window late is not counted
            let late = count > 0 && self.ahead(of, number) < LATE * self.slices;
            (!late).then_some(number << COUNT | 1)
        });
    }

    #[cold]
    fn hit(&self, number: u64) {
        self.add(&self.hits, number);
        let _ = self.last_hit.fetch_update(SeqCst, SeqCst, |last| {
            let newer = last == 0 || self.ahead(last - 1, number) >= LATE * self.slices;
            newer.then_some(number + 1)
        });
    }

    /// Whether a slice is in the window of another one, or just ahead of it.
    #[cold]
    fn is_near(&self, number: u64, other: u64) -> bool {
        self.ahead(number, other) < self.slices || self.ahead(other, number) <= 1
    }

    fn count(&self, slice: &AtomicU64, number: u64) -> u64 {
        let word = slice.load(SeqCst);
        if self.ahead(number, word >> COUNT) < self.slices { word & MOST } else { 0 }
    }
}

/// Nanoseconds, which begin anew after 584 years.
#[inline]
pub(crate) fn nanos(time: Duration) -> u64 {
    time.as_secs().wrapping_mul(1_000_000_000).wrapping_add(time.subsec_nanos().into())
}

/// The last so many calls, whenever they were.
///
/// Each place of the ring and each sum is a word with its era, so that none needs to be cleared.
#[derive(Debug)]
pub(crate) struct CountWindow {
    /// The next place, counted on to twice the length, so that it tells a ring that was filled.
    next: AtomicU64,
    places: Box<[AtomicU64]>,
    /// May be below zero while a hit is being exchanged for another.
    hits: AtomicU64,
}

fn word(era: Era, value: u32) -> u64 {
    u64::from(era) << 32 | u64::from(value)
}

fn era_of(word: u64) -> Era {
    (word >> 32) as Era
}

fn value_of(word: u64) -> u32 {
    word as u32
}

impl CountWindow {
    pub(crate) fn new(length: u32) -> Self {
        Self {
            next: AtomicU64::default(),
            places: (0..length.max(1)).map(|_| AtomicU64::default()).collect(),
            hits: AtomicU64::default(),
        }
    }

    /// Counts a call, and tells whether there is a hit in the window.
    pub(crate) fn record(&self, era: Era, hit: bool) -> bool {
        let length = self.places.len() as u32;
        let turn =
            update(&self.next, era, |next| if next + 1 < 2 * length { next + 1 } else { length });
        let Some(turn) = turn else { return false };
        let place = &self.places[(turn % length) as usize];
        let Some(was) = update(place, era, |_| u32::from(hit)) else { return false };
        match (was != 0, hit) {
            (false, true) => drop(update(&self.hits, era, |hits| hits.wrapping_add(1))),
            (true, false) => drop(update(&self.hits, era, |hits| hits.wrapping_sub(1))),
            _ => {}
        }
        hit || read(&self.hits, era) != 0
    }

    pub(crate) fn totals(&self, era: Era) -> Totals {
        let calls = read(&self.next, era).min(self.places.len() as u32);
        let hits = u32::try_from(read(&self.hits, era) as i32).unwrap_or(0);
        Totals { calls: calls.into(), hits: hits.min(calls).into() }
    }
}

/// So many hits one after another.
#[derive(Debug, Default)]
pub(crate) struct Streak(AtomicU64);

impl Streak {
    /// Counts a call, and returns the hits in a row.
    #[inline]
    pub(crate) fn record(&self, era: Era, hit: bool) -> u64 {
        if !hit && read(&self.0, era) == 0 {
            return 0;
        }
        let next = |hits: u32| if hit { hits.saturating_add(1) } else { 0 };
        update(&self.0, era, next).map_or(0, |before| next(before).into())
    }

    pub(crate) fn hits(&self, era: Era) -> u64 {
        read(&self.0, era).into()
    }
}

/// The value of this era; zero if there is none yet.
fn read(place: &AtomicU64, era: Era) -> u32 {
    let word = place.load(SeqCst);
    if era_of(word) == era { value_of(word) } else { 0 }
}

/// Changes the value of this era and returns the one before; none if the place is in a newer one.
fn update(place: &AtomicU64, era: Era, change: impl Fn(u32) -> u32) -> Option<u32> {
    let value = |old: u64| if era_of(old) == era { value_of(old) } else { 0 };
    let changed = place.fetch_update(SeqCst, SeqCst, |old| {
        let mine = era_of(old) == era || is_newer(era, era_of(old));
        mine.then(|| word(era, change(value(old))))
    });
    changed.ok().map(value)
}

#[cfg(test)]
mod tests;
