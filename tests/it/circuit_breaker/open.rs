//! What callers meet while a circuit is open, and for how long.

use super::*;
use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use crate::kit::{Gate, Hostile, timed};
use tower::buffer::Buffer;
use tower_failover::Budget;
use tower_failover::Refusal;
use tower_failover::classify::ErrorsOnly;
use tower_failover::fallback::FallbackLayer;
use tower_failover::retry::RetryLayer;
use tower_failover::trip::{Consecutive, FailureRatio};

/// C8
#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_ready_and_leaves_the_service_alone() {
    let (layer, server) = (breaker(), server());
    let mut service = layer.layer(server.clone());
    for _ in 0..2 {
        service.ready().await.unwrap().call(BAD).await.unwrap();
    }
    server.gate(Gate::Shut);
    let (polls, calls) = (server.polls(), server.count());
    for _ in 0..100 {
        let mut other = service.clone();
        for service in [&mut service, &mut other] {
            let ready = service.ready().now_or_never().expect("it is ready at once").unwrap();
            refusal(ready.call(GOOD).now_or_never().expect("it is refused at once"));
        }
    }
    assert_eq!((server.polls(), server.count()), (polls, calls));
    assert_eq!(layer.handle().snapshot().refused, 200);
}

#[tokio::test(start_paused = true)]
async fn the_error_names_the_circuit_and_the_time_that_remains() {
    let scene = Scene::new(breaker().name("ledger"));
    scene.trip().await;
    sleep(ms(2_500)).await;
    let error = scene.ask(GOOD).await.unwrap_err();
    assert_eq!(error.to_string(), "circuit `ledger` is open for another 7.5s");
    let refused = error.downcast_ref::<CircuitOpen>().unwrap();
    assert_eq!((refused.name(), refused.state()), ("ledger", CircuitState::Open));
    assert_eq!(refused.retry_after(), Some(ms(7_500)));
    // the mark by which all layers know it
    let source = error.source().unwrap().downcast_ref::<Refusal>().unwrap();
    assert_eq!(source.retry_after(), Some(ms(7_500)));
    assert_eq!(Refusal::find(&*error), Some(*source));
    assert!(source.to_string().contains("7.5s"));
    let judged = Err::<&(), _>(&error);
    assert_eq!(ErrorsOnly::new().classify(judged), Outcome::Refused);
    assert!(Classify::<(), _>::evidence(&ErrorsOnly::new(), judged).local);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_service_keeps_its_sources() {
    /// The outermost of so many.
    #[derive(Debug)]
    struct Link(Option<Box<Link>>);

    impl std::fmt::Display for Link {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("link")
        }
    }

    impl std::error::Error for Link {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.0.as_deref().map(|link| link as _)
        }
    }

    let chain = || Link(Some(Box::new(Link(Some(Box::new(Link(None)))))));
    let inner = tower::service_fn(|()| async { Err::<(), _>(chain()) });
    for layer in [CircuitBreakerLayer::plain(), CircuitBreakerLayer::plain().gated()] {
        let error = layer.layer(inner).oneshot(()).await.unwrap_err();
        assert!(error.is::<Link>(), "the service's own error");
        let sources = std::iter::successors(error.source(), |error| error.source());
        let links: Vec<_> = sources.map(|error| error.is::<Link>()).collect();
        assert_eq!(links, [true, true]);
    }
}

/// F14
#[tokio::test(start_paused = true)]
async fn a_retry_outside_neither_waits_nor_pays_for_a_refusal() {
    let scene = Scene::new(breaker());
    scene.trip().await;
    let budget = Budget::new().min_per_second(1).bank(secs(5));
    let retry = RetryLayer::plain().max_retries(3).budget(budget.clone()).backoff(always(secs(1)));
    let retry = retry.layer(scene.service.clone());
    for _ in 0..10 {
        let (answer, took) = timed(retry.clone().oneshot(GOOD)).await;
        refusal(answer);
        assert_eq!(took, Duration::ZERO);
    }
    assert_eq!(budget.balance(), 5);
    assert_eq!((scene.seen().refused, scene.server.count()), (10, 2), "each asked once");
}

/// C4
#[tokio::test(start_paused = true)]
async fn a_stack_under_a_buffer_survives_an_opening_and_a_closing() {
    let scene = Scene::new(breaker());
    let service = Buffer::new(scene.service.clone(), 16);
    let ask = |ask| service.clone().oneshot(ask);
    for _ in 0..5 {
        for _ in 0..2 {
            ask(BAD).await.unwrap();
        }
        refusal(ask(GOOD).await);
        sleep(OPEN).await;
        for _ in 0..3 {
            ask(GOOD).await.unwrap();
        }
        assert_eq!(scene.state(), CircuitState::Closed);
    }
}

/// C2, C4, L9: also with a fallback and retries around the circuit
#[tokio::test(start_paused = true)]
async fn a_whole_stack_under_a_buffer_survives_it_too() {
    let (layer, server) = (breaker(), server());
    let circuit = layer.handle();
    let stack = tower::ServiceBuilder::new()
        .layer(FallbackLayer::plain().classify(AsTold).value(|_| Outcome::Unsuitable))
        .layer(RetryLayer::plain().classify(AsTold).no_budget().backoff(always(ms(1))))
        .layer(layer)
        .service(Hostile::new(server.clone()));
    let service = Buffer::new(stack, 16);
    let ask = |ask| service.clone().oneshot(ask);
    for _ in 0..5 {
        // the second attempt opens it, and the third is refused
        assert_eq!(ask(BAD).await.unwrap(), Outcome::Unsuitable);
        assert_eq!(circuit.state(), CircuitState::Open);
        let calls = server.count();
        assert_eq!(ask(GOOD).await.unwrap(), Outcome::Unsuitable, "the fallback answers");
        assert_eq!(server.count(), calls);
        sleep(OPEN).await;
        for _ in 0..3 {
            assert_eq!(ask(GOOD).await.unwrap(), Outcome::Success);
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
    }
}

/// C1, C2
#[tokio::test(start_paused = true)]
async fn what_was_ready_while_it_was_open_is_refused_later() {
    let (layer, server) = (breaker().successes(nonzero(1)), server());
    let mut service = layer.layer(Hostile::new(server.clone()));
    for _ in 0..2 {
        service.ready().await.unwrap().call(BAD).await.unwrap();
    }
    for moment in ["half-open", "closed"] {
        layer.handle().reset();
        let mut other = service.clone();
        for _ in 0..2 {
            other.ready().await.unwrap().call(BAD).await.unwrap();
        }
        let calls = server.count();
        service.ready().await.unwrap();
        sleep(OPEN).await;
        if moment == "closed" {
            other.ready().await.unwrap().call(GOOD).await.unwrap();
            assert_eq!(layer.handle().state(), CircuitState::Closed);
        }
        let refused = refusal(service.call(GOOD).await);
        assert_eq!(refused.retry_after(), Some(Duration::ZERO), "{moment}: it would pass now");
        assert_eq!(server.count(), calls + usize::from(moment == "closed"));
        service.ready().await.unwrap().call(GOOD).await.unwrap();
    }
}

/// C1, C3
#[tokio::test(start_paused = true)]
async fn what_was_ready_before_it_opened_is_refused_as_well() {
    let (layer, server) = (breaker(), server());
    let mut service = layer.layer(Hostile::new(server.clone()));
    let mut other = service.clone();
    service.ready().await.unwrap();
    for _ in 0..2 {
        other.ready().await.unwrap().call(BAD).await.unwrap();
    }
    assert_eq!(refusal(service.call(GOOD).await).retry_after(), Some(OPEN));
    sleep(OPEN).await;
    // still ready inside, and asked anew
    for _ in 0..2 {
        service.ready().await.unwrap().call(GOOD).await.unwrap();
    }
    assert_eq!(layer.handle().state(), CircuitState::Closed);
    assert_eq!(server.count(), 4);
}

/// Doubles from 1 s to 30 s, without jitter.
fn growing() -> Breaker {
    let times = Backoff::exponential(secs(1)).cap(secs(30)).jitter(Jitter::None);
    breaker().open_for(times)
}

async fn open_time(scene: &Scene) -> Duration {
    assert_eq!(scene.state(), CircuitState::Open);
    let time = scene.seen().next_trial.expect("it waits for a trial");
    assert_eq!(scene.refusal().await.retry_after(), Some(time));
    time
}

/// F7
#[tokio::test(start_paused = true)]
async fn the_time_it_is_open_grows_with_each_reopening_up_to_a_cap() {
    let scene = Scene::new(growing());
    scene.trip().await;
    for expected in [1, 2, 4, 8, 16, 30, 30, 30] {
        let time = open_time(&scene).await;
        assert_eq!(time, secs(expected));
        sleep(time).await;
        scene.ask(BAD).await.unwrap();
    }
}

/// F7
#[tokio::test(start_paused = true)]
async fn it_falls_back_only_after_a_good_time_that_lasts() {
    let scene = Scene::new(growing());
    scene.trip().await;
    let mut expected = 1;
    // so long it is closed in between
    for (good, falls_back) in [(1, false), (59, false), (60, true), (59, false), (1_000, true)] {
        assert_eq!(open_time(&scene).await, secs(expected));
        sleep(secs(expected)).await;
        scene.ask_each(2, GOOD).await;
        sleep(secs(good)).await;
        scene.trip().await;
        expected = if falls_back { 1 } else { expected * 2 };
    }
    assert_eq!(open_time(&scene).await, secs(1));
}

/// D7, E1, E8
#[tokio::test(start_paused = true)]
async fn ten_thousand_reopenings_do_not_overflow_anything() {
    let scene = Scene::new(growing().successes(nonzero(1)));
    scene.trip().await;
    for _ in 0..10_000 {
        sleep(secs(30)).await;
        scene.ask(BAD).await.unwrap();
    }
    assert_eq!((open_time(&scene).await, scene.seen().opened), (secs(30), 10_001));
    sleep(secs(30)).await;
    scene.ask(GOOD).await.unwrap();
    assert_eq!(scene.state(), CircuitState::Closed);
}

/// G13
#[tokio::test(start_paused = true)]
async fn two_breakers_that_open_in_the_same_moment_trial_at_different_times() {
    let layer = || CircuitBreakerLayer::plain().classify(AsTold).trip_on(Consecutive::count::<2>());
    let scenes = [(); 8].map(|()| Scene::new(layer()));
    let mut times = Vec::new();
    for scene in &scenes {
        scene.trip().await;
        times.push(open_time(scene).await);
    }
    assert!(times.iter().all(|time| (ms(800)..=ms(1_200)).contains(time)), "{times:?}");
    times.sort();
    times.dedup();
    assert_eq!(times.len(), 8);
}

/// G13: nor do those that one value of the layer has made, by service or by key, with a seed or without
#[tokio::test(start_paused = true)]
async fn circuits_of_one_layer_that_open_in_the_same_moment_trial_at_different_times() {
    let layer = || CircuitBreakerLayer::plain().trip_on(Consecutive::count::<1>());
    let down = tower::service_fn(|_: u64| async { Err::<(), _>(BoxError::from("down")) });
    for layer in [layer(), layer().seed(7)] {
        let mut times = Vec::new();
        let each = layer.clone().per_service();
        for _ in 0..8 {
            let service = each.layer(down);
            service.clone().oneshot(1).await.unwrap_err();
            times.push(service.handle().snapshot().next_trial.unwrap());
        }
        let keyed = layer.keyed(|request: &u64| *request);
        for key in 0..8 {
            keyed.layer(down).oneshot(key).await.unwrap_err();
            times.push(keyed.handle().circuit(&key).unwrap().snapshot().next_trial.unwrap());
        }
        assert!(times.iter().all(|time| (ms(800)..=ms(1_200)).contains(time)), "{times:?}");
        for times in times.chunks_mut(8) {
            times.sort();
            assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
        }
    }
}

/// F7: a service that fails every second trial is asked less and less, and opens no faster again when
/// it was well for a moment
#[tokio::test(start_paused = true)]
async fn the_time_grows_also_where_every_second_trial_is_good() {
    let scene = Scene::new(growing());
    scene.trip().await;
    for expected in [1, 2, 4, 8, 16, 30, 30, 30] {
        let time = open_time(&scene).await;
        assert_eq!(time, secs(expected));
        sleep(time).await;
        scene.ask(GOOD).await.unwrap();
        assert_eq!(scene.state(), CircuitState::HalfOpen);
        scene.ask(BAD).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_seed_the_times_are_the_same_again() {
    let mut times = Vec::new();
    for _ in 0..2 {
        let layer = CircuitBreakerLayer::plain().classify(AsTold).seed(7);
        let scene = Scene::new(layer.trip_on(Consecutive::count::<2>()));
        scene.trip().await;
        times.push(open_time(&scene).await);
    }
    assert_eq!(times[0], times[1]);
}

/// H1
#[tokio::test(start_paused = true)]
async fn a_service_that_throttles_can_lengthen_the_time_to_a_minute() {
    for (asked, open) in [(1, 10), (10, 10), (25, 25), (60, 60), (10_u64.pow(18), 60)] {
        let scene = Scene::new(breaker().count_throttled());
        let retry_after = Some(secs(asked));
        let throttled = Ask { answer: Outcome::Throttled { retry_after }, takes: Duration::ZERO };
        scene.ask_each(2, throttled).await;
        assert_eq!(open_time(&scene).await, secs(open), "{asked} s");
    }
}

/// D5
#[tokio::test(start_paused = true)]
async fn with_no_open_time_it_is_half_open_at_once() {
    let scene = Scene::new(breaker().open_for(always(Duration::ZERO)));
    scene.trip().await;
    scene.ask_each(2, GOOD).await;
    assert_eq!(scene.state(), CircuitState::Closed);
}

/// A16
#[test]
fn a_runtime_can_be_shut_down_with_calls_in_every_state() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (closed, half_open, waited_for) = runtime.block_on(async {
        let closed = Scene::new(breaker());
        let half_open = Scene::half_open(breaker()).await;
        let waited_for = Scene::new(breaker().gated());
        waited_for.trip().await;
        for scene in [&closed, &half_open, &waited_for] {
            tokio::spawn(scene.service.clone().oneshot(HANGING));
        }
        sleep(ms(600)).await;
        assert_eq!((closed.server.running(), half_open.seen().trials), (1, 1));
        (closed, half_open, waited_for)
    });
    drop(runtime);
    let scenes = [&closed, &half_open, &waited_for];
    assert_eq!(scenes.map(|scene| scene.server.running()), [0; 3]);
    assert_eq!(closed.counts(), [0, 1, 0], "it was given up after more than half a second");
    assert_eq!(half_open.seen().trials, 0);
    waited_for.circuit.reset();
    assert_eq!(waited_for.server.count(), 2);
}

/// F11, L5
#[test]
fn a_breaker_needs_no_runtime() {
    let half = FailureRatio::percent::<50>().last(nonzero(2));
    let layer = CircuitBreakerLayer::plain().trip_on(half);
    let inner = tower::service_fn(|fails: bool| async move {
        if fails { Err(BoxError::from("down")) } else { Ok(()) }
    });
    let service = layer.layer(inner);
    let ask = |fails| service.clone().oneshot(fails).now_or_never().expect("at once");
    assert!(ask(false).is_ok());
    assert!(ask(true).is_err());
    refusal(ask(false));
}
