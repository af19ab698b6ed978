//! Services that wait in `poll_ready` while their circuit refuses calls.

use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use crate::kit::{Scripted, Woken, ms, now, secs, sleep};
use crate::wire::bounded;
use futures_util::FutureExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_test::task::spawn;
use tower::{Layer, Service, ServiceExt};
use tower_failover::circuit_breaker::{
    CircuitBreaker, CircuitBreakerLayer, CircuitHandle, CircuitOpen, CircuitState,
};
use tower_failover::classify::ErrorsOnly;
use tower_failover::replay::Plain;
use tower_failover::trip::Consecutive;
use tower_failover::{Backoff, BoxError, Jitter};

type Inner = Scripted<bool, ()>;
type Gated = CircuitBreaker<Inner, ErrorsOnly, Plain>;

/// Opens at the first failure for this long, and closes at the first success.
fn layer(open_for: Duration) -> CircuitBreakerLayer<ErrorsOnly, Plain> {
    CircuitBreakerLayer::plain()
        .trip_on(Consecutive::count::<1>())
        .successes(nonzero(1))
        .trial_timeout(secs(3))
        .open_for(Backoff::constant(open_for).jitter(Jitter::None))
        .gated()
}

/// Fails its first call and no other.
fn failing_once() -> Inner {
    Scripted::new(|call| if call == 1 { Err("down".into()) } else { Ok(()) })
}

/// A service whose circuit has just opened for so long.
async fn opened(inner: Inner, open_for: Duration) -> (Gated, CircuitHandle) {
    let layer = layer(open_for);
    let circuit = layer.handle();
    let service = layer.layer(inner);
    service.clone().oneshot(true).await.unwrap_err();
    assert_eq!(circuit.state(), CircuitState::Open);
    (service, circuit)
}

#[tokio::test(start_paused = true)]
async fn a_gated_service_is_not_ready_while_its_circuit_is_open() {
    let (service, circuit) = opened(failing_once(), secs(10)).await;
    let mut service = spawn(service);
    assert!(service.enter(|cx, mut service| service.poll_ready(cx)).is_pending());
    tokio::time::advance(ms(9_999)).await;
    assert!(!service.is_woken());
    assert!(service.enter(|cx, mut service| service.poll_ready(cx)).is_pending());
    tokio::time::advance(ms(1)).await;
    assert!(service.is_woken());
    assert!(service.enter(|cx, mut service| service.poll_ready(cx)).is_ready());
    service.enter(|_, mut service| service.call(true)).await.unwrap();
    assert_eq!((circuit.state(), circuit.snapshot().refused), (CircuitState::Closed, 0));
}

/// F6
#[tokio::test(start_paused = true)]
async fn all_who_wait_are_woken_and_none_calls_before_its_time() {
    let inner = failing_once();
    let (service, circuit) = opened(inner.clone(), secs(10)).await;
    let mut waiting = JoinSet::new();
    for _ in 0..50 {
        let mut service = service.clone();
        waiting.spawn(async move {
            let opened = now();
            loop {
                let called = service.ready().await.unwrap().call(true).await;
                match called {
                    Ok(()) => return opened.elapsed(),
                    // more were ready than there are permits
                    Err(error) => assert!(error.is::<CircuitOpen>()),
                }
            }
        });
    }
    let waited = waiting.join_all().await;
    assert!(waited.iter().all(|time| *time == secs(10)), "{waited:?}");
    assert_eq!((inner.count(), circuit.state()), (51, CircuitState::Closed));
}

/// Counts the polls of a service that waits, and when it was let through.
async fn waits(mut service: Gated, polls: Arc<AtomicUsize>) -> Duration {
    let start = now();
    std::future::poll_fn(|cx| {
        polls.fetch_add(1, SeqCst);
        service.poll_ready(cx)
    })
    .await
    .unwrap();
    start.elapsed()
}

/// C4
#[tokio::test(start_paused = true)]
async fn a_service_that_waits_is_polled_at_most_twice_a_second() {
    let (service, _circuit) = opened(failing_once(), secs(100)).await;
    let polls = Arc::<AtomicUsize>::default();
    let mut waiting = JoinSet::new();
    for _ in 0..10 {
        waiting.spawn(waits(service.clone(), polls.clone()));
    }
    for second in 1..100 {
        sleep(secs(1)).await;
        assert!(polls.load(SeqCst) <= 2 * 10 * second, "in {second} s");
    }
    assert!(waiting.join_all().await.iter().all(|time| *time == secs(100)));
    assert!(polls.load(SeqCst) <= 3 * 10, "{polls:?}: when it begins to wait, and when it ends");
}

/// C4: nor is one that waits behind a trial
#[tokio::test(start_paused = true)]
async fn a_service_that_waits_behind_a_trial_is_polled_no_more_often() {
    let layer = layer(secs(1)).trial_timeout(secs(100));
    layer.layer(failing_once()).oneshot(true).await.unwrap_err();
    sleep(secs(1)).await;
    let slow = layer.layer(Scripted::new(|_| Ok::<(), BoxError>(())).taking(secs(50)));
    let trial = tokio::spawn(slow.clone().oneshot(true));
    tokio::task::yield_now().await;
    assert_eq!(layer.handle().snapshot().trials, 1);
    let polls = Arc::<AtomicUsize>::default();
    let mut waiting = JoinSet::new();
    for _ in 0..10 {
        waiting.spawn(waits(slow.clone(), polls.clone()));
    }
    sleep(secs(49)).await;
    assert_eq!(polls.load(SeqCst), 10, "when they begin to wait");
    trial.await.unwrap().unwrap();
    assert!(waiting.join_all().await.iter().all(|time| *time == secs(50)));
    assert!(polls.load(SeqCst) <= 3 * 10, "{polls:?}");
}

/// F10
#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_by_every_change_for_the_better() {
    type Change = fn(&CircuitHandle);
    let changes: [Change; 3] =
        [CircuitHandle::force_closed, CircuitHandle::reset, CircuitHandle::observe_only];
    for change in changes {
        for forced in [false, true] {
            let (service, circuit) = opened(failing_once(), secs(1_000)).await;
            if forced {
                circuit.force_open();
            }
            let waiting: Vec<_> =
                (0..5).map(|_| tokio::spawn(waits(service.clone(), Arc::default()))).collect();
            sleep(secs(7)).await;
            assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
            change(&circuit);
            for waiting in waiting {
                assert_eq!(waiting.await.unwrap(), secs(7));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_open_circuit_waits_on_when_it_is_forced_open() {
    let (service, circuit) = opened(failing_once(), secs(10)).await;
    let polls = Arc::<AtomicUsize>::default();
    let waiting = tokio::spawn(waits(service, polls.clone()));
    sleep(secs(5)).await;
    circuit.force_open();
    sleep(secs(3_600)).await;
    assert!(!waiting.is_finished());
    assert!(polls.load(SeqCst) <= 4, "{polls:?}");
    circuit.reset();
    assert_eq!(waiting.await.unwrap(), secs(3_605));
}

/// The circuit is closed by the trial of somebody else, long before a lease ends.
#[tokio::test(start_paused = true)]
async fn who_waits_behind_a_trial_is_woken_by_its_end() {
    for ends_well in [true, false] {
        let script = move |call| if call == 1 || !ends_well { Err("down".into()) } else { Ok(()) };
        let (mut prober, circuit) = opened(Scripted::new(script).taking(ms(500)), secs(10)).await;
        sleep(secs(10)).await;
        let trial = tokio::spawn(prober.ready().await.unwrap().call(true));
        let waiting = tokio::spawn(waits(prober.clone(), Arc::default()));
        assert_eq!(trial.await.unwrap().is_ok(), ends_well);
        let waited = waiting.await.unwrap();
        assert_eq!(waited, if ends_well { ms(500) } else { ms(10_500) });
        assert_eq!(circuit.snapshot().opened, if ends_well { 1 } else { 2 });
    }
}

/// A4
#[tokio::test(start_paused = true)]
async fn who_waits_behind_a_trial_is_woken_when_that_is_dropped() {
    let (mut prober, circuit) = opened(failing_once().taking(ms(100)), secs(10)).await;
    sleep(secs(10)).await;
    let mut trial = spawn(prober.ready().await.unwrap().call(true));
    assert!(trial.poll().is_pending());
    let mut waiting = spawn(waits(prober.clone(), Arc::default()));
    assert!(waiting.poll().is_pending());
    drop(trial);
    assert!(waiting.is_woken());
    assert_eq!(waiting.poll(), Poll::Ready(Duration::ZERO));
    assert_eq!(circuit.state(), CircuitState::HalfOpen);
}

/// A11, A12
#[tokio::test(start_paused = true)]
async fn who_waits_behind_a_trial_that_hangs_waits_until_the_circuit_was_open_again() {
    let (mut prober, circuit) = opened(failing_once(), secs(10)).await;
    sleep(secs(10)).await;
    // it is never polled, and never dropped
    std::mem::forget(prober.ready().await.unwrap().call(true));
    // the time of the trial, after which it has failed, and that for which the circuit opens then
    assert_eq!(waits(prober.clone(), Arc::default()).await, secs(3 + 10));
    assert_eq!(circuit.snapshot().opened, 2);
    prober.ready().await.unwrap().call(true).await.unwrap();
    assert_eq!(circuit.state(), CircuitState::Closed);
}

/// A13
#[tokio::test(start_paused = true)]
async fn a_service_that_moves_to_another_task_wakes_that_one() {
    let (mut service, circuit) = opened(failing_once(), secs(10)).await;
    let counts = [(); 2].map(|()| Woken::new());
    for count in &counts {
        assert!(service.poll_ready(&mut Context::from_waker(&count.waker())).is_pending());
    }
    circuit.reset();
    assert_eq!(counts.map(|count| count.times()), [0, 1]);
}

/// A13
#[tokio::test(start_paused = true)]
async fn the_timer_of_a_service_that_moves_wakes_the_last_task() {
    let (mut service, _circuit) = opened(failing_once(), secs(10)).await;
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending());
    let moved = tokio::spawn(waits(service, Arc::default()));
    assert_eq!(moved.await.unwrap(), secs(10));
}

/// A15, C4
#[tokio::test(start_paused = true)]
async fn polls_without_a_reason_cause_no_wakes_and_delay_nothing() {
    let (mut service, _circuit) = opened(failing_once(), secs(10)).await;
    let count = Woken::new();
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    for _ in 0..1_000 {
        assert!(service.poll_ready(&mut cx).is_pending());
        tokio::time::advance(ms(9)).await;
    }
    assert_eq!(count.times(), 0);
    tokio::time::advance(ms(1_000)).await;
    assert_eq!(count.times(), 1);
    assert!(service.poll_ready(&mut cx).is_ready());
}

/// A5, D13: neither the circuit nor a timer keeps who has left
#[tokio::test(start_paused = true)]
async fn who_stops_waiting_is_forgotten() {
    let (service, circuit) = opened(failing_once(), secs(10)).await;
    let count = Woken::new();
    {
        let waker = Waker::from(count.clone());
        let mut leaving = service.clone();
        assert!(leaving.poll_ready(&mut Context::from_waker(&waker)).is_pending());
        assert!(Arc::strong_count(&count) > 2, "it is remembered");
    }
    assert_eq!(Arc::strong_count(&count), 1);
    sleep(secs(5)).await;
    circuit.reset();
    sleep(secs(10)).await;
    assert_eq!(count.times(), 0);
}

/// A5, F3: readiness holds no permit that others would miss
#[tokio::test(start_paused = true)]
async fn a_service_that_is_ready_and_never_called_takes_nothing() {
    let (service, circuit) = opened(failing_once(), secs(10)).await;
    sleep(secs(10)).await;
    let mut parked = service.clone();
    parked.ready().await.unwrap();
    service.oneshot(true).await.unwrap();
    assert_eq!((circuit.state(), circuit.snapshot().trials), (CircuitState::Closed, 0));
}

/// C8
#[tokio::test(start_paused = true)]
async fn the_service_inside_is_not_polled_ready_while_the_circuit_is_open() {
    let asked = Scripted::<bool, ()>::new(|_| Ok(()));
    let layer = layer(secs(10));
    let circuit = layer.handle();
    circuit.force_open();
    let mut service = layer.layer(asked.clone());
    assert!(service.ready().now_or_never().is_none());
    assert_eq!(asked.polls(), 0);
    circuit.reset();
    service.ready().await.unwrap();
    assert_eq!(asked.polls(), 1);
}

/// A17: a service that waits does not keep its circuit from going
#[tokio::test(start_paused = true)]
async fn a_service_that_waits_leaves_nothing_behind() {
    let (mut service, circuit) = opened(failing_once(), secs(10)).await;
    let mut changes = circuit.changes();
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(circuit);
    assert!(changes.next().now_or_never().is_none());
    drop(service);
    assert_eq!(changes.next().now_or_never(), Some(None), "the circuit is gone");
}

/// C4: on threads that race for it, no wake is lost
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn services_that_wait_on_several_threads_are_all_woken() {
    const ROUNDS: usize = 300;
    let layer = layer(secs(3_600));
    let circuit = layer.handle();
    let service = layer.layer(Scripted::new(|_| Ok::<(), BoxError>(())));
    let test = async {
        for _ in 0..ROUNDS {
            circuit.force_open();
            let waiting: Vec<_> =
                (0..8).map(|_| tokio::spawn(waits(service.clone(), Arc::default()))).collect();
            tokio::task::yield_now().await;
            circuit.reset();
            for waiting in waiting {
                waiting.await.unwrap();
            }
        }
    };
    bounded(test).await;
}
