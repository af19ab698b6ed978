//! A circuit that lets a share of the calls through.

use super::*;
use crate::kit::Hostile;
use crate::kit::settings::Watch as _;
use tower_failover::Ratio;
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::trip::{FailureRatio, Failures, SlowRatio};

const SLOW: Ask = GOOD.taking(ms(1_001));

/// Degrades when half of at least ten calls took longer than a second, or failed.
fn degrades() -> Breaker {
    let half = Ratio::percent::<50>();
    let slow = SlowRatio::slower_than(secs(1)).ratio(half).min_calls(10).degrade();
    let failed = FailureRatio::new(half).min_calls(10).degrade();
    trips_on(slow).trip_on(failed)
}

fn share(scene: &Scene) -> f64 {
    (scene.seen().share * 1e6).round() / 1e6
}

/// How many of so many calls are let through; they come at once.
async fn passed(scene: &Scene, calls: usize, ask: Ask) -> usize {
    let asked = futures_util::future::join_all((0..calls).map(|_| scene.ask(ask))).await;
    for error in asked.iter().filter_map(|asked| asked.as_ref().err()) {
        let refused = error.downcast_ref::<CircuitOpen>().unwrap();
        assert_eq!((refused.state(), refused.retry_after()), (CircuitState::Degraded, None));
    }
    asked.iter().filter(|asked| asked.is_ok()).count()
}

#[tokio::test(start_paused = true)]
async fn the_share_is_cut_by_how_far_beyond_the_limit_the_calls_were() {
    for (slow, cut) in [(5, 0.9), (10, 0.5)] {
        let scene = Scene::new(degrades());
        scene.ask_each(10 - slow, GOOD).await;
        scene.ask_all(slow, SLOW).await;
        assert_eq!((scene.state(), share(&scene)), (CircuitState::Degraded, cut), "{slow} of 10");
    }
}

#[tokio::test(start_paused = true)]
async fn of_the_calls_a_share_is_let_through_evenly() {
    let scene = Scene::new(degrades());
    scene.ask_each(10, BAD).await;
    assert_eq!(share(&scene), 0.5);
    let mut order = String::new();
    for _ in 0..10 {
        order.push(if scene.ask(NEUTRAL).await.is_ok() { '+' } else { '-' });
    }
    // each share begins with a call that can tell something
    assert_eq!(order, "++-+-+-+-+");
    assert_eq!(passed(&scene, 1_000, NEUTRAL).await, 500);
    assert_eq!(scene.seen().refused, 504);
}

/// Each share is judged by its own calls.
#[tokio::test(start_paused = true)]
async fn calls_from_before_the_cut_do_not_cut_again() {
    let scene = Scene::new(degrades());
    scene.ask_all(1_000, SLOW).await;
    assert_eq!(share(&scene), 0.5, "once for all of them");
}

#[tokio::test(start_paused = true)]
async fn the_share_goes_down_to_a_twentieth_and_not_below() {
    let scene = Scene::new(degrades());
    for _ in 0..20 {
        let _ = passed(&scene, 400, BAD).await;
    }
    assert_eq!((scene.state(), share(&scene)), (CircuitState::Degraded, 0.05));
    assert_eq!(passed(&scene, 100, NEUTRAL).await, 5);
}

#[tokio::test(start_paused = true)]
async fn the_share_rises_in_steps_after_a_dwell_and_closes_it_at_the_whole() {
    let scene = Scene::new(degrades().dwell(secs(3)));
    scene.ask_each(10, BAD).await;
    let mut shares = vec![share(&scene)];
    while scene.state() == CircuitState::Degraded {
        sleep(ms(2_999)).await;
        assert!(passed(&scene, 100, GOOD).await > 0);
        assert_eq!(share(&scene), shares[shares.len() - 1], "not before the dwell is over");
        sleep(ms(1)).await;
        let _ = passed(&scene, 1, GOOD).await;
        shares.push(share(&scene));
    }
    assert_eq!(shares, [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]);
    assert_eq!(scene.state(), CircuitState::Closed);
    assert_eq!(passed(&scene, 100, GOOD).await, 100);
}

#[tokio::test(start_paused = true)]
async fn the_share_does_not_rise_while_its_calls_would_reach_the_rule() {
    let scene = Scene::new(degrades());
    scene.ask_each(10, BAD).await;
    for _ in 0..5 {
        // too few for the rule, and bad enough to wait
        assert!((2..=3).contains(&passed(&scene, 4, BAD).await));
        sleep(secs(5)).await;
        assert_eq!(share(&scene), 0.5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_without_calls_is_a_good_one() {
    let scene = Scene::new(degrades());
    scene.ask_each(10, BAD).await;
    sleep(secs(15)).await;
    let _ = scene.ask(GOOD).await;
    assert_eq!(share(&scene), 0.65, "three dwells of 5 s");

    let scene = Scene::new(degrades());
    scene.ask_each(10, BAD).await;
    sleep(secs(3_600)).await;
    scene.ask(GOOD).await.unwrap();
    assert_eq!(scene.state(), CircuitState::Closed);
}

/// A neutral answer never makes a service look better; but it can't hold the share for ever.
#[tokio::test(start_paused = true)]
async fn where_calls_tell_nothing_the_share_rises_only_slowly() {
    let scene = Scene::new(degrades());
    scene.ask_each(10, BAD).await;
    for second in 0..20 {
        assert_eq!(share(&scene), 0.5, "after {second} s");
        let _ = passed(&scene, 10, NEUTRAL).await;
        sleep(secs(1)).await;
    }
    let _ = passed(&scene, 10, NEUTRAL).await;
    assert_eq!(share(&scene), 0.55);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_opens_opens_a_degraded_circuit() {
    let scene = Scene::new(degrades().trip_on(Failures::count::<30>()));
    scene.ask_each(10, BAD).await;
    assert_eq!(scene.state(), CircuitState::Degraded);
    while scene.state() == CircuitState::Degraded {
        let _ = scene.ask(BAD).await;
    }
    assert_eq!((scene.state(), scene.seen().failures), (CircuitState::Open, 30));
}

/// K7
#[tokio::test(start_paused = true)]
async fn the_fallback_answers_those_that_are_not_let_through() {
    let scene = Scene::new(degrades());
    scene.ask_each(10, BAD).await;
    let value =
        FallbackLayer::plain().classify(AsTold).value(|_: Failed<Outcome>| Outcome::Unsuitable);
    let service = value.layer(scene.service.clone());
    let mut answers = [0, 0];
    for _ in 0..100 {
        let answer = service.clone().oneshot(NEUTRAL).await.unwrap();
        answers[usize::from(answer == Outcome::Unsuitable)] += 1;
    }
    assert_eq!(answers, [51, 49]);
}

/// C1: its share is asked for in the call, so the service is polled before
#[tokio::test(start_paused = true)]
async fn a_degraded_circuit_waits_for_its_service() {
    let layer = degrades();
    let mut service = layer.layer(Hostile::new(server()));
    for _ in 0..10 {
        service.ready().await.unwrap().call(BAD).await.unwrap();
    }
    for _ in 0..100 {
        let _ = service.ready().await.unwrap().call(GOOD).await;
    }
    assert_eq!(layer.handle().snapshot().refused, 49);
}

#[tokio::test(start_paused = true)]
async fn a_share_holds_also_where_each_call_that_is_admitted_makes_it_anew() {
    let scene = Scene::new(trips_on(Failures::count::<1>().degrade()));
    let mut admitted = 0;
    for _ in 0..200 {
        admitted += usize::from(scene.ask(BAD).await.is_ok());
    }
    assert_eq!(scene.seen().share, 0.05);
    assert!(admitted < 25, "{admitted} of 200");
}
