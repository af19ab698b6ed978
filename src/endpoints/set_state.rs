//! What the endpoints of a set share: their clock, their settings, and who waits for one of them.

use super::census::Census;
use super::change_count::ChangeCount;
use super::config::SetConfig;
use crate::clock::{Instant, Millis};
use crate::ewma::{LAST_TICK, Tick, pack, tick, unpack};
use crate::padded::CachePadded;
use crate::rng::{Draws, Rng, Seeds};
use crate::striped::{STRIPES, stripe};
use crate::sync::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use crate::waiters::Waiters;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// The time between calls that are made although all rest, in milliseconds.
const LAST_HOPE: Tick = 1_000;

/// Shared by all the endpoints of a set.
pub(crate) struct SetState {
    ticks: Millis,
    /// Read by every call, and written when an endpoint rests or returns.
    words: CachePadded<Words>,
    /// Who waits for an endpoint, and who for the end of a call as well.
    waiters: Waiters,
    room: Waiters,
    /// The calls that wait for the end of another one. `SeqCst`, as what they wait by; a call that does not see
    /// one that has just come goes before it.
    queue: AtomicU64,
    config: RwLock<Arc<SetConfig>>,
    census: Census,
    /// When there is another call although all rest. `SeqCst`: taken by one in one read-modify-write, and
    /// only when all rest.
    last_hope: AtomicU64,
    seeds: Seeds,
    /// For the draws of each stripe. Relaxed: chance.
    draws: [CachePadded<AtomicU64>; STRIPES],
}

#[derive(Debug, Default)]
struct Words {
    changes: ChangeCount,
    /// The median latency, and until when it is taken for that. Relaxed: an estimate in one word.
    typical: AtomicU64,
    /// Whether latencies are those of whole answers. Relaxed where it is read: a setting holds for calls that
    /// see it.
    whole_latency: AtomicU64,
}

impl SetState {
    pub(crate) fn new(config: SetConfig, began: Instant) -> Self {
        let set_state = Self {
            ticks: Millis::new(began, Duration::from_millis(1)),
            words: CachePadded::default(),
            waiters: Waiters::default(),
            room: Waiters::default(),
            queue: AtomicU64::default(),
            config: RwLock::default(),
            census: Census::default(),
            last_hope: AtomicU64::default(),
            seeds: Seeds::random(),
            draws: Default::default(),
        };
        set_state.draws.iter().for_each(|draws| draws.0.store(set_state.seeds.next(), Relaxed));
        set_state.tell(config);
        set_state
    }

    /// The time since the set was made.
    #[inline]
    pub(crate) fn at(&self, instant: Instant) -> Duration {
        self.ticks.passed(instant)
    }

    /// The millisecond of an instant that has passed.
    pub(crate) fn tick_of(&self, instant: Instant) -> Tick {
        tick(self.at(instant))
    }

    /// The millisecond that it is.
    #[inline]
    pub(crate) fn tick(&self, instant: Instant) -> Tick {
        self.ticks.number(instant).min(LAST_TICK)
    }

    pub(crate) fn config(&self) -> Arc<SetConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes other settings for all that happens from now on.
    pub(crate) fn tell(&self, config: SetConfig) {
        self.words.0.whole_latency.store(config.whole_latency.into(), SeqCst);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.changed();
    }

    #[inline]
    pub(crate) fn whole_latency(&self) -> bool {
        self.words.0.whole_latency.load(Relaxed) != 0
    }

    #[inline]
    pub(crate) fn changes(&self) -> &ChangeCount {
        &self.words.0.changes
    }

    /// Other endpoints can be chosen than before.
    pub(crate) fn changed(&self) {
        self.words.0.changes.note();
        self.waiters.wake();
    }

    pub(crate) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    pub(crate) fn room(&self) -> &Waiters {
        &self.room
    }

    /// Whether calls wait for the end of others.
    #[inline]
    pub(crate) fn has_queue(&self) -> bool {
        self.queue.load(SeqCst) > 0
    }

    pub(crate) fn join_queue(&self) {
        self.queue.fetch_add(1, SeqCst);
    }

    pub(crate) fn leave_queue(&self) {
        self.queue.fetch_sub(1, SeqCst);
    }

    /// The median latency in nanoseconds, 0 where none is known.
    #[inline]
    pub(crate) fn typical(&self) -> f32 {
        unpack(self.words.0.typical.load(Relaxed)).0
    }

    /// Whether the median should be taken anew.
    #[inline]
    pub(crate) fn typical_is_old(&self, now: Tick) -> bool {
        now >= unpack(self.words.0.typical.load(Relaxed)).1
    }

    pub(crate) fn set_typical(&self, nanos: f32, until: Tick) {
        self.words.0.typical.store(pack(nanos, until), Relaxed);
    }

    /// Makes all that is left to chance begin with this seed: on every thread the same, since a thread is
    /// not always given the same stripe.
    pub(crate) fn sow(&self, seed: u64) {
        self.seeds.sow(seed);
        self.draws.iter().for_each(|draws| draws.0.store(seed, Relaxed));
    }

    /// The draws of a call.
    #[inline]
    pub(crate) fn draws(&self) -> Draws {
        Draws::begin(&self.draws[stripe() % STRIPES].0)
    }

    /// All rest: takes the right to the one call a second that is made all the same, or tells when there
    /// will be another.
    pub(crate) fn take_last_hope(&self, now: Tick) -> Result<(), Tick> {
        let free = |next: u64| (next <= now).then_some(now.saturating_add(LAST_HOPE));
        self.last_hope.fetch_update(SeqCst, SeqCst, free).map(drop)
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seeds.next()
    }

    /// A number between 0 and 1.
    pub(crate) fn jitter(&self) -> f64 {
        Rng::new(self.seeds.next()).share()
    }

    pub(crate) fn census(&self) -> &Census {
        &self.census
    }

    /// Ejects an endpoint if its tier can spare it.
    pub(crate) fn eject<T>(&self, tier: u8, eject: impl FnOnce() -> Option<T>) -> Option<T> {
        self.census.eject(tier, self.config().max_ejected, eject)
    }
}

impl fmt::Debug for SetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetState").field("words", &self.words).finish_non_exhaustive()
    }
}
