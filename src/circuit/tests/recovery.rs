//! How a circuit comes back: open times, ramps and shares.

use super::machine::Steps;
use super::*;
use crate::trip::{Action, Consecutive, FailureRatio};
use CircuitState::{Closed, Degraded, Open, Ramp};

/// Opens, and lets one trial fail after another; the open times.
fn reopenings(steps: &mut Steps, count: usize) -> Vec<Duration> {
    steps.trip(Action::Open);
    let mut times = vec![steps.open_time()];
    for _ in 0..count {
        let trial = steps.wait_out().trial();
        assert_eq!(steps.trial_ended(trial, CallVerdict::Bad), Open);
        times.push(steps.open_time());
    }
    times
}

#[track_caller]
fn assert_near(time: Duration, middle: Duration) {
    let (low, high) = (middle.mul_f64(0.8), middle.mul_f64(1.2));
    assert!((low..=high).contains(&time), "{time:?}, not about {middle:?}");
}

fn close(steps: &mut Steps) {
    let trial = steps.wait_out().trial();
    assert_eq!(steps.trial_ended(trial, CallVerdict::Good), Closed);
}

/// F7
#[test]
fn open_times_grow_from_one_reopening_to_the_next_up_to_their_cap() {
    let times = reopenings(&mut Steps::new(CircuitConfig::default()), 20);
    for (time, seconds) in times.iter().zip([1, 2, 4, 8, 16]) {
        assert_near(*time, secs(seconds));
    }
    let last = &times[5..];
    assert!(last.iter().all(|time| (secs(20)..=secs(30)).contains(time)), "{last:?}");
    assert!(last.windows(2).any(|pair| pair[0] != pair[1]), "with jitter also at the cap");
}

/// D7
#[test]
fn ten_thousand_reopenings_overflow_nothing() {
    let uncapped = Backoff::exponential(secs(1)).cap(Duration::MAX).jitter(Jitter::None);
    for open_for in [CircuitConfig::default().open_for, uncapped] {
        let mut steps = Steps::new(CircuitConfig { open_for, ..CircuitConfig::default() });
        let times = reopenings(&mut steps, 10_000);
        assert!(times[10..].iter().all(|time| *time >= secs(20) || times[5] > secs(30)));
    }
}

/// F7
#[test]
fn open_times_begin_anew_only_after_a_sustained_good_time() {
    let config = CircuitConfig { successes: 1, ..CircuitConfig::default() };
    for (good, seconds) in [(ms(59_999), 16), (secs(60), 1)] {
        let mut steps = Steps::new(config.clone());
        reopenings(&mut steps, 3);
        close(&mut steps);
        steps.wait(good);
        steps.trip(Action::Open);
        assert_near(steps.open_time(), secs(seconds));
    }
}

/// F7: the circuit is degraded on its way from good to bad
#[test]
fn a_good_time_counts_also_when_the_circuit_degrades_before_it_opens() {
    for (good, seconds) in [(ms(59_999), 16), (secs(60), 1)] {
        let mut steps = Steps::new(CircuitConfig { successes: 1, ..CircuitConfig::default() });
        reopenings(&mut steps, 3);
        close(&mut steps);
        steps.wait(good);
        assert_eq!(steps.trip(Action::Degrade), Degraded);
        steps.wait(secs(1));
        steps.trip(Action::Open);
        assert_near(steps.open_time(), secs(seconds));
    }
}

#[test]
fn a_degraded_time_is_no_good_one() {
    let mut steps = Steps::new(CircuitConfig { successes: 1, ..CircuitConfig::default() });
    reopenings(&mut steps, 3);
    close(&mut steps);
    steps.trip(Action::Degrade);
    steps.wait(secs(3_600));
    steps.trip(Action::Open);
    assert_near(steps.open_time(), secs(16));
}

/// D4, H1
#[test]
fn a_hint_makes_the_open_time_longer_up_to_a_minute() {
    for (hint, time) in [
        (Duration::ZERO, secs(1)),
        (ms(500), secs(1)),
        (secs(7), secs(7)),
        (secs(60), secs(60)),
        (secs(61), secs(60)),
        (secs(1_000_000_000_000_000_000), secs(60)),
        (Duration::MAX, secs(60)),
    ] {
        let mut steps = Steps::new(plainly());
        let call = steps.admit().unwrap();
        steps.trip_by(call, Action::Open, 1.0, Some(hint));
        assert_eq!(steps.open_time(), time, "after a hint of {hint:?}");
    }
}

/// D4
#[test]
fn no_setting_is_too_long_or_too_short() {
    let most = CircuitConfig {
        open_for: steadily(Duration::MAX),
        forget_after: Duration::MAX,
        trials: u32::MAX,
        successes: u32::MAX,
        trial_timeout: Some(Duration::MAX),
        ramp: Duration::MAX,
        dwell: Duration::MAX,
    };
    let least = CircuitConfig {
        open_for: steadily(Duration::ZERO),
        forget_after: Duration::ZERO,
        trials: 1,
        successes: 1,
        trial_timeout: Some(Duration::ZERO),
        ramp: Duration::from_nanos(1),
        dwell: Duration::ZERO,
    };
    for config in [most, least] {
        let mut steps = Steps::new(config);
        for time in [Duration::ZERO, secs(1), Duration::MAX, Duration::MAX] {
            steps.wait(time);
            steps.trip(Action::Degrade);
            for calm in [Some(true), None, Some(false)] {
                if let Ok(trial) = steps.admit_if(calm) {
                    steps.trial_ended(trial, CallVerdict::Good);
                }
            }
            assert!((0.0..=1.0).contains(&steps.share()));
            steps.trip(Action::Open);
            if let Ok(trial) = steps.admit() {
                steps.trial_ended(trial, CallVerdict::Bad);
            }
        }
    }
}

/// Envoy's slow start, with its factor of a tenth; F6
#[test]
fn a_ramp_admits_a_share_that_grows_with_its_time() {
    let mut steps = Steps::new(CircuitConfig { ramp: secs(60), ..trial_closes() });
    let trial = steps.until_trials().trial();
    assert_eq!(steps.trial_ended(trial, CallVerdict::Good), Ramp);
    let mut passed = 0;
    for (second, share) in [(0, 0.1), (1, 0.1), (6, 0.1), (30, 0.5), (45, 0.75), (59, 59.0 / 60.0)]
    {
        steps.wait(secs(second - passed));
        passed = second;
        assert!((steps.share() - share).abs() < 1e-9, "at {second} s");
        let admitted = (0..600).filter(|_| steps.admit().is_ok()).count();
        let expected = share * 600.0;
        assert!((admitted as f64 - expected).abs() <= 1.0, "{admitted} at {second} s");
        assert_eq!(steps.admit().map_or_else(|refused| refused.state, |_| Ramp), Ramp);
    }
    steps.wait(secs(1));
    assert_eq!((steps.state(), steps.share()), (Closed, 1.0));
    assert!((0..100).all(|_| steps.admit().is_ok()));
}

#[test]
fn a_share_is_cut_by_how_far_the_rule_was_exceeded_and_has_a_floor() {
    for (severity, left) in [(0.0, 0.9), (0.5, 0.7), (1.0, 0.5), (9.0, 0.5), (-1.0, 0.9)] {
        let mut steps = Steps::new(plainly());
        let mut expected: f64 = 1.0;
        for _ in 0..400 {
            let call = steps.admit().ok();
            let Some(call) = call else { continue };
            assert_eq!(steps.trip_by(call, Action::Degrade, severity, None), Degraded);
            expected = (expected * left).max(0.05);
            assert!((steps.share() - expected).abs() < 1e-9);
        }
        assert!((steps.share() - 0.05).abs() < 1e-9, "the floor");
    }
}

#[test]
fn a_share_is_spread_evenly_over_the_calls() {
    let mut steps = Steps::new(plainly());
    steps.trip(Action::Degrade);
    steps.trip(Action::Degrade);
    assert!(steps.admit().is_ok(), "the first of a new share is let through");
    let passed: Vec<_> = (0..400).map(|_| steps.admit().is_ok()).collect();
    assert!(passed.chunks(4).all(|four| four.iter().filter(|passed| **passed).count() == 1));
}

#[test]
fn a_dwell_that_went_well_raises_the_share_by_a_step() {
    let mut steps = Steps::new(plainly());
    steps.trip(Action::Degrade);
    for step in 1..10 {
        steps.wait(secs(5) - Duration::from_nanos(1));
        let _ = steps.admit_if(Some(true));
        steps.wait(Duration::from_nanos(1));
        let _ = steps.admit_if(Some(true));
        let share = 0.5 + 0.05 * f64::from(step);
        assert!((steps.share() - share).abs() < 1e-9, "{} after {step}", steps.share());
    }
    steps.wait(secs(5));
    assert!(steps.admit_if(Some(true)).is_ok());
    assert_eq!((steps.state(), steps.share()), (Closed, 1.0));
}

#[test]
fn a_dwell_whose_calls_would_reach_the_rule_raises_nothing() {
    let mut steps = Steps::new(plainly());
    steps.trip(Action::Degrade);
    for _ in 0..100 {
        steps.wait(secs(5));
        let _ = steps.admit_if(Some(false));
        assert_eq!(steps.share(), 0.5);
    }
}

#[test]
fn four_dwells_are_enough_where_no_call_has_ended() {
    let mut steps = Steps::new(plainly());
    steps.trip(Action::Degrade);
    assert!(steps.admit().is_ok());
    steps.wait(secs(20) - Duration::from_nanos(1));
    let _ = steps.admit();
    assert_eq!(steps.share(), 0.5);
    steps.wait(Duration::from_nanos(1));
    let _ = steps.admit();
    assert!((steps.share() - 0.55).abs() < 1e-9);
}

/// D12, F12: without calls there is nothing to wait for
#[test]
fn a_share_without_calls_is_raised_for_each_dwell_that_passed() {
    for (dwells, share) in [(1, 0.55), (3, 0.65), (9, 0.95), (10, 1.0), (63_072_000, 1.0)] {
        let mut steps = Steps::new(plainly());
        steps.trip(Action::Degrade);
        steps.wait(secs(5 * dwells));
        assert!(steps.admit().is_ok());
        assert!((steps.share() - share).abs() < 1e-9, "{} after {dwells}", steps.share());
        assert_eq!(steps.state() == Closed, dwells >= 10);
    }
}

/// In floating point, 9 ms divided by 3 ms are less than three
#[test]
fn a_dwell_is_over_exactly_when_it_is() {
    for (dwell, dwells) in (1..100).flat_map(|dwell| (1..10).map(move |dwells| (dwell, dwells))) {
        let mut steps = Steps::new(CircuitConfig { dwell: ms(dwell), ..plainly() });
        steps.trip(Action::Degrade);
        steps.wait(ms(dwell) * dwells);
        let _ = steps.admit();
        let share = 0.5 + 0.05 * f64::from(dwells);
        assert!((steps.share() - share).abs() < 1e-9, "{dwells} times {dwell} ms");
    }
}

/// The whole way through a circuit: the calls of a share decide about the next one
#[test]
fn a_degraded_circuit_follows_what_its_calls_say() {
    let rule = FailureRatio::new(ratio(0.5)).within(secs(30)).min_calls(10).degrade();
    let mut bench = Bench::new(&[rule], plainly());
    let early = bench.admitted();
    assert_eq!(bench.calls(10, BAD), Degraded);
    assert_eq!(bench.share(), 0.5);
    // F2: of the whole, not of this share
    bench.end(early, BAD);
    assert_eq!(bench.circuit.snapshot(bench.now).rules[0].calls, 0);

    for _ in 0..4 {
        if let Ok(call) = bench.begin() {
            bench.end(call, GOOD);
        }
    }
    bench.wait(secs(5));
    let _ = bench.begin();
    assert!((bench.share() - 0.55).abs() < 1e-9);

    for how in [GOOD, BAD, BAD] {
        let call = (0..3).find_map(|_| bench.begin().ok()).unwrap();
        bench.end(call, how);
    }
    bench.wait(secs(5));
    let _ = bench.begin();
    assert!(
        (bench.share() - 0.55).abs() < 1e-9,
        "two of three are too few calls, but no good ones"
    );
    for _ in 0..7 {
        let call = (0..3).find_map(|_| bench.begin().ok()).unwrap();
        bench.end(call, BAD);
    }
    // nine of ten: 0.8 of the way from the limit to all
    assert!((bench.share() - 0.55 * 0.58).abs() < 1e-9, "{}", bench.share());
}

#[test]
fn each_opening_is_counted_also_one_that_was_over_before_anybody_looked() {
    let mut bench = Bench::new(&[Consecutive::count::<1>().into()], plainly());
    bench.calls(1, BAD);
    bench.wait(secs(1));
    bench.admitted();
    bench.wait(secs(2));
    // the trial hung a second ago, and the circuit was open up to now
    assert!(bench.admitted().is_trial());
    assert_eq!(bench.circuit.snapshot(bench.now).opened, 2);
}
