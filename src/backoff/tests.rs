//! The numbers of other systems, and a naive model for the rest.

use super::*;
use proptest::prelude::*;

/// What is measured over draws is measured over this many.
const DRAWS: u64 = 10_000;

const JITTERS: [Jitter; 5] = [
    Jitter::Full,
    Jitter::Equal,
    Jitter::Decorrelated,
    Jitter::Proportional(Ratio::percent::<50>()),
    Jitter::None,
];

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The delay before retry `n`, counted from one, in many requests.
fn draws(backoff: &Backoff, n: usize) -> Vec<Duration> {
    (0..DRAWS).map(|seed| backoff.delays(seed).nth(n - 1).unwrap()).collect()
}

#[track_caller]
fn assert_near(got: f64, expected: f64, tolerance: f64) {
    assert!((got / expected - 1.0).abs() <= tolerance, "{got}, not about {expected}");
}

#[track_caller]
fn assert_mean(draws: &[Duration], millis: f64) {
    let sum: Duration = draws.iter().sum();
    assert_near(sum.as_secs_f64() * 1_000.0 / DRAWS as f64, millis, 0.02);
}

/// No draw is outside, and both ends are reached within 1 % of the range.
#[track_caller]
fn assert_range(draws: &[Duration], low: Duration, high: Duration) {
    let (least, most) = (*draws.iter().min().unwrap(), *draws.iter().max().unwrap());
    let near = (high - low) / 100;
    assert!((low..=low + near).contains(&least), "{least:?} in {low:?}..{high:?}");
    assert!((high - near..=high).contains(&most), "{most:?} in {low:?}..{high:?}");
}

/// A named example of the docs: `max_retries(4)`, 100±50 to 800±400 ms
#[test]
fn proportional_jitter_draws_evenly_around_the_value() {
    let half = Jitter::Proportional(Ratio::percent::<50>());
    let backoff = Backoff::exponential(ms(100)).jitter(half);
    for (n, middle) in [(1, 100), (2, 200), (3, 400), (4, 800)] {
        let draws = draws(&backoff, n);
        assert_range(&draws, ms(middle / 2), ms(middle * 3 / 2));
        assert_mean(&draws, middle as f64);
    }
}

/// AWS architecture backoff simulator, U(0, v) with v = min(cap, base × 2^n)
#[test]
fn full_jitter_draws_evenly_below_the_value() {
    let backoff = Backoff::exponential(ms(100)).cap(ms(1_000));
    for (n, value) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000), (90, 1_000)] {
        let draws = draws(&backoff, n);
        assert_range(&draws, Duration::ZERO, ms(value));
        assert_mean(&draws, value as f64 / 2.0);
    }
}

/// AWS architecture backoff simulator, v/2 + U(0, v/2)
#[test]
fn equal_jitter_draws_evenly_in_the_upper_half_of_the_value() {
    let backoff = Backoff::exponential(ms(100)).cap(ms(1_000)).jitter(Jitter::Equal);
    for (n, value) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1_000), (90, 1_000)] {
        let draws = draws(&backoff, n);
        assert_range(&draws, ms(value / 2), ms(value));
        assert_mean(&draws, value as f64 * 0.75);
    }
}

/// AWS architecture backoff simulator, whose clipping of the draws does not matter under a large cap
#[test]
fn decorrelated_jitter_grows_by_half_and_the_base() {
    let hour = Duration::from_secs(3_600);
    let backoff = Backoff::exponential(ms(100)).cap(hour).jitter(Jitter::Decorrelated);
    assert_range(&draws(&backoff, 1), ms(100), ms(300));
    for (n, mean) in (1..).zip([200.0, 350.0, 575.0, 912.0, 1_419.0]) {
        // the spread grows as well: 10 000 draws of the fifth have a standard error of 1 %
        let seeds = (0..DRAWS * 10).map(|seed| backoff.delays(seed).nth(n - 1).unwrap());
        let sum: Duration = seeds.sum();
        assert_near(sum.as_secs_f64() * 1_000.0 / (DRAWS * 10) as f64, mean, 0.02);
    }
}

/// resilience4j IntervalFunctionTest, Polly RetryHelperTests
#[test]
fn without_jitter_the_value_doubles_up_to_the_cap() {
    let cap = Duration::from_secs(100);
    let backoff = Backoff::exponential(ms(100)).cap(cap).jitter(Jitter::None);
    let delays: Vec<_> = backoff.delays(0).take(1_000).collect();
    for (n, delay) in delays[..10].iter().enumerate() {
        assert_eq!(*delay, ms(100 << n));
    }
    assert!(delays[10..].iter().all(|delay| *delay == cap));
}

/// D7; Polly RetryHelperTests
#[test]
fn the_thousandth_doubling_of_a_day_saturates() {
    let day = Duration::from_secs(86_400);
    let backoff = Backoff::exponential(day).cap(Duration::MAX).jitter(Jitter::None);
    assert_eq!(backoff.delays(0).nth(999), Some(Duration::MAX));
    assert_eq!(backoff.delays(0).nth(9_999), Some(Duration::MAX));
}

#[test]
fn a_constant_backoff_keeps_its_value() {
    for value in [ms(70), Duration::new(28_283_422, 172_248_409), Duration::MAX] {
        let backoff = Backoff::constant(value).jitter(Jitter::None);
        assert!(backoff.delays(0).take(500).all(|delay| delay == value));
    }
}

#[test]
fn a_sequence_repeats_its_last_value() {
    let values = [ms(5), ms(1), ms(9)];
    let backoff = Backoff::sequence(values).jitter(Jitter::None).factor(3.0);
    let delays: Vec<_> = backoff.delays(0).take(5).collect();
    assert_eq!(delays, [ms(5), ms(1), ms(9), ms(9), ms(9)]);
    assert_eq!(Backoff::sequence([]).delays(0).nth(3), Some(Duration::ZERO));
}

/// B6, L1
#[test]
fn a_sequence_without_an_end_is_cut() {
    let backoff = Backoff::sequence((0..).map(ms)).jitter(Jitter::None);
    assert_eq!(backoff.delays(0).nth(1_023), Some(ms(1_023)));
    assert_eq!(backoff.delays(0).nth(2_000), Some(ms(1_023)));
}

/// D8, E6
#[test]
fn a_factor_below_one_is_one_and_an_infinite_one_is_the_cap_at_once() {
    let delays = |factor| {
        let backoff = Backoff::exponential(ms(100)).factor(factor).jitter(Jitter::None);
        backoff.delays(0).take(4).collect::<Vec<_>>()
    };
    for one in [f64::NAN, f64::NEG_INFINITY, -2.0, -0.0, 0.0, 0.999, 1.0] {
        assert_eq!(delays(one), [ms(100); 4], "{one}");
    }
    assert_eq!(delays(1.5), [ms(100), ms(150), ms(225), Duration::from_micros(337_500)]);
    for cap_at_once in [f64::INFINITY, f64::MAX] {
        assert_eq!(delays(cap_at_once), [ms(100), ms(5_000), ms(5_000), ms(5_000)]);
    }
    let none = Backoff::exponential(Duration::ZERO).factor(f64::INFINITY).jitter(Jitter::None);
    assert_eq!(none.delays(0).nth(3), Some(Duration::ZERO), "nothing does not grow");
}

#[test]
fn a_seed_reproduces_the_delays_and_another_one_changes_them() {
    for jitter in JITTERS {
        let backoff = Backoff::default().jitter(jitter);
        let delays = |seed| backoff.delays(seed).take(20).collect::<Vec<_>>();
        assert_eq!(delays(7), delays(7));
        assert_eq!(delays(7) == delays(8), jitter == Jitter::None);
    }
}

/// Clipped draws would gather there and hit the server in step.
#[test]
fn draws_do_not_gather_on_the_cap() {
    let cap = Duration::from_secs(5);
    for jitter in &JITTERS[..4] {
        let backoff = Backoff::default().cap(cap).jitter(*jitter);
        let draws = draws(&backoff, 40);
        let above = |limit| draws.iter().filter(|draw| **draw >= limit).count();
        assert!(above(cap) <= 1, "{jitter:?}: {} on the cap", above(cap));
        // the narrowest range is half the cap, of which this is one part in fifty
        assert!(above(cap * 99 / 100) <= 300, "{jitter:?}: {}", above(cap * 99 / 100));
        assert!(above(cap * 9 / 10) > 0, "{jitter:?} comes nowhere near the cap");
    }
}

#[test]
fn a_restart_begins_the_sequence_again() {
    let backoff = Backoff::exponential(ms(100)).jitter(Jitter::None);
    let mut progress = Progress::new(0);
    assert_eq!([(); 3].map(|()| progress.next(&backoff)), [ms(100), ms(200), ms(400)]);
    progress.restart();
    assert_eq!(progress.next(&backoff), ms(100));
}

/// U(0, min(cap, max(base, hint / 10))) on top: the base, a tenth of the hint, the cap
#[test]
fn the_jitter_above_a_hint_is_even() {
    let backoff = Backoff::exponential(ms(100)).cap(Duration::from_secs(5));
    for (hint, spread) in [(200, 100), (20_000, 2_000), (600_000, 5_000)] {
        let above = |seed| Progress::new(seed).after_hint(&backoff, ms(hint)) - ms(hint);
        let draws: Vec<_> = (0..DRAWS).map(above).collect();
        assert_range(&draws, Duration::ZERO, ms(spread));
        assert_mean(&draws, spread as f64 / 2.0);
    }
}

#[test]
fn a_retry_after_a_hint_counts_in_the_sequence() {
    let backoff = Backoff::exponential(ms(100)).jitter(Jitter::None);
    let mut progress = Progress::new(0);
    assert_eq!(progress.after_hint(&backoff, ms(7)), ms(7));
    assert_eq!(progress.next(&backoff), ms(200));
}

/// Zero, the largest, 10^18 s and everything between.
fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        Just(Duration::from_secs(1_000_000_000_000_000_000)),
        any::<u64>().prop_map(Duration::from_nanos),
        (0..20_000_u64).prop_map(ms),
    ]
}

fn jitters() -> impl Strategy<Value = Jitter> {
    let share = (0.0..=1.0).prop_map(|share| Jitter::Proportional(Ratio::new(share).unwrap()));
    prop_oneof![prop::sample::select(&JITTERS[..]), share]
}

fn backoffs() -> impl Strategy<Value = Backoff> {
    let factors = prop_oneof![Just(1.0), Just(2.0), Just(f64::MAX), Just(f64::INFINITY), 1.0..10.0];
    (durations(), factors, durations(), jitters()).prop_map(|(base, factor, cap, jitter)| {
        Backoff::exponential(base).factor(factor).cap(cap).jitter(jitter)
    })
}

/// The ranges of the docs in plain seconds, where nothing overflows.
struct Naive {
    value: f64,
    factor: f64,
    base: f64,
    previous: f64,
    cap: f64,
    jitter: Jitter,
}

impl Naive {
    fn new(backoff: &Backoff) -> Self {
        let Shape::Exponential { base, factor } = backoff.shape else { unreachable!() };
        let (base, cap) = (base.as_secs_f64(), backoff.cap.as_secs_f64());
        let base = base.min(cap);
        Self { value: base, factor, base, previous: base, cap, jitter: backoff.randomness() }
    }

    /// Takes the next delay, and says whether it may be.
    fn allows(&mut self, delay: Duration) -> bool {
        let Self { value, base, cap, .. } = *self;
        let (low, high) = match self.jitter {
            Jitter::Full => (0.0, value),
            Jitter::Equal => (value / 2.0, value),
            Jitter::Decorrelated => (base, (3.0 * self.previous).min(cap)),
            Jitter::Proportional(share) => {
                let middle = value.min(cap / (1.0 + share.get()));
                (middle * (1.0 - share.get()), middle * (1.0 + share.get()))
            }
            Jitter::None => (value, value),
        };
        let delay = delay.as_secs_f64();
        // nothing does not grow, by however much
        self.value = if value > 0.0 { (value * self.factor).min(cap) } else { value };
        self.previous = delay;
        // draws are whole nanoseconds, of which 64 bits hold 584 years
        let drawn = if self.jitter == Jitter::None { f64::INFINITY } else { 1.8e10 };
        delay >= low.min(drawn) * (1.0 - 1e-9) - 2e-9 && delay <= high * (1.0 + 1e-9) + 2e-9
    }
}

proptest! {
    /// D4, D5, D7, D8, E6
    #[test]
    fn delays_are_in_the_range_of_a_naive_model_and_never_pass_the_cap(
        backoff in backoffs(), seed: u64,
    ) {
        let mut naive = Naive::new(&backoff);
        for (n, delay) in backoff.delays(seed).take(200).enumerate() {
            prop_assert!(naive.allows(delay), "retry {n}: {delay:?}");
            prop_assert!(delay <= backoff.cap, "retry {n}: {delay:?}");
        }
    }

    /// D4, D7
    #[test]
    fn late_retries_stay_below_the_cap(backoff in backoffs(), seed: u64) {
        for late in [10_000, u32::MAX - 1] {
            let mut progress = Progress { retry: late, ..Progress::new(seed) };
            for _ in 0..3 {
                prop_assert!(progress.next(&backoff) <= backoff.cap);
            }
        }
    }

    /// D7
    #[test]
    fn without_jitter_no_delay_is_shorter_than_the_one_before(backoff in backoffs()) {
        let backoff = backoff.jitter(Jitter::None);
        let delays: Vec<_> = backoff.delays(0).take(200).collect();
        prop_assert!(delays.is_sorted());
        prop_assert_eq!(delays[0], backoff.base().min(backoff.cap));
    }

    #[test]
    fn a_sequence_never_passes_the_cap(
        values in prop::collection::vec(durations(), 0..8),
        cap in durations(), jitter in jitters(), seed: u64,
    ) {
        let backoff = Backoff::sequence(values).cap(cap).jitter(jitter);
        prop_assert!(backoff.delays(seed).take(50).all(|delay| delay <= cap));
    }

    /// D4
    #[test]
    fn a_hint_is_a_floor_with_bounded_jitter_on_top(
        backoff in backoffs(), hint in durations(), seed: u64,
    ) {
        let delay = Progress::new(seed).after_hint(&backoff, hint);
        let spread = backoff.cap.min(backoff.base().max(hint / 10));
        prop_assert!(delay >= hint);
        prop_assert!(delay <= hint.saturating_add(spread));
        if hint.is_zero() || backoff.randomness() == Jitter::None {
            prop_assert_eq!(delay, hint);
        }
    }
}
