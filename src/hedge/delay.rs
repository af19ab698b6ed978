//! After which time a hedge is sent.

use crate::clock::{self, Instant, Looks};
use crate::histogram::{Histogram, SLICES, SliceNumber};
use crate::ratio::Ratio;
use crate::striped::stripe;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Latencies are remembered for so long; the slice that has begun is part of it.
const SPAN: Duration = Duration::from_secs(30);
/// A percentile is taken anew after this.
const LOOK: Duration = Duration::from_millis(250);
/// The looks of a slice.
const LOOKS: u64 = SPAN.as_millis() as u64 / LOOK.as_millis() as u64 / SLICES;

/// After which time a hedge is sent: a `Duration`, or a [`Percentile`].
///
/// ```
/// use std::time::Duration;
/// use tower_failover::Ratio;
/// use tower_failover::hedge::{HedgeLayer, Percentile};
///
/// let fixed = HedgeLayer::plain().delay(Duration::from_millis(50));
/// let adaptive = HedgeLayer::plain()
///     .delay(Percentile::new(Ratio::percent::<99>()).ceiling(Duration::from_secs(3)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delay(Rule);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Fixed(Duration),
    Percentile(Percentile),
}

impl From<Duration> for Delay {
    fn from(delay: Duration) -> Self {
        Self(Rule::Fixed(delay))
    }
}

impl From<Percentile> for Delay {
    fn from(percentile: Percentile) -> Self {
        Self(Rule::Percentile(percentile))
    }
}

/// The time that a share of the answers of the last 30 s did not exceed: with 95 %, a hedge is due for
/// one request of twenty.
///
/// What counts are requests that went well and had to wait, from their call to their answer, whichever
/// attempt gave it; so a slow attempt that lost to its hedge counts as long as it was waited for, and the
/// delay does not shrink by its own work. The time is known to an eighth.
///
/// # Defaults
///
/// 95 %, at least 5 ms, at most 1 s, from 100 answers on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Percentile {
    share: Ratio,
    floor: Duration,
    ceiling: Duration,
    min_samples: u32,
}

impl Default for Percentile {
    fn default() -> Self {
        Self::new(Ratio::percent::<95>())
    }
}

impl Percentile {
    /// Takes this share of the answers.
    pub const fn new(share: Ratio) -> Self {
        let (floor, ceiling) = (Duration::from_millis(5), Duration::from_secs(1));
        Self { share, floor, ceiling, min_samples: 100 }
    }

    /// Sets the shortest delay. Default: 5 ms. It counts also where it is longer than the longest.
    pub const fn floor(mut self, delay: Duration) -> Self {
        self.floor = delay;
        self
    }

    /// Sets the longest delay. Default: 1 s.
    pub const fn ceiling(mut self, delay: Duration) -> Self {
        self.ceiling = delay;
        self
    }

    /// Sets how many answers must be known before there is any hedge. Default: 100. Zero is one.
    pub const fn min_samples(mut self, answers: u32) -> Self {
        self.min_samples = answers;
        self
    }

    /// The delay where so many answers are known, of which the share took this long.
    fn of(
        &self,
        samples: u64,
        percentile: impl FnOnce(f64) -> Option<Duration>,
    ) -> Option<Duration> {
        if samples < self.min_samples.max(1).into() {
            return None;
        }
        Some(percentile(self.share.get())?.min(self.ceiling).max(self.floor))
    }
}

/// The delay as the services of one layer see it, with the latencies that it hangs on.
#[derive(Debug)]
pub(super) struct Wait {
    rule: Rule,
    looks: Looks,
    latencies: Histogram,
    /// One more than the number of the last look; zero before the first. Relaxed, as `found`: whoever sees
    /// the one and not yet the other goes by the look before, which is as good.
    looked: AtomicU64,
    /// What it found, in nanoseconds.
    found: AtomicU64,
}

/// Stands for "not known".
const UNKNOWN: u64 = u64::MAX;

impl Wait {
    pub(super) fn new(delay: Delay, now: Instant) -> Self {
        Self {
            rule: delay.0,
            looks: Looks::new(now, LOOK),
            latencies: Histogram::default(),
            looked: AtomicU64::default(),
            found: AtomicU64::new(UNKNOWN),
        }
    }

    /// The delay of a request that begins now; none where too little is known.
    #[inline]
    pub(super) fn delay(&self, now: Instant) -> Option<Duration> {
        let Rule::Percentile(percentile) = &self.rule else { return self.fixed() };
        let look = self.looks.number(now);
        let found = self.found.load(Relaxed);
        if found != UNKNOWN && self.looked.load(Relaxed) == look + 1 {
            return Some(Duration::from_nanos(found));
        }
        self.look(percentile, look)
    }

    fn fixed(&self) -> Option<Duration> {
        match self.rule {
            Rule::Fixed(delay) => Some(delay),
            Rule::Percentile(_) => None,
        }
    }

    /// One of those that come after another step looks; others go by what is known meanwhile.
    #[cold]
    fn look(&self, percentile: &Percentile, look: u64) -> Option<Duration> {
        let found = self.found.load(Relaxed);
        if self.looked.swap(look + 1, Relaxed) == look + 1 && found != UNKNOWN {
            return Some(Duration::from_nanos(found));
        }
        let slice = slice(look);
        let delay = percentile
            .of(self.latencies.samples(slice), |share| self.latencies.percentile(slice, share));
        let nanos = delay.map_or(UNKNOWN, |delay| {
            u64::try_from(delay.as_nanos()).unwrap_or(UNKNOWN - 1).min(UNKNOWN - 1)
        });
        self.found.store(nanos, Relaxed);
        delay
    }

    /// A request that began at that time went well.
    #[inline]
    pub(super) fn record(&self, began: Instant) {
        if matches!(self.rule, Rule::Percentile(_)) {
            let now = clock::now();
            let took = now.saturating_duration_since(began);
            self.latencies.record(slice(self.looks.number(now)), stripe(), took);
        }
    }

    pub(super) fn delay_now(&self) -> Option<Duration> {
        self.delay(clock::now())
    }
}

/// The delay as a layer was configured it; what goes with it is made with the first service.
#[derive(Clone, Debug)]
pub(super) struct LateWait {
    delay: Delay,
    /// What the services of this layer and of its clones share.
    own: Arc<OnceLock<Arc<Wait>>>,
    /// What handles show: that of the first service, whatever was configured since they were taken.
    pub(super) watched: Arc<OnceLock<Arc<Wait>>>,
}

impl LateWait {
    pub(super) fn new(delay: Delay) -> Self {
        Self { delay, own: Arc::default(), watched: Arc::default() }
    }

    /// With another delay, whose latencies begin anew. Handles are kept, unless they show a service already:
    /// those stay with that.
    pub(super) fn with(self, delay: Delay) -> Self {
        let shown = self.watched.get().is_some();
        let watched = if shown { Arc::default() } else { self.watched };
        Self { delay, own: Arc::default(), watched }
    }

    pub(super) fn get(self) -> Arc<Wait> {
        let wait = self.own.get_or_init(|| Arc::new(Wait::new(self.delay, clock::now())));
        self.watched.get_or_init(|| wait.clone());
        wait.clone()
    }
}

#[inline]
fn slice(look: u64) -> SliceNumber {
    look / LOOKS
}
