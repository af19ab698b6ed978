//! Private randomness that can be seeded; `rand` stays out of the API.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The step of Weyl's sequence that SplitMix64 takes: odd, so that it meets every seed once.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Hands every request a generator of its own, without a lock.
///
/// Relaxed: each seed is handed out once, and nothing else is read because of it.
#[derive(Debug)]
pub(crate) struct Seeds(AtomicU64);

impl Seeds {
    pub(crate) fn random() -> Self {
        Self::seeded(rand::random())
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Begins anew, with this seed.
    pub(crate) fn sow(&self, seed: u64) {
        self.0.store(seed, Relaxed);
    }

    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(STEP, Relaxed)
    }
}

/// The generator of one request.
#[derive(Clone, Debug)]
pub(crate) struct Rng(SmallRng);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// A number between 0 and 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0.random_range(0.0..1.0)
    }

    /// A duration between both, evenly; `low` where `high` is not above it.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let (low, high) = (nanos(low), nanos(high));
        Duration::from_nanos(if low < high { self.0.random_range(low..=high) } else { low })
    }
}

/// Draws of no consequence but chance, cheap enough for every call: SplitMix64.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Begins draws from the next of these seeds.
    #[inline]
    pub(crate) fn begin(seeds: &AtomicU64) -> Self {
        // by another step than that of the draws, which else would be those of the call before
        Self(seeds.fetch_add(0xD1B5_4A32_D192_ED03, Relaxed))
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, from the upper half of a draw.
    #[inline]
    pub(crate) fn below(draw: u64, count: usize) -> usize {
        (((draw >> 32) * count as u64) >> 32) as usize
    }

    /// A share of the whole, from the lower half of a draw.
    #[inline]
    pub(crate) fn share(draw: u64) -> f32 {
        (draw as u32 >> 8) as f32 / (1_u32 << 24) as f32
    }
}

/// Saturates after 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D4, D8: nothing here can panic
    #[test]
    fn draws_stay_between_their_bounds() {
        let mut rng = Rng::new(7);
        assert_eq!(rng.between(Duration::ZERO, Duration::ZERO), Duration::ZERO);
        assert_eq!(
            rng.between(Duration::from_secs(2), Duration::from_secs(1)),
            Duration::from_secs(2)
        );
        rng.between(Duration::ZERO, Duration::MAX);
        for _ in 0..1_000 {
            let drawn = rng.between(Duration::from_millis(5), Duration::from_millis(6));
            assert!((5_000_000..=6_000_000).contains(&drawn.as_nanos()));
        }
    }

    #[test]
    fn a_seed_reproduces_and_its_streams_differ() {
        let (a, b) = (Seeds::seeded(1), Seeds::seeded(1));
        let draw = |seeds: &Seeds| Rng::new(seeds.next()).between(Duration::ZERO, Duration::MAX);
        let first = draw(&a);
        assert_eq!(first, draw(&b));
        assert_ne!(first, draw(&a));
    }
}
