//! Percentiles of the latencies of late.

use crate::striped::STRIPES;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

/// The number of a slice of time, counted from a beginning.
pub(crate) type SliceNumber = u64;

/// So many slices are looked at, the one that has begun included.
pub(crate) const SLICES: u64 = 5;

/// Latencies are counted in units of 2 to the power of this, in nanoseconds: 16 µs.
const UNIT: u32 = 14;
/// An octave has so many buckets, 2 to the power of this: a bucket is an eighth of its value wide at most.
const FINE: u32 = 3;
/// The octaves above the first buckets: the last one ends at 275 s.
const OCTAVES: u32 = 21;
const BUCKETS: usize = ((OCTAVES + 1) << FINE) as usize;

/// How often latencies of each size were seen over a sliding span, without a lock.
///
/// A thread counts in its own stripe. When a slice begins anew, what other threads of the stripe count in
/// the same moment may be lost.
#[derive(Default)]
pub(crate) struct Histogram([OnceLock<Box<Stripe>>; STRIPES]);

#[derive(Default)]
struct Stripe([Slice; SLICES as usize]);

/// The counts are relaxed: a percentile is made of many, and one that is not seen yet does not change it. Who
/// begins a slice is decided by the `fetch_max` of its name alone, whatever its ordering.
struct Slice {
    /// One more than its number; zero before the first.
    name: AtomicU64,
    total: AtomicU32,
    counts: [AtomicU32; BUCKETS],
}

impl Default for Slice {
    fn default() -> Self {
        Self {
            name: AtomicU64::default(),
            total: AtomicU32::default(),
            counts: std::array::from_fn(|_| AtomicU32::default()),
        }
    }
}

impl Slice {
    /// Makes it the slice of this number; a later one stays.
    #[cold]
    fn begin(&self, number: SliceNumber) {
        let before = self.name.fetch_max(number + 1, SeqCst);
        if before <= number {
            self.total.store(0, Relaxed);
            self.counts.iter().for_each(|count| count.store(0, Relaxed));
        }
    }
}

impl Histogram {
    /// Counts a latency in this slice.
    #[inline]
    pub(crate) fn record(&self, number: SliceNumber, stripe: usize, took: Duration) {
        let stripe = self.0[stripe % STRIPES].get_or_init(Box::default);
        let slice = &stripe.0[(number % SLICES) as usize];
        if slice.name.load(Relaxed) != number + 1 {
            slice.begin(number);
            if slice.name.load(Relaxed) != number + 1 {
                return;
            }
        }
        slice.counts[bucket(took)].fetch_add(1, Relaxed);
        slice.total.fetch_add(1, Relaxed);
    }

    /// The latencies in the span that ends with this slice.
    pub(crate) fn samples(&self, now: SliceNumber) -> u64 {
        self.slices(now).map(|slice| u64::from(slice.total.load(Relaxed))).sum()
    }

    /// The latency that this share of them does not exceed; none where there are none.
    pub(crate) fn percentile(&self, now: SliceNumber, share: f64) -> Option<Duration> {
        let mut counts = [0_u64; BUCKETS];
        for slice in self.slices(now) {
            for (sum, count) in counts.iter_mut().zip(&slice.counts) {
                *sum += u64::from(count.load(Relaxed));
            }
        }
        let total = counts.iter().sum::<u64>();
        let rank = (total as f64 * share).clamp(0.0, total as f64);
        let mut below = 0;
        counts.iter().enumerate().filter(|(_, count)| **count > 0).find_map(|(at, count)| {
            let before = below as f64;
            below += count;
            let within = (rank - before) / *count as f64;
            (within <= 1.0).then(|| {
                let (from, to) = (floor(at), floor(at + 1));
                Duration::from_nanos(from + ((to - from) as f64 * within.max(0.0)) as u64)
            })
        })
    }

    fn slices(&self, now: SliceNumber) -> impl Iterator<Item = &Slice> {
        let oldest = (now + 2).saturating_sub(SLICES);
        let stripes = self.0.iter().filter_map(OnceLock::get);
        let slices = stripes.flat_map(|stripe| &stripe.0);
        slices.filter(move |slice| (oldest..=now + 1).contains(&slice.name.load(Relaxed)))
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram").finish_non_exhaustive()
    }
}

fn bucket(took: Duration) -> usize {
    let most = u64::MAX >> (UNIT + FINE);
    let units = u64::try_from(took.as_nanos() >> UNIT).map_or(most, |units| units.min(most));
    let octave = (units >> FINE).checked_ilog2().map_or(0, |log| log + 1);
    let place = match octave {
        0 => units,
        _ => (u64::from(octave) << FINE) + ((units >> (octave - 1)) - (1 << FINE)),
    };
    (place as usize).min(BUCKETS - 1)
}

/// Where a bucket begins, in nanoseconds.
fn floor(bucket: usize) -> u64 {
    let (octave, place) = (bucket as u64 >> FINE, bucket as u64 % (1 << FINE));
    let units = match octave {
        0 => place,
        _ => (place + (1 << FINE)) << (octave - 1),
    };
    units << UNIT
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_is_older_than_the_span_does_not_count() {
        let histogram = Histogram::default();
        assert_eq!(histogram.percentile(0, 0.5), None);
        (0..100).for_each(|_| histogram.record(0, 0, ms(100)));
        histogram.record(SLICES - 1, 0, ms(1));
        assert_eq!(histogram.samples(SLICES - 1), 101);
        assert_eq!(histogram.samples(SLICES), 1);
        histogram.record(0, 0, ms(1));
        assert_eq!(histogram.samples(SLICES - 1), 102, "late, and its slice is still there");
        histogram.record(SLICES, 0, ms(1));
        histogram.record(0, 0, ms(1));
        assert_eq!(histogram.samples(SLICES), 2, "too late");
        assert_eq!(histogram.samples(1_000_000), 0);
    }

    /// D4
    #[test]
    fn latencies_of_any_length_have_a_bucket() {
        let histogram = Histogram::default();
        for took in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            histogram.record(0, 0, took);
        }
        assert_eq!(histogram.samples(0), 3);
        assert!(histogram.percentile(0, 1.0) > Some(Duration::from_secs(270)));
        for at in 0..BUCKETS {
            assert_eq!(bucket(Duration::from_nanos(floor(at))), at);
            assert_eq!(bucket(Duration::from_nanos(floor(at + 1) - 1)), at);
        }
    }

    #[test]
    fn threads_count_side_by_side() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for stripe in 0..4 {
                let histogram = &histogram;
                scope.spawn(move || {
                    (1..=1_000).for_each(|took| histogram.record(7, stripe, ms(took)));
                });
            }
        });
        assert_eq!(histogram.samples(7), 4_000);
        let p95 = histogram.percentile(7, 0.95).unwrap().as_secs_f64();
        assert!((0.93..0.97).contains(&p95), "{p95}");
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_an_eighth_of_the_real_one(
            mut micros in proptest::collection::vec(200..100_000_000_u64, 1..300),
            percent in 1..=100_usize,
        ) {
            let histogram = Histogram::default();
            micros.iter().for_each(|us| histogram.record(0, 0, Duration::from_micros(*us)));
            micros.sort_unstable();
            let real = micros[(micros.len() * percent).div_ceil(100) - 1] as f64;
            let found = histogram.percentile(0, percent as f64 / 100.0).unwrap().as_secs_f64() * 1e6;
            prop_assert!((found / real - 1.0).abs() <= 0.126, "{} instead of {}", found, real);
        }
    }
}
