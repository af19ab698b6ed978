//! What a rule counts, when it is reached, and what its settings mean at their ends.

use super::*;
use crate::trip::{Consecutive, FailureRatio, Failures, SlowRatio, TripRule};
use CircuitState::{Closed, Degraded, Open};

fn under(rule: impl Into<TripRule>) -> Bench {
    Bench::new(&[rule.into()], plainly())
}

fn half() -> FailureRatio {
    FailureRatio::percent::<50>()
}

/// F12
#[test]
fn a_window_of_ten_at_half_opens_on_the_fifth_failure_after_a_million_successes() {
    let bench = under(half().last(nonzero(10)).min_calls(10));
    let many = if cfg!(miri) { 1_000 } else { 1_000_000 };
    assert_eq!(bench.calls(many, GOOD), Closed);
    assert_eq!(bench.calls(4, BAD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
}

/// resilience4j, `CircuitBreakerStateMachineTest`
#[test]
fn three_failures_of_six_open_at_half_and_two_of_five_do_not() {
    let bench = under(half().last(nonzero(100)).min_calls(5));
    assert_eq!(bench.calls(3, GOOD), Closed);
    assert_eq!(bench.calls(2, BAD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
}

/// resilience4j, `CircuitBreakerStateMachineTest`: F F F S S opens, on a success
#[test]
fn a_success_may_complete_the_minimum_and_trip() {
    for rule in [half().last(nonzero(100)), half().within(secs(10))] {
        let bench = under(rule.min_calls(5));
        assert_eq!(bench.calls(3, BAD), Closed);
        assert_eq!(bench.calls(1, GOOD), Closed);
        assert_eq!(bench.calls(1, GOOD), Open);
    }
}

/// E4: a share that floating point can't hold is reached by just that share
#[test]
fn a_share_is_reached_by_exactly_that_share() {
    for (share, hits, of) in [
        (0.1, 3, 30),
        (0.3, 3, 10),
        (0.7, 7, 10),
        (1.0 / 3.0, 1, 3),
        (0.001, 1, 1_000),
        (1.0, 5, 5),
    ] {
        for rule in
            [FailureRatio::new(ratio(share)).last(nonzero(of)), FailureRatio::new(ratio(share))]
        {
            let bench = under(rule.min_calls(of));
            assert_eq!(bench.calls(of - hits, GOOD), Closed);
            assert_eq!(bench.calls(hits - 1, BAD), Closed, "{hits} of {of}");
            assert_eq!(bench.calls(1, BAD), Open, "{hits} of {of}");

            let bench = under(rule.min_calls(of));
            bench.calls(of - hits, GOOD);
            assert_eq!(bench.calls(hits - 1, BAD), Closed);
            assert_eq!(bench.calls(1, GOOD), Closed, "{} of {of}", hits - 1);
        }
    }
}

#[test]
fn above_a_quarter_is_26_of_100_and_not_25() {
    let rule = FailureRatio::above(Ratio::percent::<25>()).within(secs(30)).min_calls(100);
    let bench = under(rule);
    bench.calls(75, GOOD);
    assert_eq!(bench.calls(25, BAD), Closed);
    // and 26 of 101 are more than a quarter too
    assert_eq!(bench.calls(1, BAD), Open);

    let bench = under(rule);
    bench.calls(74, GOOD);
    assert_eq!(bench.calls(25, BAD), Closed);
    assert_eq!(bench.calls(1, BAD), Open, "26 of 100");
}

/// E6: the smallest share above which there can be anything
#[test]
fn above_next_to_nothing_is_the_first_failure() {
    let bench = under(FailureRatio::above(ratio(f64::MIN_POSITIVE)).min_calls(2));
    assert_eq!(bench.calls(10, GOOD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
}

/// E4, E6: no calls are no share, and a minimum of none is one of one
#[test]
fn a_minimum_of_none_waits_for_the_first_call() {
    let bench = under(half().min_calls(0));
    assert_eq!(bench.state(), Closed);
    assert_eq!(bench.calls(1, GOOD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
}

#[test]
fn more_than_fifty_failures_a_minute_are_fifty_one() {
    let mut bench = under(Failures::count::<51>().within(secs(60)));
    for _ in 0..50 {
        assert_eq!(bench.calls(1, BAD), Closed);
        bench.calls(100, GOOD);
        bench.wait(secs(1));
    }
    assert_eq!(bench.calls(1, BAD), Open);
}

/// F12
#[test]
fn failures_that_are_a_window_old_are_forgotten() {
    let mut bench = under(Failures::count::<51>().within(secs(60)));
    bench.calls(50, BAD);
    bench.wait(secs(60));
    assert_eq!(bench.calls(50, BAD), Closed);
    bench.wait(ms(59_999));
    assert_eq!(bench.calls(1, BAD), Open);
}

#[test]
fn failures_among_the_last_calls_are_counted_without_a_minimum() {
    let bench = under(Failures::count::<3>().last(nonzero(5)));
    bench.calls(2, BAD);
    assert_eq!(bench.calls(3, GOOD), Closed);
    assert_eq!(bench.calls(2, BAD), Closed, "the first two have slid out");
    assert_eq!(bench.calls(1, BAD), Open);
}

#[test]
fn a_success_ends_failures_in_a_row_and_a_neutral_call_does_not() {
    let mut bench = under(Consecutive::count::<5>());
    bench.calls(4, BAD);
    bench.calls(1, GOOD);
    assert_eq!(bench.calls(4, BAD), Closed);
    bench.calls(1, NEUTRAL);
    bench.wait(secs(86_400));
    assert_eq!(bench.calls(1, BAD), Open, "whenever they were");
}

#[test]
fn exactly_the_limit_is_not_slow() {
    let rule = SlowRatio::slower_than(secs(2)).ratio(ratio(1.0)).min_calls(1);
    let bench = under(rule);
    assert_eq!(bench.calls(50, GOOD.after(secs(2))), Closed);
    assert_eq!(bench.circuit.snapshot(bench.now).slow, 0);

    for slow in [GOOD, BAD] {
        let bench = under(rule);
        let beyond = secs(2) + Duration::from_nanos(1);
        assert_eq!(bench.calls(1, slow.after(beyond)), Open, "slow and {slow:?}");
        assert_eq!(bench.circuit.snapshot(bench.now).slow, 1);
    }
}

#[test]
fn the_head_and_the_end_have_limits_of_their_own() {
    let slow = SlowRatio::slower_than(ms(500)).ratio(ratio(1.0)).or_ends_later_than(secs(5));
    for (head, total, state) in
        [(ms(500), secs(5), Closed), (ms(501), ms(501), Open), (ms(1), ms(5_001), Open)]
    {
        let bench = under(slow.min_calls(1));
        assert_eq!(bench.calls(1, End { took: Some((head, total)), ..GOOD }), state);
    }
}

#[test]
fn calls_that_say_nothing_count_in_no_window() {
    let bench = under(half().last(nonzero(10)).min_calls(2));
    for how in [NEUTRAL, DROPPED] {
        assert_eq!(bench.calls(100, how), Closed);
    }
    assert_eq!(bench.calls(1, BAD), Closed, "one call is not enough");
    let seen = bench.circuit.snapshot(bench.now);
    assert_eq!((seen.rules[0].calls, seen.rules[0].hits, seen.neutral), (1, 1, 200));
}

#[test]
fn each_rule_has_a_window_of_its_own() {
    let rules = [
        half().last(nonzero(4)).min_calls(4).into(),
        Failures::count::<10>().within(secs(2)).into(),
        Consecutive::count::<9>().into(),
    ];
    let mut bench = Bench::new(&rules, plainly());
    bench.calls(3, GOOD);
    bench.calls(1, BAD);
    bench.wait(secs(2));
    bench.calls(1, GOOD);
    let seen = bench.circuit.snapshot(bench.now).rules;
    let counted: Vec<_> = seen.iter().map(|rule| (rule.calls, rule.hits)).collect();
    assert_eq!(counted, [(4, 1), (0, 0), (0, 0)]);
    assert!(seen.iter().map(|rule| rule.rule).eq(rules));
}

#[test]
fn the_gravest_action_wins_in_any_order_of_the_rules() {
    let (soft, hard) = (half().min_calls(4).degrade(), half().min_calls(4).into());
    for rules in [[soft, hard], [hard, soft]] {
        assert_eq!(Bench::new(&rules, plainly()).calls(4, BAD), Open);
    }
    assert_eq!(under(soft).calls(4, BAD), Degraded);
}

#[test]
fn the_gravest_of_two_rules_that_degrade_wins_in_any_order() {
    // just at its limit, and at twice its limit
    let (mild, harsh) = (half().min_calls(4).degrade(), Failures::count::<2>().degrade());
    for rules in [[mild, harsh], [harsh, mild]] {
        let bench = Bench::new(&rules, plainly());
        bench.calls(2, GOOD);
        bench.calls(1, BAD);
        assert_eq!(bench.calls(1, BAD), Degraded);
        assert!((bench.share() - 0.5).abs() < 1e-9, "{}", bench.share());
    }
}

/// D5, E6: a share of nothing at all is there with the first hit
#[test]
fn a_ratio_of_zero_is_reached_by_the_first_hit() {
    let none = ratio(0.0);
    let slow = SlowRatio::slower_than(secs(1));
    let rules: [TripRule; 4] = [
        FailureRatio::new(none).min_calls(5).into(),
        FailureRatio::above(none).min_calls(5).into(),
        slow.ratio(none).min_calls(5).into(),
        slow.above(none).min_calls(5).into(),
    ];
    for rule in rules {
        let bench = under(rule);
        assert_eq!(bench.calls(100, GOOD), Closed, "{rule:?}");
        assert_eq!(bench.calls(1, BAD.after(secs(2))), Open, "{rule:?}");
    }
}

/// E6
#[test]
fn above_a_ratio_of_one_is_never_reached() {
    let all = ratio(1.0);
    let rules: [TripRule; 2] =
        [FailureRatio::above(all).into(), SlowRatio::slower_than(secs(1)).above(all).into()];
    for rule in rules {
        assert_eq!(under(rule).calls(1_000, BAD.after(secs(2))), Closed, "{rule:?}");
    }
    assert_eq!(under(FailureRatio::new(all)).calls(20, BAD), Open);
}

/// E6
#[test]
fn min_calls_above_the_window_are_all_of_its_calls() {
    let bench = under(half().last(nonzero(10)).min_calls(11));
    assert_eq!(bench.calls(9, BAD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
    // whichever setter comes first
    assert_eq!(
        TripRule::from(half().last(nonzero(10)).min_calls(11)),
        half().min_calls(10).last(nonzero(10)).into()
    );
}

/// E6
#[test]
fn min_calls_of_zero_are_one() {
    assert_eq!(under(half().min_calls(0)).calls(1, BAD), Open);
}

/// E6
#[test]
fn failures_above_the_window_are_all_of_its_calls() {
    let bench = under(Failures::count::<11>().last(nonzero(10)));
    assert_eq!(bench.calls(9, BAD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
    let narrowed_and_widened = Failures::count::<11>().last(nonzero(10)).last(nonzero(20));
    assert_eq!(
        TripRule::from(narrowed_and_widened),
        Failures::count::<11>().last(nonzero(20)).into()
    );
}

/// D5, E6
#[test]
fn a_window_of_zero_is_the_shortest() {
    let mut bench = under(Failures::count::<2>().within(Duration::ZERO));
    assert_eq!(bench.calls(1, BAD), Closed);
    bench.wait(secs(1));
    assert_eq!(bench.calls(1, BAD), Closed, "the one before is forgotten");
    assert_eq!(bench.calls(1, BAD), Open, "both in one moment");
    assert_eq!(
        TripRule::from(half().within(Duration::ZERO)),
        half().within(Duration::from_nanos(1)).into()
    );
}

/// E6
#[test]
fn buckets_and_calls_of_a_window_are_brought_into_their_range() {
    let rule = TripRule::from;
    assert_eq!(rule(half().buckets(0)), rule(half().buckets(1)));
    for many in [33, u16::MAX] {
        assert_eq!(rule(half().buckets(many)), rule(half().buckets(32)));
    }
    assert_ne!(rule(half().buckets(31)), rule(half().buckets(32)));
    for many in [1_000_001, u32::MAX] {
        assert_eq!(rule(half().last(nonzero(many))), rule(half().last(nonzero(1_000_000))));
    }
    assert_ne!(rule(half().last(nonzero(999_999))), rule(half().last(nonzero(1_000_000))));
}

#[test]
fn what_is_compiled_is_what_is_checked_at_run_time() {
    assert_eq!(FailureRatio::percent::<50>(), FailureRatio::new(ratio(0.5)));
    assert_eq!(Failures::count::<7>(), Failures::new(nonzero(7)));
    assert_eq!(Consecutive::count::<7>(), Consecutive::new(nonzero(7)));
    let slow = SlowRatio::slower_than(secs(1));
    assert_eq!(slow, slow.percent::<50>());
    assert_eq!(slow.percent::<7>(), slow.ratio(ratio(0.07)));
    let late = SlowRatio::ending_later_than(secs(9));
    assert_eq!(slow.or_ends_later_than(secs(9)), late.or_slower_than(secs(1)));
}

/// D4, D6, E6
#[test]
fn the_ends_of_what_is_right_are_taken() {
    let failed = || FailureRatio::new(ratio(0.5));
    let right: [TripRule; 13] = [
        failed().into(),
        FailureRatio::new(ratio(f64::MIN_POSITIVE)).into(),
        FailureRatio::above(ratio(f64::MIN_POSITIVE)).into(),
        failed().within(Duration::MAX).buckets(32).into(),
        failed().within(Duration::from_nanos(1)).buckets(1).into(),
        failed().last(nonzero(1)).min_calls(1).into(),
        failed().last(nonzero(1_000_000)).min_calls(1_000_000).into(),
        failed().min_calls(u32::MAX).into(),
        Failures::count::<10>().last(nonzero(10)).into(),
        Failures::new(nonzero(u32::MAX)).within(secs(1)).into(),
        Consecutive::new(nonzero(u32::MAX)).into(),
        SlowRatio::ending_later_than(Duration::MAX).ratio(ratio(0.5)).into(),
        SlowRatio::slower_than(Duration::ZERO).ratio(ratio(0.5)).into(),
    ];
    for rule in right {
        let bench = under(rule);
        for now in [Duration::ZERO, Duration::MAX] {
            for how in [GOOD, BAD.after(Duration::MAX)] {
                end(
                    &bench.circuit,
                    begin(&bench.circuit, now).unwrap_or(Admission::UNWATCHED),
                    how,
                    now,
                );
            }
        }
    }
}

#[test]
fn a_ring_that_is_shorter_than_the_default_minimum_is_one() {
    let bench = under(half().last(nonzero(10)));
    assert_eq!(bench.calls(9, BAD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
    let bench = under(half().last(nonzero(100)));
    assert_eq!(bench.calls(19, BAD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
}

#[test]
fn a_trial_has_the_time_of_an_answer_that_is_not_slow() {
    let slow = |time| TripRule::from(SlowRatio::slower_than(time));
    let cases: [(&[TripRule], Option<Duration>, Duration); 4] = [
        (&[half().into()], None, secs(1)),
        (&[slow(secs(3)), slow(secs(2)), half().into()], None, secs(2)),
        (&[slow(secs(2))], Some(secs(9)), secs(9)),
        (&[SlowRatio::ending_later_than(secs(5)).into()], None, secs(5)),
    ];
    for (rules, trial_timeout, time) in cases {
        let mut bench = Bench::new(rules, CircuitConfig { trial_timeout, ..plainly() });
        trip(&mut bench);
        bench.wait(secs(1));
        bench.admitted();
        bench.wait(time - Duration::from_nanos(1));
        assert_eq!(bench.begin().unwrap_err().state, CircuitState::HalfOpen);
        bench.wait(Duration::from_nanos(1));
        assert_eq!(bench.begin().unwrap_err().state, Open);
    }
}

/// Fails until it opens.
fn trip(bench: &mut Bench) {
    while bench.calls(1, BAD.after(secs(60))) == Closed {}
}
