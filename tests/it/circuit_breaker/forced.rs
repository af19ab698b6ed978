//! A circuit that is steered and watched from outside.

use super::*;
use crate::kit::Log;
use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use futures_util::future::join_all;
use std::sync::Mutex;
use std::sync::OnceLock;
use tower_failover::trip::{FailureRatio, Failures, TripRule};

const HOUR: Duration = secs(3_600);

/// F10
#[tokio::test(start_paused = true)]
async fn forced_open_lasts_until_it_is_changed() {
    let scene = Scene::new(breaker());
    scene.circuit.force_open();
    for _ in 0..5 {
        sleep(HOUR).await;
        let refused = scene.refusal().await;
        assert_eq!((refused.state(), refused.retry_after()), (CircuitState::ForcedOpen, None));
        assert_eq!(refused.to_string(), "circuit `circuit` is forced open");
    }
    assert_eq!((scene.seen().share, scene.seen().next_trial), (0.0, None));
    assert_eq!(scene.server.count(), 0);
    scene.circuit.reset();
    scene.ask_each(1, GOOD).await;
    assert_eq!(scene.state(), CircuitState::Closed);
}

/// F10
#[tokio::test(start_paused = true)]
async fn forced_closed_lasts_until_it_is_changed_and_counts() {
    let scene = Scene::new(breaker());
    scene.trip().await;
    scene.circuit.force_closed();
    for _ in 0..5 {
        scene.ask_each(20, BAD).await;
        sleep(HOUR).await;
        assert_eq!((scene.state(), scene.seen().share), (CircuitState::ForcedClosed, 1.0));
    }
    assert_eq!((scene.seen().failures, scene.seen().rules[0].hits), (102, 100));
    scene.circuit.reset();
    assert_eq!((scene.state(), scene.seen().rules[0].hits), (CircuitState::Closed, 0));
    scene.trip().await;
}

/// F10: what was decided by hand is not changed by calls that were under way
#[tokio::test(start_paused = true)]
async fn calls_under_way_do_not_end_what_is_forced() {
    type Force = fn(&CircuitHandle);
    let forces: [(Force, CircuitState); 3] = [
        (CircuitHandle::force_open, CircuitState::ForcedOpen),
        (CircuitHandle::force_closed, CircuitState::ForcedClosed),
        (CircuitHandle::reset, CircuitState::Closed),
    ];
    for (force, state) in forces {
        let scene = Scene::new(breaker());
        let mut calls: Vec<_> = (0..5).map(|_| scene.begin(BAD.taking(secs(1)))).collect();
        force(&scene.circuit);
        sleep(ms(1_000)).await;
        calls.iter_mut().for_each(|call| assert!(call.poll().is_ready()));
        assert_eq!((scene.state(), scene.seen().rules[0].hits), (state, 0));

        // nor by a trial
        let scene = Scene::half_open(breaker().successes(nonzero(1))).await;
        for ask in [GOOD, BAD] {
            scene.circuit.reset();
            scene.trip().await;
            sleep(OPEN).await;
            let mut trial = scene.begin(ask.taking(ms(1)));
            force(&scene.circuit);
            sleep(ms(1)).await;
            assert!(trial.poll().is_ready());
            assert_eq!((scene.state(), scene.seen().trials), (state, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_clears_the_counts_also_when_it_is_closed() {
    let scene = Scene::new(breaker());
    for _ in 0..10 {
        scene.ask_each(1, BAD).await;
        scene.circuit.reset();
        assert_eq!((scene.state(), scene.seen().rules[0].hits), (CircuitState::Closed, 0));
    }
    let half = FailureRatio::percent::<50>();
    let rules: [TripRule; 3] =
        [half.into(), half.last(nonzero(100)).into(), Failures::count::<20>().into()];
    for rule in rules {
        let scene = Scene::new(trips_on(rule));
        for _ in 0..3 {
            scene.ask_each(19, BAD).await;
            scene.circuit.reset();
            let rule = scene.seen().rules[0];
            assert_eq!((rule.calls, rule.hits), (0, 0));
        }
        scene.ask_each(20, BAD).await;
        assert_eq!(scene.state(), CircuitState::Open);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_each_state_and_makes_open_times_short_again() {
    let times = Backoff::exponential(secs(1)).cap(secs(30)).jitter(Jitter::None);
    let scene = Scene::new(breaker().open_for(times));
    for _ in 0..3 {
        scene.trip().await;
        for time in [1, 2, 4] {
            assert_eq!(scene.seen().next_trial, Some(secs(time)));
            sleep(secs(time)).await;
            scene.ask(BAD).await.unwrap();
        }
        scene.circuit.reset();
        assert_eq!(scene.state(), CircuitState::Closed);
        scene.ask_each(1, GOOD).await;
    }
    scene.trip().await;
    sleep(secs(1)).await;
    let _probe = scene.begin(HANGING);
    scene.circuit.reset();
    assert_eq!((scene.state(), scene.seen().trials), (CircuitState::Closed, 0));
}

/// Goes through its states, and nobody notices.
#[tokio::test(start_paused = true)]
async fn a_circuit_that_only_observes_refuses_nobody() {
    let scene = Scene::new(breaker());
    scene.circuit.observe_only();
    assert!(scene.seen().observe_only);
    scene.trip().await;
    scene.ask_each(50, BAD).await;
    assert_eq!((scene.seen().failures, scene.seen().refused), (52, 0));
    assert_eq!(scene.seen().next_trial, Some(OPEN), "what would have been refused tells nothing");
    sleep(OPEN).await;
    let mut trial = scene.begin(GOOD.taking(ms(100)));
    assert_eq!((scene.state(), scene.seen().trials), (CircuitState::HalfOpen, 1));
    scene.ask_each(50, BAD).await;
    assert_eq!(scene.state(), CircuitState::HalfOpen, "none of them was a trial");
    sleep(ms(100)).await;
    assert!(trial.poll().is_ready());
    scene.ask_each(1, GOOD).await;
    assert_eq!((scene.state(), scene.seen().opened), (CircuitState::Closed, 1));
    assert_eq!((scene.seen().refused, scene.server.count()), (0, 104));
    scene.circuit.reset();
    assert!(!scene.seen().observe_only);
    scene.trip().await;
    scene.refusal().await;
}

/// F13, L2
#[tokio::test(start_paused = true)]
async fn a_subscriber_may_use_the_handle_while_it_is_told() {
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    /// Looks at the circuit, and resets it when it has opened.
    #[derive(Clone, Default)]
    struct Meddler(Arc<(OnceLock<CircuitHandle>, Mutex<Vec<CircuitState>>)>);

    impl<S: tracing::Subscriber> Layer<S> for Meddler {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
            let (circuit, told) = &*self.0;
            let Some(circuit) = circuit.get() else { return };
            let state = circuit.snapshot().state;
            told.lock().unwrap().push(state);
            let _ = (format!("{circuit:?}"), circuit.changes());
            if state == CircuitState::Open {
                circuit.reset();
            }
        }
    }

    let scene = Scene::new(breaker());
    let meddler = Meddler::default();
    meddler.0.0.set(scene.circuit.clone()).unwrap();
    let _all = Log::default().follow();
    let _told =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(meddler.clone()));
    for _ in 0..3 {
        scene.ask_each(2, BAD).await;
        assert_eq!(scene.state(), CircuitState::Closed);
    }
    // `tracing` tells a subscriber nothing of what it does while it is told something
    let told = [CircuitState::Open; 3];
    assert_eq!(*meddler.0.1.lock().unwrap(), told);
}

/// F13
#[tokio::test(start_paused = true)]
async fn a_task_that_waits_for_changes_may_use_the_handle() {
    let scene = Scene::new(breaker());
    let (circuit, mut changes) = (scene.circuit.clone(), scene.circuit.changes());
    let task = tokio::spawn(async move {
        let mut told = Vec::new();
        while told.len() < 4 {
            let state = changes.next().await.expect("the circuit is there");
            assert_eq!(state, circuit.state());
            if state == CircuitState::Open {
                circuit.reset();
            }
            told.push(state);
        }
        told
    });
    sleep(ms(1)).await;
    for _ in 0..2 {
        scene.ask_each(2, BAD).await;
        sleep(ms(1)).await;
    }
    let told = task.await.unwrap();
    assert_eq!(told, [CircuitState::Open, CircuitState::Closed].repeat(2));
}

#[tokio::test(start_paused = true)]
async fn everybody_who_waits_is_told_of_a_change() {
    let scene = Scene::new(breaker());
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let mut changes = scene.circuit.changes();
            tokio::spawn(async move { changes.next().await })
        })
        .collect();
    sleep(ms(1)).await;
    scene.trip().await;
    for told in join_all(waiting).await {
        assert_eq!(told.unwrap(), Some(CircuitState::Open));
    }
    // who comes later hears of what comes later
    let mut late = spawn(async { scene.circuit.changes().next().await });
    assert!(late.poll().is_pending());
    sleep(OPEN).await;
    scene.ask(GOOD).await.unwrap();
    assert!(late.is_woken());
    assert_eq!(late.await, Some(CircuitState::HalfOpen));
}

/// F11
#[tokio::test(start_paused = true)]
async fn a_handle_outlives_the_services_and_the_services_the_handle() {
    let layer = breaker().name("kept");
    let circuit = layer.handle();
    let service = layer.layer(server());
    for _ in 0..2 {
        service.clone().oneshot(BAD).await.unwrap();
    }
    let mut changes = circuit.changes();
    drop((layer, service));
    assert_eq!((circuit.name(), circuit.state()), ("kept", CircuitState::Open));
    circuit.force_open();
    assert_eq!(changes.next().await, Some(CircuitState::ForcedOpen));
    drop(circuit);
    assert_eq!(changes.next().await, None, "the circuit is gone");

    let layer = breaker();
    let service = layer.layer(server());
    let own = service.handle();
    drop((layer.handle(), layer));
    for _ in 0..2 {
        service.clone().oneshot(BAD).await.unwrap();
    }
    refusal(service.clone().oneshot(GOOD).await);
    assert_eq!(own.state(), CircuitState::Open);
    drop(own);
    refusal(service.oneshot(GOOD).await);
}

/// A17: calls under way keep their circuit
#[tokio::test(start_paused = true)]
async fn a_call_outlives_its_service_its_layer_and_its_handle() {
    let scene = Scene::new(breaker());
    let calls = [GOOD, BAD, HANGING].map(|ask| scene.begin(ask.taking(ms(5))));
    let hanging = scene.begin(HANGING);
    let Scene { service, circuit, server } = scene;
    let mut changes = circuit.changes();
    drop((service, circuit));
    for call in calls {
        assert!(call.await.is_ok());
    }
    let mut ended = spawn(changes.next());
    assert!(ended.poll().is_pending(), "one call is under way");
    drop(hanging);
    assert!(ended.is_woken());
    assert_eq!((ended.await, server.running()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn each_change_is_an_event_with_its_reasons() {
    let log = Log::default();
    let _following = log.follow();
    let scene = Scene::new(breaker().name("ledger").ramp(secs(5)));
    scene.ask_each(5, GOOD).await;
    assert_eq!(log.text(), "", "a good call is no event");
    scene.trip().await;
    scene.refusal().await;
    sleep(OPEN).await;
    scene.ask_each(2, GOOD).await;
    sleep(secs(5)).await;
    scene.ask(GOOD).await.unwrap();
    scene.circuit.force_open();
    let text = log.text();
    let events: Vec<_> = text
        .lines()
        .map(|line| {
            assert!(line.contains(" INFO "), "{line}");
            let (_, event) = line.split_once("tower_failover::circuit_breaker: ").unwrap();
            event.split_once(" generation=").unwrap().0
        })
        .collect();
    let told = |from, to, share, next| {
        format!(
            "state changed name=\"ledger\" from=\"{from}\" state=\"{to}\" share={share} \
             next_trial={next}"
        )
    };
    assert_eq!(
        events,
        [
            told("closed", "open", "0.0", "Some(10s)"),
            told("open", "half-open", "0.0", "None"),
            told("half-open", "on its ramp", "0.1", "None"),
            told("on its ramp", "closed", "1.0", "None"),
            told("closed", "forced open", "0.0", "None"),
        ]
    );
}

/// M2: nothing of a request is in it
#[tokio::test(start_paused = true)]
async fn debug_tells_the_state_and_not_the_requests() {
    let layer = breaker().name("ledger");
    let service = layer.layer(server());
    let mut caller = service.clone();
    let call = caller.ready().await.unwrap().call(GOOD);
    for shown in [format!("{:?}", layer.handle()), format!("{service:?}"), format!("{layer:?}")] {
        assert!(shown.contains("ledger"), "{shown}");
    }
    assert!(!format!("{call:?}").contains("Success"));
}
