//! Moving averages that forget with time: pure arithmetic, and the words in which they are kept.

use std::time::Duration;

/// Milliseconds since a beginning: enough for 34 years, where it stops.
pub(crate) type Tick = u64;

const VALUE_BITS: u32 = 24;
pub(crate) const LAST_TICK: Tick = (1 << (64 - VALUE_BITS)) - 1;

pub(crate) fn tick(since: Duration) -> Tick {
    Tick::try_from(since.as_millis()).unwrap_or(LAST_TICK).min(LAST_TICK)
}

/// A number that is not negative, to five digits, and a tick, in one word.
#[inline]
pub(crate) fn pack(value: f32, at: Tick) -> u64 {
    at << VALUE_BITS | u64::from(value.to_bits() >> 8)
}

#[inline]
pub(crate) fn unpack(word: u64) -> (f32, Tick) {
    // what stands above the value falls out of the half word
    (f32::from_bits((word as u32) << 8), word >> VALUE_BITS)
}

/// What is left of a difference after so many milliseconds, when it decays with this time constant.
#[inline]
pub(crate) fn left(passed: Tick, decay: f32) -> f32 {
    let passed = passed as f32 / decay;
    // nearly all are short, and then the beginning of the series is as good to four digits
    if passed < 0.05 { 1.0 - passed + passed * passed / 2.0 } else { (-passed).exp() }
}

/// The way from a value to another one, of which this share is left. From an average to a sample, it leads
/// to the next average.
#[inline]
pub(crate) fn toward(from: f32, to: f32, left: f32) -> f32 {
    to + (from - to) * left
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A time constant of 10 s, an average of 100 ms, a sample of 10 ms.
    #[test]
    fn a_sample_counts_the_more_the_longer_it_was_quiet() {
        for (after, average) in [(1_000, 91.4), (5_000, 64.6), (10_000, 43.1), (30_000, 14.5)] {
            let found = toward(100.0, 10.0, left(after, 10_000.0));
            assert!((found - average).abs() < 0.06, "{found} after {after} ms");
        }
    }

    /// D4, D12: thirty years are not too long
    #[test]
    fn ticks_end_where_their_word_does() {
        assert_eq!(tick(Duration::from_millis(1_999)), 1_999);
        assert_eq!(tick(Duration::MAX), LAST_TICK);
        assert_eq!(unpack(pack(1.0, u64::MAX)), (1.0, LAST_TICK));
        assert_eq!(left(LAST_TICK, 2_000.0), 0.0);
    }

    proptest! {
        /// E5, J6
        #[test]
        fn a_word_keeps_a_number_to_five_digits(value in 0.0_f32..f32::MAX, at in 0..LAST_TICK) {
            let (kept, when) = unpack(pack(value, at));
            prop_assert_eq!(when, at);
            prop_assert!(kept.is_finite() && kept >= 0.0);
            prop_assert!((kept - value).abs() <= value * 1e-4 + f32::MIN_POSITIVE);
        }

        /// E5
        #[test]
        fn an_average_stays_between_what_it_is_made_of(
            average in 0.0_f32..1e18, sample in 0.0_f32..1e18, passed in 0..LAST_TICK,
        ) {
            let found = toward(average, sample, left(passed, 2_000.0));
            let (low, high) = (average.min(sample), average.max(sample));
            prop_assert!(found >= low * 0.999 && found <= high * 1.001);
        }
    }
}
