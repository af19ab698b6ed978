//! Calls that their callers give up.

use super::*;
use crate::kit::settings::nonzero;
use tower::timeout::{Timeout, error::Elapsed};
use tower_failover::trip::{Consecutive, SlowRatio};

/// Drops a call after so many milliseconds under way.
async fn give_up_after(scene: &Scene, millis: u64) {
    let call = scene.begin(HANGING);
    sleep(ms(millis)).await;
    drop(call);
}

/// A timeout outside would hide a service that hangs for ever otherwise.
#[tokio::test(start_paused = true)]
async fn a_hung_service_behind_a_timeout_trips_after_as_many_calls_as_were_told() {
    for calls in [1, 5, 20] {
        let scene = Scene::new(trips_on(Consecutive::new(nonzero(calls))));
        let service = Timeout::new(scene.service.clone(), secs(1));
        for call in 1..=calls {
            assert_eq!(scene.state(), CircuitState::Closed, "before call {call}");
            let error = service.clone().oneshot(HANGING).await.unwrap_err();
            assert!(error.is::<Elapsed>());
        }
        assert_eq!(scene.state(), CircuitState::Open);
        refusal(service.oneshot(HANGING).await);
        assert_eq!(scene.counts(), [0, u64::from(calls), 0]);
        assert_eq!(scene.server.running(), 0);
    }
}

/// The rule of every day, 20 calls and half of them bad.
#[tokio::test(start_paused = true)]
async fn with_nothing_but_defaults_twenty_given_up_calls_trip_it() {
    let scene = Scene::new(CircuitBreakerLayer::plain().classify(AsTold));
    let service = Timeout::new(scene.service.clone(), secs(1));
    let calls = (0..19).map(|_| service.clone().oneshot(HANGING));
    let ended = futures_util::future::join_all(calls).await;
    assert!(ended.into_iter().all(|ended| ended.unwrap_err().is::<Elapsed>()));
    assert_eq!(scene.state(), CircuitState::Closed);
    assert!(service.clone().oneshot(HANGING).await.unwrap_err().is::<Elapsed>());
    assert_eq!(scene.state(), CircuitState::Open);
}

/// A9, F8
#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_early_is_nothing() {
    let scene = Scene::new(trips_on(Consecutive::count::<1>()));
    for call in 1..=50 {
        give_up_after(&scene, 499).await;
        assert_eq!((scene.state(), scene.counts()), (CircuitState::Closed, [0, 0, call]));
    }
    give_up_after(&scene, 500).await;
    assert_eq!((scene.state(), scene.counts()), (CircuitState::Open, [0, 1, 50]));
}

#[tokio::test(start_paused = true)]
async fn the_time_follows_the_latency_between_half_a_second_and_ten() {
    for (latency, hangs) in [(1, 500), (100, 500), (101, 505), (1_000, 5_000), (3_000, 10_000)] {
        let scene = Scene::new(trips_on(Consecutive::count::<1>()));
        scene.ask_each(10, GOOD.taking(ms(latency))).await;
        give_up_after(&scene, hangs - 1).await;
        assert_eq!(scene.state(), CircuitState::Closed, "{latency} ms");
        give_up_after(&scene, hangs).await;
        assert_eq!(scene.state(), CircuitState::Open, "{latency} ms");
    }
}

/// Calls that fail fast don't make a service look fast, and those that hang not slow.
#[tokio::test(start_paused = true)]
async fn only_good_calls_tell_the_latency() {
    let scene = Scene::new(trips_on(Consecutive::count::<1_000>()));
    scene.ask_each(10, GOOD.taking(secs(1))).await;
    scene.ask_each(100, BAD.taking(ms(1))).await;
    for _ in 0..20 {
        give_up_after(&scene, 9_000).await;
    }
    let failed = scene.seen().failures;
    give_up_after(&scene, 4_999).await;
    assert_eq!(scene.seen().failures, failed);
    give_up_after(&scene, 5_000).await;
    assert_eq!(scene.seen().failures, failed + 1);
}

#[tokio::test(start_paused = true)]
async fn the_time_can_be_told() {
    let scene = Scene::new(trips_on(Consecutive::count::<1>()).hang_after(secs(30)));
    give_up_after(&scene, 29_999).await;
    assert_eq!(scene.state(), CircuitState::Closed);
    give_up_after(&scene, 30_000).await;
    assert_eq!(scene.state(), CircuitState::Open);
}

/// D5
#[tokio::test(start_paused = true)]
async fn with_a_time_of_zero_each_call_counts_that_had_to_wait() {
    let scene = Scene::new(trips_on(Consecutive::count::<1>()).hang_after(Duration::ZERO));
    drop(scene.call(HANGING));
    assert_eq!(scene.state(), CircuitState::Closed, "it was not polled");
    drop(scene.begin(HANGING));
    assert_eq!(scene.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn long_polls_can_be_left_at_any_time() {
    let scene = Scene::new(trips_on(Consecutive::count::<1>()).no_hang_after());
    for _ in 0..100 {
        give_up_after(&scene, 3_600_000).await;
    }
    assert_eq!((scene.state(), scene.counts()), (CircuitState::Closed, [0, 0, 100]));
}

/// A1
#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_polled_is_nothing_however_old_it_is() {
    let slow = SlowRatio::slower_than(secs(2)).percent::<50>();
    for layer in [breaker(), breaker().trip_on(slow)] {
        let scene = Scene::new(layer);
        for _ in 0..10 {
            let call = scene.call(HANGING);
            sleep(secs(60)).await;
            drop(call);
        }
        assert_eq!((scene.state(), scene.counts()), (CircuitState::Closed, [0, 0, 10]));
        assert_eq!(scene.server.running(), 0);
    }
}

/// A2
#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_takes_its_inner_call_along() {
    let scene = Scene::new(breaker());
    let calls: Vec<_> = (0..10).map(|_| scene.begin(HANGING)).collect();
    assert_eq!(scene.server.running(), 10);
    drop(calls);
    assert_eq!(scene.server.running(), 0);
}

/// A14
#[tokio::test(start_paused = true)]
async fn a_call_that_has_ended_is_counted_once_whatever_becomes_of_its_future() {
    let scene = Scene::new(breaker());
    for ask in [GOOD, BAD, NEUTRAL] {
        let mut call = scene.call(ask);
        assert!(call.poll().is_ready());
        assert!(call.poll().is_pending(), "polled again after its end");
        sleep(secs(60)).await;
        drop(call);
    }
    assert_eq!(scene.counts(), [1, 1, 1]);
    scene.ask_each(1, GOOD).await;
    scene.trip().await;
    let mut refused = scene.call(GOOD);
    assert!(refused.poll().is_ready());
    assert!(refused.poll().is_pending());
    drop(refused);
    assert_eq!((scene.counts(), scene.seen().refused), ([2, 3, 1], 1));
}

/// F9: a call that is given up counts as slow where it was, too
#[tokio::test(start_paused = true)]
async fn a_hung_call_hits_the_rule_for_slow_calls() {
    let slow = SlowRatio::slower_than(secs(2)).percent::<50>().min_calls(3);
    let scene = Scene::new(trips_on(slow));
    for _ in 0..3 {
        assert_eq!(scene.state(), CircuitState::Closed);
        give_up_after(&scene, 2_001).await;
    }
    assert_eq!((scene.state(), scene.seen().slow), (CircuitState::Open, 3));
}
