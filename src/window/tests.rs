//! The numbers of other systems, and lists of calls that are counted one by one for the rest.

use super::*;
use proptest::prelude::*;
use std::sync::Barrier;
use std::thread;

const YEAR: Duration = Duration::from_secs(86_400 * 365);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn totals(calls: usize, hits: usize) -> Totals {
    Totals { calls: calls as u64, hits: hits as u64 }
}

fn next(era: Era) -> Era {
    era.wrapping_add(1).max(1)
}

/// Runs the same in some threads that begin at once.
fn together(threads: usize, run: impl Fn(usize) + Sync) {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        for thread in 0..threads {
            let (start, run) = (&start, &run);
            scope.spawn(move || {
                start.wait();
                run(thread);
            });
        }
    });
}

// The numbers of other systems.

/// resilience4j, `FixedSizeSlidingWindowMetricsTest`
#[test]
fn a_failure_slides_out_of_the_last_four_calls() {
    let window = CountWindow::new(4);
    let rates = [true, false, false, false, false].map(|hit| {
        window.record(1, hit);
        let Totals { calls, hits } = window.totals(1);
        (100.0 * hits as f64 / calls as f64 * 10.0).round() / 10.0
    });
    assert_eq!(rates, [100.0, 50.0, 33.3, 25.0, 0.0]);
}

/// resilience4j, `SlidingTimeWindowMetricsTest`
#[test]
fn calls_slide_out_of_the_last_five_seconds() {
    let window = TimeWindow::new(secs(5), 5, false);
    let calls = [
        (0, true),
        (100, false),
        (200, false),
        (1_200, false),
        (2_200, false),
        (3_200, true),
        (4_200, false),
        (5_200, false),
        (6_200, false),
        (11_200, false),
    ];
    let seen = calls.map(|(at, hit)| {
        window.record(ms(at), 1, 0, hit);
        let Totals { calls, hits } = window.totals(ms(at), 1);
        (calls - hits, hits)
    });
    let expected = [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (4, 2), (5, 2), (4, 1), (4, 1), (1, 0)];
    assert_eq!(seen, expected);
}

/// Polly, `RollingHealthMetricsTests`
#[test]
fn a_call_is_gone_exactly_the_windows_length_later() {
    let window = TimeWindow::new(secs(10), 10, false);
    for second in 0..10 {
        window.record(secs(second), 1, 0, false);
    }
    assert_eq!(window.totals(secs(9), 1), totals(10, 0));
    assert_eq!(window.totals(secs(10), 1), totals(9, 0));
    assert_eq!(window.totals(secs(11), 1), totals(8, 0));
    assert_eq!(window.totals(secs(19), 1), totals(0, 0));
}

// Any history against a list of its calls.

#[derive(Clone, Copy, Debug)]
struct Call {
    /// Nanoseconds since the circuit was made.
    at: u128,
    era: Era,
    hit: bool,
}

/// Of calls by time: those of the era whose slice is less than a window old.
fn by_time(history: &[Call], slice: u128, slices: u128, now: u128, era: Era) -> Totals {
    let of_era = history.iter().filter(|call| call.era == era);
    let near = of_era.filter(|call| now / slice < call.at / slice + slices);
    near.fold(Totals::default(), |sum, call| Totals {
        calls: sum.calls + 1,
        hits: sum.hits + u64::from(call.hit),
    })
}

/// Of calls by number: the last of the era.
fn by_number(history: &[Call], length: usize, era: Era) -> Totals {
    let last = history.iter().rev().filter(|call| call.era == era).take(length);
    last.fold(Totals::default(), |sum, call| Totals {
        calls: sum.calls + 1,
        hits: sum.hits + u64::from(call.hit),
    })
}

fn in_a_row(history: &[Call], era: Era) -> u64 {
    let last = history.iter().rev().filter(|call| call.era == era);
    last.take_while(|call| call.hit).count() as u64
}

/// What happens next: after some slices and nanoseconds, after some changes of the era.
type Step = (u64, i64, u8, bool);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slices = prop_oneof![4 => Just(0), 4 => 1_u64..3, 2 => 3_u64..40, 1 => 0_u64..10_000];
    let eras = prop_oneof![9 => Just(0_u8), 1 => 1_u8..4];
    prop::collection::vec((slices, -1_i64..2, eras, any::<bool>()), 1..80)
}

fn eras() -> impl Strategy<Value = Era> {
    prop_oneof![Just(1), Just(Era::MAX - 1), Just(Era::MAX), Just(Era::MAX / 2), 1..Era::MAX]
}

fn history(steps: &[Step], start: u128, slice: u64, first: Era) -> Vec<Call> {
    let (mut at, mut era) = (start, first);
    let calls = steps.iter().map(|&(slices, off, eras, hit)| {
        // just before, at or after the edge of a slice
        let gap = i128::from(slices) * i128::from(slice) + i128::from(off);
        at += u128::try_from(gap).unwrap_or(0);
        era = (0..eras).fold(era, |era, _| next(era));
        Call { at, era, hit }
    });
    calls.collect()
}

fn duration(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap())
}

proptest! {
    /// D6, E1, E3, F12
    #[test]
    fn a_window_by_time_holds_what_a_list_of_the_calls_does(
        span in prop_oneof![1_u64..200, Just(1_000_000_000), Just(10_000_000_000), Just(30_000_000_007)],
        slices in 1_u16..=MOST_SLICES,
        first in eras(),
        at_the_end_of_numbers in any::<bool>(),
        steps in steps(),
    ) {
        let window = TimeWindow::new(Duration::from_nanos(span), slices, false);
        let (slice, slices) = (u128::from(window.slice.get()), u128::from(window.slices));
        prop_assert_eq!(slice, u128::from(span).div_ceil(slices));
        let mut start = 0;
        if at_the_end_of_numbers {
            let left = u128::from(NUMBERS - window.number(Duration::ZERO, first));
            let near_end = (left - 5.min(left)) * slice;
            start = if near_end < 1 << 63 { near_end } else { 0 };
        }
        let history = history(&steps, start, window.slice.get(), first);
        for (n, call) in history.iter().enumerate() {
            let expected = by_time(&history[..=n], slice, slices, call.at, call.era);
            let hit = window.record(duration(call.at), call.era, 0, call.hit);
            prop_assert_eq!(window.totals(duration(call.at), call.era), expected);
            prop_assert_eq!(window.hits(duration(call.at), call.era), expected.hits);
            prop_assert_eq!(hit, expected.hits > 0, "whether to look at it");
            let later = call.at + u128::from(steps[n].0 % 40) * slice;
            let expected = by_time(&history[..=n], slice, slices, later, call.era);
            prop_assert_eq!(window.totals(duration(later), call.era), expected);
        }
    }

    /// D9
    #[test]
    fn times_in_any_order_lose_nothing_but_what_is_a_window_late(
        slices in 1_u16..=MOST_SLICES,
        slots in prop::collection::vec((0_u64..2_000, any::<bool>()), 1..100),
    ) {
        let window = TimeWindow::new(secs(u64::from(slices)), slices, true);
        let most = u64::from(slices) * LATE;
        let mut history = Vec::new();
        for (slot, hit) in slots {
            let at = u128::from(slot % most) * 1_000_000_000 + 7;
            window.record(duration(at), 5, history.len(), hit);
            history.push(Call { at, era: 5, hit });
            let newest = history.iter().map(|call| call.at).max().unwrap();
            let expected = by_time(&history, 1_000_000_000, slices.into(), newest, 5);
            prop_assert_eq!(window.totals(duration(newest), 5), expected);
        }
    }

    /// E1, E3
    #[test]
    fn a_window_by_number_holds_what_a_list_of_the_calls_does(
        length in 1_u32..12,
        first in eras(),
        steps in steps(),
    ) {
        let window = CountWindow::new(length);
        let history = history(&steps, 0, 1, first);
        for (n, call) in history.iter().enumerate() {
            let expected = by_number(&history[..=n], length as usize, call.era);
            let hit = window.record(call.era, call.hit);
            prop_assert_eq!(window.totals(call.era), expected);
            prop_assert_eq!(hit, expected.hits > 0, "whether to look at it");
        }
    }

    /// E1
    #[test]
    fn a_streak_holds_what_a_list_of_the_calls_does(first in eras(), steps in steps()) {
        let streak = Streak::default();
        let history = history(&steps, 0, 1, first);
        for (n, call) in history.iter().enumerate() {
            let expected = in_a_row(&history[..=n], call.era);
            prop_assert_eq!(streak.record(call.era, call.hit), expected);
            prop_assert_eq!(streak.hits(call.era), expected);
        }
    }

    /// D4, D6, D9, E1: any word that was stored, any time and era
    #[test]
    fn no_time_and_no_era_is_too_large(
        span in prop_oneof![Just(Duration::MAX), Just(secs(u64::MAX / 1_000_000_000)), Just(Duration::from_nanos(1))],
        slices in 0_u16..40,
        calls in prop::collection::vec((any::<u64>(), any::<Era>(), any::<bool>()), 1..20),
    ) {
        let (window, ring, streak) =
            (TimeWindow::new(span, slices, true), CountWindow::new(3), Streak::default());
        for (n, (at, era, hit)) in calls.into_iter().enumerate() {
            for at in [Duration::new(at, 999_999_999), Duration::from_nanos(at), Duration::MAX] {
                window.record(at, era, n, hit);
                window.record_hit(at, era);
                let seen = window.totals(at, era);
                prop_assert!(seen.calls <= 60 && seen.hits <= 120);
            }
            ring.record(era, hit);
            streak.record(era, hit);
            prop_assert!(ring.totals(era).calls <= 3 && streak.hits(era) <= 20);
        }
    }
}

// The ends of what can be counted.

/// D4: the longest span still slides in slices of 58 years
#[test]
fn the_longest_span_holds_a_call_for_centuries() {
    let window = TimeWindow::new(Duration::MAX, 10, false);
    window.record(Duration::ZERO, 1, 0, true);
    assert_eq!(window.totals(YEAR * 500, 1), totals(1, 1));
}

/// D6: a slice has at least a nanosecond
#[test]
fn the_shortest_span_still_forgets() {
    let window = TimeWindow::new(Duration::from_nanos(1), 1, false);
    window.record(Duration::from_nanos(5), 1, 0, true);
    assert_eq!(window.totals(Duration::from_nanos(5), 1), totals(1, 1));
    assert_eq!(window.totals(Duration::from_nanos(6), 1), totals(0, 0));
}

/// D12, F12: nothing is walked through for the time that has passed
#[test]
fn a_call_after_ten_idle_years_is_the_only_one() {
    let window = TimeWindow::new(secs(10), 10, false);
    for n in 0..1_000 {
        window.record(ms(n * 10), 1, 0, true);
    }
    assert!(!window.record(YEAR * 10, 1, 0, false), "the hits are gone");
    assert_eq!(window.totals(YEAR * 10, 1), totals(1, 0));
    window.record(YEAR * 10, 1, 0, true);
    assert_eq!(window.totals(YEAR * 10, 1), totals(2, 1));
}

/// E1
#[test]
fn a_full_slice_stops_at_its_largest_count() {
    let window = TimeWindow::new(secs(1), 1, false);
    let number = window.number(Duration::ZERO, 1);
    for word in [&window.calls[0].0.ring[0], &window.hits[0]] {
        word.store(number << COUNT | (MOST - 1), SeqCst);
    }
    for _ in 0..3 {
        window.record(Duration::ZERO, 1, 0, true);
        assert_eq!(window.totals(Duration::ZERO, 1), Totals { calls: MOST, hits: MOST });
    }
    window.record(secs(1), 1, 0, false);
    assert_eq!(window.totals(secs(1), 1), totals(1, 0), "the next slice begins at nothing");
}

/// E1
#[test]
fn the_longest_streak_does_not_begin_anew() {
    let streak = Streak(AtomicU64::new(word(3, u32::MAX - 1)));
    assert_eq!([(); 3].map(|()| streak.record(3, true)), [u64::from(u32::MAX); 3]);
    assert_eq!(streak.record(3, false), 0);
}

/// E1: the place goes on from twice the length to the length, so that the ring stays full
#[test]
fn a_ring_stays_full_however_often_it_goes_round() {
    let window = CountWindow::new(3);
    for n in 0..1_000 {
        window.record(1, n % 3 == 0);
        if n >= 2 {
            assert_eq!(window.totals(1), totals(3, 1));
        }
    }
}

/// E1: no era is taken for one before the other end of their count
#[test]
fn the_era_after_the_last_is_newer_than_it() {
    assert_eq!(next(Era::MAX), 1);
    for (newer, older) in [(1, 0), (Era::MAX, 0), (2, 1), (1, Era::MAX), (5, Era::MAX - 5)] {
        assert!(is_newer(newer, older), "{newer} after {older}");
        assert!(older == 0 || !is_newer(older, newer), "{older} before {newer}");
    }
    assert!(!is_newer(7, 7));
}

/// E1, F2
#[test]
fn what_comes_late_from_an_older_era_counts_in_no_window() {
    for (old, new) in [(1, 2), (9, 12), (Era::MAX - 3, Era::MAX), (Era::MAX, 1)] {
        let (window, ring, streak) =
            (TimeWindow::new(secs(10), 10, false), CountWindow::new(10), Streak::default());
        window.record(secs(3), new, 0, false);
        ring.record(new, true);
        streak.record(new, true);

        assert!(!ring.record(old, true));
        assert_eq!(streak.record(old, true), 0);
        // of all times but that of the slice in use: which of two is late is known up to the wrap only
        for at in [0, 1, 2, 4, 5] {
            window.record(secs(at), old, 0, true);
        }
        if old < new {
            window.record(secs(3), old, 0, true);
        }

        assert_eq!(window.totals(secs(5), new), totals(1, 0));
        assert_eq!(ring.totals(new), totals(1, 1));
        assert_eq!(streak.hits(new), 1);
    }
}

// Several threads.

/// E3
#[test]
fn what_threads_count_by_time_is_exact_at_rest() {
    const CALLS: u64 = 5_000;
    let window = TimeWindow::new(secs(10), 10, true);
    // every thread goes through 40 windows, and is in each slice with others
    let at = |n: u64| ms(n * 80);
    together(4, |thread| {
        for n in 0..CALLS {
            window.record(at(n), 1, thread, n % 3 == 0);
        }
    });
    let history = (0..CALLS).map(|n| Call { at: at(n).as_nanos(), era: 1, hit: n % 3 == 0 });
    let last = at(CALLS - 1);
    let one = by_time(&history.collect::<Vec<_>>(), 1_000_000_000, 10, last.as_nanos(), 1);
    assert_eq!(window.totals(last, 1), Totals { calls: 4 * one.calls, hits: 4 * one.hits });
}

/// E3: on one stripe, so that each write meets others
#[test]
fn threads_on_one_slice_lose_no_call() {
    let window = TimeWindow::new(secs(10), 10, false);
    together(4, |_| {
        for n in 0..20_000 {
            window.record(secs(1), 1, 0, n % 2 == 0);
        }
    });
    assert_eq!(window.totals(secs(1), 1), totals(80_000, 40_000));
}

/// E3
#[test]
fn what_threads_count_by_number_is_exact_at_rest() {
    let window = CountWindow::new(100);
    together(4, |thread| {
        for n in 0..20_000 {
            window.record(1, (n + thread) % 3 == 0);
        }
    });
    let hits = window.slots.iter().filter(|slot| read(slot, 1) == 1).count();
    assert_eq!(window.totals(1), totals(100, hits));
    for _ in 0..100 {
        window.record(1, false);
    }
    assert_eq!(window.totals(1), totals(100, 0));
}

/// E3
#[test]
fn a_streak_of_several_threads_has_all_their_hits() {
    let streak = Streak::default();
    together(4, |_| {
        for _ in 0..10_000 {
            streak.record(1, true);
        }
    });
    assert_eq!(streak.hits(1), 40_000);
}
