//! When a circuit trips, to the number.

use super::*;
use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use std::future::ready;
use tower::service_fn;
use tower_failover::Ratio;
use tower_failover::trip::{Consecutive, FailureRatio, Failures, SlowRatio, TripRule};

const HALF: Ratio = Ratio::percent::<50>();

/// Asks in this order: `S` is a good call and `F` a bad one; tells the states after each.
async fn states(scene: &Scene, order: &str) -> Vec<CircuitState> {
    let mut states = Vec::new();
    for letter in order.chars() {
        let _ = scene.ask(if letter == 'S' { GOOD } else { BAD }).await;
        states.push(scene.state());
    }
    states
}

/// Whether the last call of these, and none before, opens the circuit.
async fn the_last_opens(rule: impl Into<TripRule>, order: &str) -> bool {
    let states = states(&Scene::new(trips_on(rule)), order).await;
    let (last, before) = states.split_last().unwrap();
    assert!(before.iter().all(|state| *state == CircuitState::Closed), "{order}: {states:?}");
    *last == CircuitState::Open
}

#[tokio::test(start_paused = true)]
async fn after_a_million_successes_a_window_of_ten_opens_at_the_fifth_failure() {
    let layer = trips_on(FailureRatio::new(HALF).last(nonzero(10)).min_calls(10));
    let mut service = layer.layer(service_fn(|answer| ready(Ok::<Outcome, BoxError>(answer))));
    let mut ask = |answer| service.call(answer).now_or_never().unwrap().unwrap();
    for _ in 0..1_000_000 {
        ask(Outcome::Success);
    }
    for failure in 1..=5 {
        assert_eq!(layer.handle().state(), CircuitState::Closed, "before failure {failure}");
        ask(Outcome::Failure);
    }
    assert_eq!(layer.handle().state(), CircuitState::Open);
    assert_eq!(layer.handle().snapshot().successes, 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_reached_when_it_is_just_there() {
    for rule in [FailureRatio::new(HALF).last(nonzero(10)), FailureRatio::new(HALF)] {
        let rule = rule.min_calls(10);
        assert!(!the_last_opens(rule, "SSSSSSFFFF").await);
        assert!(the_last_opens(rule, "SSSSSFFFFF").await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_above_is_not_reached_when_it_is_just_there() {
    for rule in [FailureRatio::above(HALF).last(nonzero(10)), FailureRatio::above(HALF)] {
        let rule = rule.min_calls(10);
        assert!(!the_last_opens(rule, "SSSSSFFFFF").await);
        assert!(the_last_opens(rule, "SSSSFFFFFF").await);
    }
}

/// resilience4j's CircuitBreakerStateMachineTest: 50 % of at least 5 calls
#[tokio::test(start_paused = true)]
async fn a_success_may_complete_the_minimum_and_trip() {
    let rule = FailureRatio::new(HALF).min_calls(5);
    assert!(the_last_opens(rule, "FFFSS").await);
    assert!(!the_last_opens(rule, "SSSFF").await, "40 %");
    assert!(the_last_opens(rule, "SSSFFF").await, "3 of 6");
}

/// F12
#[tokio::test(start_paused = true)]
async fn by_default_half_of_twenty_calls_in_ten_seconds_open_it() {
    let scene = || Scene::new(CircuitBreakerLayer::plain().classify(AsTold));
    let cold = scene();
    cold.ask_each(19, BAD).await;
    assert_eq!(cold.state(), CircuitState::Closed, "too few calls to tell");
    cold.ask_each(1, GOOD).await;
    assert_eq!(cold.state(), CircuitState::Open);

    let sparse = scene();
    for _ in 0..100 {
        sparse.ask_each(1, BAD).await;
        sleep(ms(600)).await;
    }
    assert_eq!(sparse.state(), CircuitState::Closed, "never twenty calls in ten seconds");

    let idle = scene();
    idle.ask_each(19, BAD).await;
    sleep(secs(10 * 365 * 86_400)).await;
    assert_eq!(idle.seen().rules[0].calls, 0, "all of it is too old");
    idle.ask_each(1, BAD).await;
    assert_eq!(idle.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn more_than_fifty_failures_a_minute_are_fifty_one() {
    let scene = Scene::new(trips_on(Failures::count::<51>().within(secs(60))));
    scene.ask_each(50, BAD).await;
    sleep(ms(59_999)).await;
    assert_eq!((scene.state(), scene.seen().rules[0].hits), (CircuitState::Closed, 50));
    sleep(ms(1)).await;
    scene.ask_each(50, BAD).await;
    assert_eq!(scene.state(), CircuitState::Closed, "the first fifty are a minute old");
    scene.ask_each(1, BAD).await;
    assert_eq!(scene.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_good_call_ends_a_row_of_failures() {
    let rule = Consecutive::count::<3>();
    assert!(!the_last_opens(rule, "FFSFFSFFSFF").await);
    assert!(the_last_opens(rule, "FFSFFSFFF").await);
}

/// F9
#[tokio::test(start_paused = true)]
async fn slow_is_later_than_the_limit_and_not_at_it() {
    let rule = SlowRatio::slower_than(secs(2)).ratio(HALF).min_calls(4);
    for (takes, state) in [(2_000, CircuitState::Closed), (2_001, CircuitState::Open)] {
        let scene = Scene::new(trips_on(rule));
        scene.ask_each(2, GOOD).await;
        scene.ask_all(2, GOOD.taking(ms(takes))).await;
        assert_eq!(scene.state(), state, "{takes} ms");
        assert_eq!(scene.counts(), [4, 0, 0], "a slow success is one");
    }
    // a failure can be slow too
    let scene = Scene::new(trips_on(rule));
    scene.ask_all(4, BAD.taking(secs(3))).await;
    assert_eq!((scene.state(), scene.seen().slow), (CircuitState::Open, 4));
}

/// The graver action is taken, whichever rule comes first.
#[tokio::test(start_paused = true)]
async fn a_call_that_reaches_several_rules_opens_the_circuit() {
    let rules = [Consecutive::count::<3>().degrade(), Failures::count::<3>().into()];
    for [first, second] in [rules, [rules[1], rules[0]]] {
        let scene = Scene::new(trips_on(first).trip_on(second));
        scene.ask_each(3, BAD).await;
        assert_eq!(scene.state(), CircuitState::Open);
    }
}

mod asked_for {
    //! The configuration with three rules, each with its own window.

    use super::*;
    use tower_failover::fallback::FallbackLayer;

    fn layer() -> Breaker {
        let quarter = Ratio::percent::<25>();
        let error_rate = FailureRatio::above(quarter).within(secs(30)).min_calls(100);
        let slow = SlowRatio::slower_than(ms(2_000)).ratio(HALF).within(secs(20)).degrade();
        let failures = Failures::count::<51>().within(secs(60));
        CircuitBreakerLayer::plain()
            .classify(AsTold)
            .trip_on(error_rate)
            .trip_on(slow)
            .trip_on(failures)
    }

    /// Asks a hundred times, and so many of them fail, the last ones.
    async fn of_a_hundred(failures: usize) -> Scene {
        let scene = Scene::new(layer());
        scene.ask_each(100 - failures, GOOD).await;
        scene.ask_each(failures, BAD).await;
        scene
    }

    #[tokio::test(start_paused = true)]
    async fn twenty_five_errors_of_a_hundred_do_not_open_it_and_twenty_six_do() {
        let scene = of_a_hundred(25).await;
        assert_eq!(scene.state(), CircuitState::Closed);
        let rule = scene.seen().rules[0];
        assert_eq!((rule.calls, rule.hits), (100, 25));

        let scene = of_a_hundred(26).await;
        assert_eq!(scene.state(), CircuitState::Open);
        assert_eq!(scene.counts(), [74, 26, 0], "it opened with the last of them");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_after_two_seconds_do_not_degrade_it_and_a_millisecond_later_do() {
        let scene = Scene::new(layer());
        scene.ask_all(100, GOOD.taking(ms(2_000))).await;
        assert_eq!((scene.state(), scene.seen().share), (CircuitState::Closed, 1.0));
        assert_eq!(scene.seen().slow, 0);

        let scene = Scene::new(layer());
        scene.ask_all(100, GOOD.taking(ms(2_001))).await;
        assert_eq!(scene.state(), CircuitState::Degraded);
        assert!(scene.seen().share >= 0.5, "it is cut, and not closed: {}", scene.seen().share);
        // of those that come now, a share is let through
        let asked = futures_util::future::join_all((0..100).map(|_| scene.ask(GOOD))).await;
        let passed = asked.iter().filter(|asked| asked.is_ok()).count();
        assert!((50..90).contains(&passed), "{passed} of 100");
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_failures_a_minute_do_not_switch_to_the_backup_and_fifty_one_do() {
        let scene = Scene::new(layer());
        let backup = service_fn(|_: Ask| ready(Ok::<_, BoxError>(Outcome::Unsuitable)));
        let to_backup = FallbackLayer::plain()
            .classify(AsTold)
            .on(|outcome: Outcome| outcome == Outcome::Refused)
            .service(backup);
        let service = to_backup.layer(scene.service.clone());
        let ask = |ask| service.clone().oneshot(ask);
        for _ in 0..50 {
            // never above 25 % of the last 30 s
            for _ in 0..3 {
                assert_eq!(ask(GOOD).await.unwrap(), Outcome::Success);
            }
            assert_eq!(ask(BAD).await.unwrap(), Outcome::Failure);
            sleep(ms(1_000)).await;
        }
        assert_eq!((scene.state(), scene.seen().rules[2].hits), (CircuitState::Closed, 50));
        assert_eq!(ask(GOOD).await.unwrap(), Outcome::Success);
        assert_eq!(ask(BAD).await.unwrap(), Outcome::Failure, "the one that opens it");
        assert_eq!(scene.state(), CircuitState::Open);
        assert_eq!(ask(GOOD).await.unwrap(), Outcome::Unsuitable, "the backup's answer");
        assert_eq!(scene.server.count(), 202);
    }

    #[tokio::test(start_paused = true)]
    async fn each_rule_forgets_after_its_own_time() {
        let scene = Scene::new(layer());
        scene.ask_each(30, GOOD).await;
        scene.ask_each(10, BAD).await;
        let mut seen = Vec::new();
        for _ in 0..7 {
            let calls = scene.seen().rules;
            seen.push([calls[0].calls, calls[1].calls, calls[2].hits]);
            sleep(secs(10)).await;
        }
        let expected = [
            [40, 40, 10],
            [40, 40, 10],
            [40, 0, 10],
            [0, 0, 10],
            [0, 0, 10],
            [0, 0, 10],
            [0, 0, 0],
        ];
        assert_eq!(seen, expected);
    }
}

mod streams {
    //! First answer within 500 ms, total under 5 s, errors under 0.1 %.

    use super::*;
    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Full};
    use tower_failover::classify::HttpClassifier;
    use tower_failover::replay::Http;

    fn layer() -> CircuitBreakerLayer<HttpClassifier, Http> {
        let slow = SlowRatio::slower_than(ms(500))
            .percent::<10>()
            .or_ends_later_than(secs(5))
            .min_calls(10)
            .degrade();
        let per_mille = Ratio::new(0.001).unwrap();
        let errors = FailureRatio::new(per_mille).within(secs(600)).min_calls(1_000);
        CircuitBreakerLayer::http().trip_on(slow).trip_on(errors)
    }

    #[derive(Clone, Copy)]
    struct Times {
        head: u64,
        total: u64,
        status: u16,
    }

    const QUICK: Times = Times { head: 0, total: 0, status: 200 };

    /// Calls one after another, each to its end; returns the circuit's state.
    async fn after(calls: impl IntoIterator<Item = Times>) -> CircuitSnapshot {
        let inner = service_fn(|request: Request<Times>| async move {
            let Times { head, total, status } = request.into_body();
            sleep(ms(head)).await;
            let end = async move {
                sleep(ms(total - head)).await;
                None
            };
            let body = Full::<Bytes>::default().with_trailers(end);
            Ok::<_, BoxError>(Response::builder().status(status).body(body).unwrap())
        });
        let layer = layer();
        let service = layer.layer(inner);
        for times in calls {
            let answer = service.clone().oneshot(Request::new(times)).await.unwrap();
            answer.into_body().collect().await.unwrap();
        }
        layer.handle().snapshot()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_and_the_whole_have_a_limit_each() {
        for (head, total, state) in [
            (500, 5_000, CircuitState::Closed),
            (501, 501, CircuitState::Degraded),
            (100, 5_001, CircuitState::Degraded),
        ] {
            let slow = Times { head, total, ..QUICK };
            let seen = after(std::iter::repeat_n(QUICK, 9).chain([slow])).await;
            assert_eq!(seen.state, state, "{head} ms, {total} ms");
            assert_eq!(seen.slow, u64::from(state != CircuitState::Closed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_error_of_a_thousand_is_not_under_a_tenth_of_a_percent() {
        let bad = Times { status: 500, ..QUICK };
        let seen = after(std::iter::repeat_n(QUICK, 1_000).chain([bad])).await;
        assert_eq!((seen.state, seen.failures), (CircuitState::Closed, 1), "1 of 1001");
        let seen = after(std::iter::repeat_n(QUICK, 999).chain([bad])).await;
        assert_eq!((seen.state, seen.failures), (CircuitState::Open, 1), "1 of 1000");
    }
}

mod at_their_ends {
    //! Settings at the ends of their ranges.

    use super::*;

    /// E6, D5, D8
    #[tokio::test(start_paused = true)]
    async fn what_a_rule_cannot_refuse_has_a_meaning() {
        let (none, all) = (Ratio::percent::<0>(), Ratio::percent::<100>());
        // whether it has opened after so many failures in a row, after nine good calls
        let cases: [(TripRule, usize, bool); 9] = [
            (FailureRatio::new(none).min_calls(10).into(), 1, true),
            (FailureRatio::above(none).min_calls(10).into(), 1, true),
            (FailureRatio::above(all).min_calls(1).into(), 100, false),
            (FailureRatio::new(HALF).last(nonzero(10)).min_calls(11).into(), 4, false),
            (FailureRatio::new(HALF).last(nonzero(10)).min_calls(11).into(), 5, true),
            (Failures::count::<11>().last(nonzero(10)).into(), 9, false),
            (Failures::count::<11>().last(nonzero(10)).into(), 10, true),
            (FailureRatio::new(HALF).min_calls(0).into(), 9, true),
            (Failures::count::<2>().buckets(0).within(secs(60)).into(), 2, true),
        ];
        for (rule, failures, opens) in cases {
            let scene = Scene::new(trips_on(rule));
            scene.ask_each(9, GOOD).await;
            scene.ask_each(failures, BAD).await;
            assert_eq!(scene.state() == CircuitState::Open, opens, "{rule:?}, {failures} failures");
        }
    }

    /// D5, E6
    #[tokio::test(start_paused = true)]
    async fn a_window_of_zero_is_the_shortest() {
        let scene = Scene::new(trips_on(Failures::count::<2>().within(Duration::ZERO)));
        for _ in 0..10 {
            scene.ask_each(1, BAD).await;
            sleep(ms(1)).await;
        }
        assert_eq!(scene.state(), CircuitState::Closed, "each is forgotten before the next");
        scene.ask_each(2, BAD).await;
        assert_eq!(scene.state(), CircuitState::Open, "two in one moment");
    }

    /// E6, D8
    #[test]
    fn a_threshold_outside_of_its_bounds_is_no_ratio() {
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Ratio::new(wrong).is_err(), "{wrong}");
        }
    }

    /// D4, E6
    #[tokio::test(start_paused = true)]
    async fn the_largest_settings_are_taken() {
        let rule = FailureRatio::percent::<100>();
        let layer = trips_on(rule.within(Duration::MAX).min_calls(2).buckets(32))
            .trip_on(SlowRatio::slower_than(Duration::MAX).ratio(HALF))
            .trip_on(Failures::new(nonzero(u32::MAX)))
            .trials(nonzero(u32::MAX))
            .trial_timeout(Duration::MAX)
            .dwell(Duration::MAX)
            .ramp(Duration::MAX)
            .hang_after(Duration::MAX)
            .forget_after(Duration::MAX)
            .open_for(always(Duration::MAX));
        let scene = Scene::new(layer);
        scene.trip().await;
        assert!(scene.refusal().await.retry_after() > Some(secs(u32::MAX.into())));
        drop(scene.call(GOOD));
        assert_eq!(scene.state(), CircuitState::Open);
    }
}

#[tokio::test(start_paused = true)]
async fn successes_push_failures_out_of_a_counted_window_beside_a_window_by_time() {
    let layer = CircuitBreakerLayer::plain()
        .classify(AsTold)
        .trip_on(FailureRatio::new(HALF).min_calls(1_000_000))
        .trip_on(Failures::count::<5>().last(nonzero(10)));
    let scene = Scene::new(layer);
    for _ in 0..10 {
        scene.ask_each(20, GOOD).await;
        scene.ask(BAD).await.unwrap();
    }
    assert_eq!(scene.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn of_two_times_of_one_kind_the_later_setter_counts() {
    let rule = SlowRatio::slower_than(secs(1)).or_slower_than(secs(3)).min_calls(2);
    let scene = Scene::new(trips_on(rule));
    scene.ask_all(2, GOOD.taking(secs(2))).await;
    assert_eq!((scene.state(), scene.seen().slow), (CircuitState::Closed, 0));
    scene.ask_all(4, GOOD.taking(secs(4))).await;
    assert_eq!(scene.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_counts_as_nothing_is_not_slow() {
    let rule = SlowRatio::slower_than(secs(2)).ratio(HALF);
    let layer = breaker().trip_on(rule).trial_timeout(secs(9));
    let scene = Scene::half_open(layer).await;
    scene.ask(NEUTRAL.taking(secs(3))).await.unwrap();
    assert_eq!((scene.state(), scene.seen().slow), (CircuitState::HalfOpen, 0));
}
