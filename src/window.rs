//! How many calls there were lately, and how many of them hit a rule: sliding, and without a lock.
//!
//! A window is told the *era* of each call. A window of a newer era starts empty, and what comes
//! late from an older one is not counted: a circuit that changes its state clears its windows by going
//! on to the next era, and nothing has to be written for it.

use crate::padded::CachePadded;
use crate::striped::STRIPES;
use crate::sync::{AtomicU64, Ordering::SeqCst};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) calls: u64,
    pub(crate) hits: u64,
}

/// Counts from 1 up to [`LAST_ERA`], and then from 1 again; zero stands for "never".
pub(crate) type Era = u32;

/// The one above stands for no era.
pub(crate) const LAST_ERA: Era = Era::MAX - 1;

/// Whether `a` comes after `b`, also where the count has begun anew in between.
fn is_newer(a: Era, b: Era) -> bool {
    b == 0 || (a != b && a.wrapping_sub(b) <= Era::MAX / 2)
}

/// The calls of a trailing span, in slices.
///
/// A slice is one word, which holds its number and its count together: whoever finds the number of
/// an earlier round starts the count anew in the same write, so nothing is lost at a slice's edge.
///
/// `SeqCst`: a call is counted in one word and its hit in two others, and whoever counts the hit that reaches
/// a rule sees all calls and hits that came before. So of two that reach it together, one at least knows.
#[derive(Debug)]
pub(crate) struct TimeWindow {
    /// Nanoseconds of a slice.
    slice: NonZeroU64,
    /// The slices of the window, of those that there are.
    slices: u64,
    /// The slices of each stripe.
    calls: [Arc<CachePadded<Calls>>; STRIPES],
    /// Calls that hit are rare, and not spread.
    hits: Box<Ring>,
    /// The number of the last slice with a hit, plus one.
    last_hit: AtomicU64,
}

/// There are more slices than a window has, so that finding one takes no division.
pub(crate) const MOST_SLICES: u16 = 32;
const SLICES: u64 = MOST_SLICES as u64;

type Ring = [AtomicU64; SLICES as usize];

/// What the threads of a stripe write.
#[derive(Debug, Default)]
struct Calls {
    ring: Ring,
    /// The calls that [`success`](TimeWindow::success) counted.
    successes: AtomicU64,
}

/// A word of a slice: its number, and below it the count, which stops at its largest value.
const COUNT: u32 = 28;
const MOST: u64 = (1 << COUNT) - 1;
/// So many numbers there are; the first one follows the last.
const NUMBERS: u64 = 1 << (u64::BITS - COUNT);

/// A slice that is ahead by less is one of the future, and otherwise one of long ago.
const LATE: u64 = 64 * SLICES;

impl TimeWindow {
    /// `spread`: over stripes, since many threads will write to it.
    pub(crate) fn new(span: Duration, slices: u16, spread: bool) -> Self {
        let slices = u64::from(slices).clamp(1, SLICES);
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let one = Arc::default();
        let calls = |_| if spread { Arc::default() } else { Arc::clone(&one) };
        Self {
            slice: NonZeroU64::new(span.div_ceil(slices)).unwrap_or(NonZeroU64::MIN),
            slices,
            calls: std::array::from_fn(calls),
            hits: Box::default(),
            last_hit: AtomicU64::default(),
        }
    }

    /// The length of a slice.
    pub(crate) fn slice(&self) -> Duration {
        Duration::from_nanos(self.slice.get())
    }

    /// Counts a call, and tells whether there is a hit in the window.
    #[inline]
    pub(crate) fn record(&self, now: Duration, era: Era, stripe: usize, hit: bool) -> bool {
        let number = self.number(now, era);
        // the call comes first, so that who looks meanwhile sees no hit without its call
        add(&self.of(stripe).ring, number);
        if hit {
            self.hit(number);
        }
        hit || self.is_near_hit(number)
    }

    /// Counts a call that did not hit in the slice of this [`number`], and tells whether there is a hit in
    /// the window. Such calls are also counted for ever, on the side.
    #[inline]
    pub(crate) fn success(&self, number: u64, stripe: usize) -> bool {
        let calls = self.of(stripe);
        calls.successes.fetch_add(1, SeqCst);
        add(&calls.ring, number);
        self.is_near_hit(number)
    }

    /// All successes that were counted, whenever they were.
    pub(crate) fn successes(&self) -> u64 {
        self.all().map(|calls| calls.successes.load(SeqCst)).sum()
    }

    #[inline]
    fn of(&self, stripe: usize) -> &Calls {
        &self.calls[stripe % STRIPES].0
    }

    fn all(&self) -> impl Iterator<Item = &Calls> {
        // stripes that are not spread are one and the same
        let one = Arc::ptr_eq(&self.calls[0], &self.calls[1]);
        self.calls.iter().take(if one { 1 } else { STRIPES }).map(|calls| &calls.0)
    }

    /// Counts a hit without its call, for rules that don't need the calls.
    pub(crate) fn record_hit(&self, now: Duration, era: Era) {
        self.hit(self.number(now, era));
    }

    pub(crate) fn totals(&self, now: Duration, era: Era) -> Totals {
        let number = self.newest(now, era);
        let hits = self.sum(&self.hits, number);
        let calls = self.all().map(|calls| self.sum(&calls.ring, number)).sum();
        Totals { calls, hits }
    }

    pub(crate) fn hits(&self, now: Duration, era: Era) -> u64 {
        self.sum(&self.hits, self.newest(now, era))
    }

    /// The whole slices up to this time.
    fn elapsed(&self, now: Duration) -> u64 {
        nanos(now) / self.slice
    }

    fn number(&self, now: Duration, era: Era) -> u64 {
        number(self.elapsed(now), era)
    }

    /// The slice that a window looks back from. A thread that read its clock before a slice's edge may
    /// come after one that read it behind: together their hits may reach a rule.
    fn newest(&self, now: Duration, era: Era) -> u64 {
        let number = self.number(now, era);
        match self.last_hit.load(SeqCst) {
            last if last > 0 && ahead(last - 1, number) < self.slices => last - 1,
            _ => number,
        }
    }

    #[cold]
    fn hit(&self, number: u64) {
        add(&self.hits, number);
        // an error is a word that stays as it is
        let _ = self.last_hit.fetch_update(SeqCst, SeqCst, |last| {
            let newer = last == 0 || ahead(last - 1, number) >= LATE;
            newer.then_some(number + 1)
        });
    }

    /// Whether the last hit is in the window of this slice, or just ahead of it.
    #[inline]
    fn is_near_hit(&self, number: u64) -> bool {
        match self.last_hit.load(SeqCst) {
            0 => false,
            last => self.is_near(number, last - 1),
        }
    }

    #[cold]
    fn is_near(&self, number: u64, hit: u64) -> bool {
        ahead(number, hit) < self.slices || ahead(hit, number) <= 1
    }

    fn sum(&self, ring: &Ring, number: u64) -> u64 {
        let numbers = (0..self.slices).map(|back| number.wrapping_sub(back) % NUMBERS);
        let counts = numbers.map(|number| {
            let word = ring[(number % SLICES) as usize].load(SeqCst);
            if word >> COUNT == number { word & MOST } else { 0 }
        });
        counts.sum()
    }
}

/// The number of a slice, so many slices after the beginning. Every era begins a whole window after the
/// one before, or later.
pub(crate) fn number(elapsed: u64, era: Era) -> u64 {
    elapsed.wrapping_add(u64::from(era) * SLICES) % NUMBERS
}

/// How many slices `number` is ahead of `other`.
fn ahead(number: u64, other: u64) -> u64 {
    number.wrapping_sub(other) % NUMBERS
}

#[inline]
fn add(ring: &Ring, number: u64) {
    let slice = &ring[(number % SLICES) as usize];
    let word = slice.load(SeqCst);
    // a count that is full would run over into the number
    let counts_on = (word + 1) >> COUNT == number;
    if !counts_on || slice.compare_exchange(word, word + 1, SeqCst, SeqCst).is_err() {
        begin(slice, number);
    }
}

/// Counts where the slice is that of an earlier round, or where another thread writes to it.
#[cold]
fn begin(slice: &AtomicU64, number: u64) {
    // an error is a word that stays as it is
    let _ = slice.fetch_update(SeqCst, SeqCst, |word| {
        let (of, count) = (word >> COUNT, word & MOST);
        if of == number {
            return (count < MOST).then_some(word + 1);
        }
        // a call that comes a whole window late is not counted
        let late = count > 0 && ahead(of, number) < LATE;
        (!late).then_some(number << COUNT | 1)
    });
}

/// Nanoseconds, which begin anew after 584 years.
#[inline]
pub(crate) fn nanos(time: Duration) -> u64 {
    time.as_secs().wrapping_mul(1_000_000_000).wrapping_add(time.subsec_nanos().into())
}

/// The last so many calls, whenever they were.
///
/// Each slot of the ring and each sum is a word with its era, so that none needs to be cleared. `SeqCst`, as in
/// a [`TimeWindow`].
#[derive(Debug)]
pub(crate) struct CountWindow {
    /// The next slot, counted on to twice the length, so that it tells a ring that was filled.
    next: AtomicU64,
    slots: Box<[AtomicU64]>,
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
            slots: (0..length.max(1)).map(|_| AtomicU64::default()).collect(),
            hits: AtomicU64::default(),
        }
    }

    /// Counts a call, and tells whether there is a hit in the window.
    pub(crate) fn record(&self, era: Era, hit: bool) -> bool {
        let length = self.slots.len() as u32;
        let turn =
            update(&self.next, era, |next| if next + 1 < 2 * length { next + 1 } else { length });
        let Some(turn) = turn else { return false };
        let slot = &self.slots[(turn % length) as usize];
        let Some(was) = update(slot, era, |_| u32::from(hit)) else { return false };
        match (was != 0, hit) {
            (false, true) => drop(update(&self.hits, era, |hits| hits.wrapping_add(1))),
            (true, false) => drop(update(&self.hits, era, |hits| hits.wrapping_sub(1))),
            _ => {}
        }
        hit || read(&self.hits, era) != 0
    }

    pub(crate) fn totals(&self, era: Era) -> Totals {
        let calls = read(&self.next, era).min(self.slots.len() as u32);
        let hits = u32::try_from(read(&self.hits, era) as i32).unwrap_or(0);
        Totals { calls: calls.into(), hits: hits.min(calls).into() }
    }
}

/// So many hits one after another. One word, whose own order is enough; `SeqCst` as the windows that stand
/// beside it.
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
fn read(slot: &AtomicU64, era: Era) -> u32 {
    let word = slot.load(SeqCst);
    if era_of(word) == era { value_of(word) } else { 0 }
}

/// Changes the value of this era and returns the one before; none if the slot is in a newer one.
fn update(slot: &AtomicU64, era: Era, change: impl Fn(u32) -> u32) -> Option<u32> {
    let value = |old: u64| if era_of(old) == era { value_of(old) } else { 0 };
    let changed = slot.fetch_update(SeqCst, SeqCst, |old| {
        let mine = era_of(old) == era || is_newer(era, era_of(old));
        mine.then(|| word(era, change(value(old))))
    });
    changed.ok().map(value)
}

#[cfg(test)]
mod tests;
