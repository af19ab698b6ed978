//! What a rule counts, when it is reached, and which rules are refused.

use super::*;
use CircuitState::{Closed, Degraded, Open};

fn under(rule: TripRule) -> Bench {
    Bench::new(&[rule], plainly())
}

fn half() -> TripRule {
    TripRule::failure_ratio(Ratio::percent::<50>())
}

/// F12
#[test]
fn a_window_of_ten_at_half_opens_on_the_fifth_failure_after_a_million_successes() {
    let bench = under(half().last(10).min_calls(10));
    let many = if cfg!(miri) { 1_000 } else { 1_000_000 };
    assert_eq!(bench.calls(many, GOOD), Closed);
    assert_eq!(bench.calls(4, BAD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
}

/// resilience4j, `CircuitBreakerStateMachineTest`
#[test]
fn three_failures_of_six_open_at_half_and_two_of_five_do_not() {
    let bench = under(half().last(100).min_calls(5));
    assert_eq!(bench.calls(3, GOOD), Closed);
    assert_eq!(bench.calls(2, BAD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
}

/// resilience4j, `CircuitBreakerStateMachineTest`: F F F S S opens, on a success
#[test]
fn a_success_may_complete_the_minimum_and_trip() {
    for rule in [half().last(100), half().within(secs(10))] {
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
            [TripRule::failure_ratio(ratio(share)).last(of), TripRule::failure_ratio(ratio(share))]
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
    let rule =
        TripRule::failure_ratio_above(Ratio::percent::<25>()).within(secs(30)).min_calls(100);
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
    let bench = under(TripRule::failure_ratio_above(ratio(f64::MIN_POSITIVE)).min_calls(2));
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
    let mut bench = under(TripRule::failures(51).within(secs(60)));
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
    let mut bench = under(TripRule::failures(51).within(secs(60)));
    bench.calls(50, BAD);
    bench.wait(secs(60));
    assert_eq!(bench.calls(50, BAD), Closed);
    bench.wait(ms(59_999));
    assert_eq!(bench.calls(1, BAD), Open);
}

#[test]
fn failures_among_the_last_calls_are_counted_without_a_minimum() {
    let bench = under(TripRule::failures(3).last(5));
    bench.calls(2, BAD);
    assert_eq!(bench.calls(3, GOOD), Closed);
    assert_eq!(bench.calls(2, BAD), Closed, "the first two have slid out");
    assert_eq!(bench.calls(1, BAD), Open);
}

#[test]
fn a_success_ends_failures_in_a_row_and_a_neutral_call_does_not() {
    let mut bench = under(TripRule::consecutive(5));
    bench.calls(4, BAD);
    bench.calls(1, GOOD);
    assert_eq!(bench.calls(4, BAD), Closed);
    bench.calls(1, NEUTRAL);
    bench.wait(secs(86_400));
    assert_eq!(bench.calls(1, BAD), Open, "whenever they were");
}

#[test]
fn exactly_the_limit_is_not_slow() {
    let rule = TripRule::slow_ratio(ratio(1.0)).slower_than(secs(2)).min_calls(1);
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
    let slow = TripRule::slow_ratio(ratio(1.0)).slower_than(ms(500)).ends_later_than(secs(5));
    for (head, total, state) in
        [(ms(500), secs(5), Closed), (ms(501), ms(501), Open), (ms(1), ms(5_001), Open)]
    {
        let bench = under(slow.min_calls(1));
        assert_eq!(bench.calls(1, End { took: Some((head, total)), ..GOOD }), state);
    }
}

#[test]
fn calls_that_say_nothing_count_in_no_window() {
    let bench = under(half().last(10).min_calls(2));
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
        half().last(4).min_calls(4),
        TripRule::failures(10).within(secs(2)),
        TripRule::consecutive(9),
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
    let (soft, hard) = (half().min_calls(4).degrade(), half().min_calls(4));
    for rules in [[soft, hard], [hard, soft]] {
        assert_eq!(Bench::new(&rules, plainly()).calls(4, BAD), Open);
    }
    assert_eq!(under(soft).calls(4, BAD), Degraded);
}

#[test]
fn the_gravest_of_two_rules_that_degrade_wins_in_any_order() {
    // just at its limit, and at twice its limit
    let (mild, harsh) = (half().min_calls(4).degrade(), TripRule::failures(2).degrade());
    for rules in [[mild, harsh], [harsh, mild]] {
        let bench = Bench::new(&rules, plainly());
        bench.calls(2, GOOD);
        bench.calls(1, BAD);
        assert_eq!(bench.calls(1, BAD), Degraded);
        assert!((bench.share() - 0.5).abs() < 1e-9, "{}", bench.share());
    }
}

/// D5, E6: the text says what is wrong
#[test]
fn a_rule_that_makes_no_sense_is_refused_by_name() {
    let failed = || TripRule::failure_ratio(ratio(0.5));
    let slow = || TripRule::slow_ratio(ratio(0.5)).slower_than(secs(1));
    let wrong = [
        (
            TripRule::failure_ratio(ratio(0.0)),
            "the share at which a rule trips must be above 0, not 0",
        ),
        (
            TripRule::slow_ratio(ratio(0.0)).slower_than(secs(1)),
            "the share at which a rule trips must be above 0, not 0",
        ),
        (
            TripRule::failure_ratio_above(ratio(1.0)),
            "the share above which a rule trips must be between 0 and 1, not 1",
        ),
        (
            TripRule::slow_ratio_above(ratio(1.0)).slower_than(secs(1)),
            "the share above which a rule trips must be between 0 and 1, not 1",
        ),
        (
            TripRule::failure_ratio_above(ratio(0.0)),
            "the share above which a rule trips must be between 0 and 1, not 0",
        ),
        (TripRule::failures(0), "the failures at which a rule trips must be at least 1, not 0"),
        (
            TripRule::consecutive(0),
            "the failures in a row at which a rule trips must be at least 1, not 0",
        ),
        (failed().within(Duration::ZERO), "a rule's window must be longer than zero, not 0"),
        (failed().last(0), "the calls of a rule's window must be 1 to 1 000 000, not 0"),
        (
            failed().last(1_000_001),
            "the calls of a rule's window must be 1 to 1 000 000, not 1000001",
        ),
        (
            failed().last(u32::MAX),
            "the calls of a rule's window must be 1 to 1 000 000, not 4294967295",
        ),
        (failed().buckets(0), "the buckets of a rule's window must be 1 to 32, not 0"),
        (failed().buckets(33), "the buckets of a rule's window must be 1 to 32, not 33"),
        (
            failed().last(10).min_calls(11),
            "min_calls must be at most the calls of the window, not 11",
        ),
        (
            TripRule::failures(11).last(10),
            "the calls of a rule's window must be at least its failures, not 10",
        ),
        (
            TripRule::consecutive(5).within(secs(10)),
            "the windows of a rule for failures in a row must be none, not 1",
        ),
        (
            TripRule::consecutive(5).last(10),
            "the windows of a rule for failures in a row must be none, not 1",
        ),
    ];
    for (rule, text) in wrong {
        assert_eq!(rule.check().unwrap_err().to_string(), text, "{rule:?}");
    }
    let without_time = [
        TripRule::slow_ratio(ratio(0.5)),
        TripRule::slow_ratio_above(ratio(0.5)),
        failed().slower_than(secs(1)),
        failed().ends_later_than(secs(1)),
        TripRule::failures(5).slower_than(secs(1)),
        TripRule::consecutive(5).ends_later_than(secs(1)),
    ];
    for rule in without_time {
        let text = rule.check().unwrap_err().to_string();
        assert!(text.contains("time") && text.contains("slow calls"), "{rule:?}: {text}");
    }
    slow().degrade().check().unwrap();
    TripRule::failure_ratio(ratio(1.0)).check().unwrap();
}

/// D4, D6, E6
#[test]
fn the_ends_of_what_is_right_are_taken() {
    let failed = || TripRule::failure_ratio(ratio(0.5));
    let right = [
        failed(),
        TripRule::failure_ratio(ratio(f64::MIN_POSITIVE)),
        TripRule::failure_ratio_above(ratio(f64::MIN_POSITIVE)),
        failed().within(Duration::MAX).buckets(32),
        failed().within(Duration::from_nanos(1)).buckets(1),
        failed().last(1).min_calls(1),
        failed().last(1_000_000).min_calls(1_000_000),
        failed().min_calls(u32::MAX),
        TripRule::failures(10).last(10),
        TripRule::failures(u32::MAX).within(secs(1)),
        TripRule::consecutive(u32::MAX),
        TripRule::slow_ratio(ratio(0.5)).ends_later_than(Duration::MAX),
        TripRule::slow_ratio(ratio(0.5)).slower_than(Duration::ZERO),
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
    let bench = under(half().last(10));
    assert_eq!(bench.calls(9, BAD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
    let bench = under(half().last(100));
    assert_eq!(bench.calls(19, BAD), Closed);
    assert_eq!(bench.calls(1, BAD), Open);
}

#[test]
fn a_trial_has_the_time_of_an_answer_that_is_not_slow() {
    let slow = |time| TripRule::slow_ratio(ratio(0.5)).slower_than(time);
    let cases: [(&[TripRule], Option<Duration>, Duration); 4] = [
        (&[half()], None, secs(1)),
        (&[slow(secs(3)), slow(secs(2)), half()], None, secs(2)),
        (&[slow(secs(2))], Some(secs(9)), secs(9)),
        (&[TripRule::slow_ratio(ratio(0.5)).ends_later_than(secs(5))], None, secs(5)),
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
