//! A circuit for each key, so many at most.

mod keys;

use self::keys::*;
use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use crate::kit::{Scripted, ms, now, secs, sleep};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;
use tokio_test::task::spawn;
use tower::{Layer, Service, ServiceExt};
use tower_failover::BoxError;
use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitState, KeyedHandle};
use tower_failover::classify::ErrorsOnly;
use tower_failover::replay::Plain;
use tower_failover::trip::Consecutive;

fn rules() -> CircuitBreakerLayer<ErrorsOnly, Plain> {
    CircuitBreakerLayer::plain().trip_on(Consecutive::count::<1>())
}

/// The key of a request is the request without its sign.
fn key(request: &i64) -> u64 {
    request.unsigned_abs()
}

/// Fails requests below zero, and answers the others.
async fn serve(request: i64) -> Result<(), BoxError> {
    if request < 0 { Err("below zero".into()) } else { Ok(()) }
}

macro_rules! keyed {
    ($capacity:expr) => {
        rules().keyed(key).capacity(nonzero($capacity))
    };
}

fn state(handle: &KeyedHandle<u64>, key: u64) -> Option<CircuitState> {
    handle.circuit(&key).map(|circuit| circuit.state())
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_circuit_which_all_services_share() {
    let layer = rules().keyed(key);
    let handle = layer.handle();
    let services = [(); 2].map(|()| layer.clone().layer(tower::service_fn(serve)));
    services[0].clone().oneshot(-1).await.unwrap_err();
    services[0].clone().oneshot(2).await.unwrap();
    assert!(!services[1].clone().oneshot(1).await.unwrap_err().to_string().contains("below"));
    services[1].clone().oneshot(2).await.unwrap();
    assert_eq!(state(&handle, 1), Some(CircuitState::Open));
    assert_eq!(state(&handle, 2), Some(CircuitState::Closed));
    assert_eq!((handle.len(), handle.tripped()), (2, vec![1]));
    assert_eq!(handle.circuit(&2).unwrap().snapshot().successes, 2);
}

#[tokio::test(start_paused = true)]
async fn a_handle_asks_for_a_circuit_without_making_one() {
    let layer = keyed!(2);
    let handle = layer.handle();
    assert!(handle.is_empty() && handle.circuit(&1).is_none() && handle.is_empty());
    let service = layer.layer(tower::service_fn(serve));
    service.clone().oneshot(1).await.unwrap();
    service.clone().oneshot(2).await.unwrap();
    // a look is no use
    assert!(handle.circuit(&1).is_some());
    service.clone().oneshot(3).await.unwrap();
    assert!(handle.circuit(&1).is_none() && handle.circuit(&2).is_some());
}

#[tokio::test(start_paused = true)]
async fn tripped_keys_are_told_with_the_one_used_longest_ago_first() {
    let layer = rules().keyed(key);
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(serve));
    for request in [-3, -1, 5, -2, 3] {
        let _ = service.clone().oneshot(request).await;
    }
    assert_eq!(handle.tripped(), [1, 2, 3]);
    handle.circuit(&2).unwrap().reset();
    assert_eq!(handle.tripped(), [1, 3]);
    handle.circuit(&5).unwrap().force_open();
    assert_eq!(handle.tripped(), [1, 3, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_circuit_has_closed_again_is_not_tripped() {
    let layer = rules().successes(nonzero(1)).ramp(secs(10)).keyed(key);
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(serve));
    service.clone().oneshot(-1).await.unwrap_err();
    sleep(secs(2)).await;
    service.clone().oneshot(1).await.unwrap();
    assert_eq!((state(&handle, 1), handle.tripped()), (Some(CircuitState::Ramp), vec![1]));
    sleep(secs(10)).await;
    assert_eq!((state(&handle, 1), handle.tripped()), (Some(CircuitState::Closed), vec![]));
}

/// F15, L1
#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_keys_stay_within_the_capacity() {
    let layer = keyed!(1_000);
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(serve));
    for request in 1..=100_000 {
        // one in three opens its circuit
        let request = if request % 3 == 0 { -request } else { request };
        let _ = service.clone().oneshot(request).await;
        assert!(handle.len() <= 1_000);
    }
    assert_eq!(handle.len(), 1_000);
}

/// How often keys are looked at for one more circuit, where `capacity` are kept already: all of them
/// closed, or open, or with a call on its way.
fn looks_for_one_more(capacity: usize, sign: i64, busy: bool) -> u64 {
    const MORE: i64 = 500;
    let looks = Arc::<AtomicU64>::default();
    let counted = looks.clone();
    let layer = rules().keyed(move |request: &i64| Counted(key(request), counted.clone()));
    let mut service = layer.capacity(nonzero(capacity)).layer(tower::service_fn(serve));
    let mut calls = Vec::new();
    let mut go = |request: i64| {
        let call = service.call(sign * request);
        if busy { calls.push(call) } else { drop(call.now_or_never().unwrap()) }
    };
    let capacity = i64::try_from(capacity).unwrap();
    (1..=capacity).for_each(&mut go);
    looks.store(0, SeqCst);
    (1..=MORE).for_each(|more| go(capacity + more));
    looks.load(SeqCst) / u64::try_from(MORE).unwrap()
}

/// F15
#[tokio::test(start_paused = true)]
async fn one_more_key_costs_the_same_however_many_there_are() {
    for (sign, busy) in [(1, false), (-1, false), (1, true)] {
        let [few, many] = [100, 10_000].map(|capacity| looks_for_one_more(capacity, sign, busy));
        assert!(many <= few + few / 4 + 1, "{sign} {busy}: {many} looks instead of {few}");
        assert!(many <= 64, "{sign} {busy}: {many} looks");
    }
}

/// F15: nor does it take longer, as it would if circuits were gone through one by one
#[test]
fn one_more_key_takes_no_longer_however_many_there_are() {
    const MORE: i64 = 2_000;
    let took = |capacity: usize, sign: i64, busy: bool| {
        let layer = rules().keyed(key).capacity(nonzero(capacity));
        let mut service = layer.layer(tower::service_fn(serve));
        let mut calls = Vec::new();
        let mut go = |request: i64| {
            let call = service.call(sign * request);
            if busy { calls.push(call) } else { drop(call.now_or_never().unwrap()) }
        };
        let capacity = i64::try_from(capacity).unwrap();
        (1..=capacity).for_each(&mut go);
        // the best of some, since other tests run beside this one
        let rounds = (0..10).map(|round| {
            let started = now();
            let first = capacity + 1 + round * MORE / 10;
            (first..first + MORE / 10).for_each(&mut go);
            started.elapsed()
        });
        rounds.min().unwrap()
    };
    for (sign, busy) in [(1, false), (-1, false), (1, true)] {
        let [few, many] = [100, 10_000].map(|capacity| took(capacity, sign, busy));
        assert!(many < 20 * few, "{sign} {busy}: {many:?} instead of {few:?}");
    }
}

/// F15
#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_kept_while_there_is_an_idle_closed_one() {
    let layer = keyed!(10);
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(serve));
    for request in -9..0 {
        service.clone().oneshot(request).await.unwrap_err();
    }
    for request in 10..1_000 {
        service.clone().oneshot(request).await.unwrap();
    }
    assert_eq!((handle.len(), handle.tripped().len()), (10, 9));
    // where all are open, the one that was used longest ago goes
    service.clone().oneshot(-1_000).await.unwrap_err();
    service.clone().oneshot(-1_001).await.unwrap_err();
    assert_eq!((handle.len(), handle.tripped().len()), (10, 10));
    assert!(handle.circuit(&9).is_none() && handle.circuit(&8).is_some());
}

/// F15: nobody is told of the end of a ramp before the next call
#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_kept_while_there_is_one_that_closed_by_itself() {
    let layer = rules().successes(nonzero(1)).ramp(secs(10)).keyed(key).capacity(nonzero(3));
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(serve));
    let ask = |request| service.clone().oneshot(request);
    ask(-1).await.unwrap_err();
    sleep(secs(2)).await;
    for request in [-2, -3] {
        ask(request).await.unwrap_err();
    }
    // its trial; so it is the one that was used last
    ask(1).await.unwrap();
    sleep(secs(10)).await;
    assert_eq!(state(&handle, 1), Some(CircuitState::Closed));
    ask(4).await.unwrap();
    assert!(handle.circuit(&1).is_none());
    assert_eq!(handle.tripped(), [2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_circuit_that_was_used_longest_ago_goes_first() {
    let layer = keyed!(3);
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(serve));
    for request in [1, 2, 3, 1, 4] {
        service.clone().oneshot(request).await.unwrap();
    }
    let kept = [1, 2, 3, 4].map(|key| handle.circuit(&key).is_some());
    assert_eq!(kept, [true, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_is_not_used_is_forgotten_in_whatever_state_it_is() {
    let layer = rules().keyed(key).idle(secs(60));
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(serve));
    service.clone().oneshot(-1).await.unwrap_err();
    service.clone().oneshot(2).await.unwrap();
    sleep(ms(59_999)).await;
    service.clone().oneshot(3).await.unwrap();
    assert_eq!(handle.len(), 3);
    sleep(ms(1)).await;
    service.clone().oneshot(3).await.unwrap();
    assert_eq!((handle.len(), handle.tripped()), (1, vec![]));
    // a circuit that begins anew lets a call through
    service.clone().oneshot(1).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_circuit_with_a_call_on_its_way_is_not_forgotten() {
    let layer = rules().keyed(key).idle(secs(60));
    let handle = layer.handle();
    let service = layer.layer(Scripted::new(|_| Err::<(), _>("down".into())).taking(secs(100)));
    let call = tokio::spawn(service.clone().oneshot(1));
    sleep(secs(90)).await;
    drop(spawn(service.clone().oneshot(2)).poll());
    assert_eq!(handle.len(), 2);
    call.await.unwrap().unwrap_err();
    assert_eq!(state(&handle, 1), Some(CircuitState::Open));
}

/// F15: what is kept does not keep others that were used after it
#[tokio::test(start_paused = true)]
async fn a_long_call_or_a_handle_keeps_its_own_circuit_and_no_other() {
    let layer = rules().keyed(key).idle(secs(60));
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(|request: i64| async move {
        if request == 1 {
            sleep(secs(1_000)).await;
        }
        serve(request).await
    }));
    let call = tokio::spawn(service.clone().oneshot(1));
    sleep(ms(1)).await;
    for request in [2, 3, 4, 5] {
        service.clone().oneshot(request).await.unwrap();
    }
    let held = handle.circuit(&2).unwrap();
    for _ in 0..3 {
        sleep(secs(60)).await;
        service.clone().oneshot(6).await.unwrap();
        service.clone().oneshot(6).await.unwrap();
        let kept = [1, 2, 3, 4, 5, 6].map(|key| handle.circuit(&key).is_some());
        assert_eq!(kept, [true, true, false, false, false, true]);
    }
    drop(held);
    call.await.unwrap().unwrap();
    sleep(secs(60)).await;
    service.clone().oneshot(7).await.unwrap();
    service.clone().oneshot(7).await.unwrap();
    assert_eq!(handle.len(), 1);
}

/// F15
#[tokio::test(start_paused = true)]
async fn calls_through_a_circuit_that_was_forgotten_end_without_harm() {
    let layer = keyed!(1);
    let handle = layer.handle();
    let slow = Scripted::new(|_| Err::<(), _>("down".into())).taking(secs(1));
    let service = layer.layer(slow);
    let mut calls: Vec<_> = (1..=100).map(|key| spawn(service.clone().oneshot(key))).collect();
    calls.iter_mut().for_each(|call| assert!(call.poll().is_pending()));
    assert_eq!(handle.len(), 1);
    let (last, others) = (calls.pop().unwrap(), calls);
    tokio::time::advance(secs(1)).await;
    for call in others {
        call.await.unwrap_err();
    }
    assert_eq!(state(&handle, 100), Some(CircuitState::Closed), "others' failures are not its own");
    last.await.unwrap_err();
    assert_eq!((handle.len(), handle.tripped()), (1, vec![100]));
    // a circuit of the same key that is made later is another one
    let mut old = spawn(service.clone().oneshot(7));
    assert!(old.poll().is_pending());
    drop(spawn(service.clone().oneshot(8)).poll());
    drop(spawn(service.clone().oneshot(7)).poll());
    old.await.unwrap_err();
    assert_eq!(state(&handle, 7), Some(CircuitState::Closed));
}

/// B6
#[tokio::test(start_paused = true)]
async fn a_key_function_that_panics_hurts_its_own_call_alone() {
    let layer = rules().keyed(|request: &i64| {
        assert!(*request != 13, "a key function panics");
        key(request)
    });
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(serve));
    for _ in 0..100 {
        let call = AssertUnwindSafe(service.clone().oneshot(13)).catch_unwind().await;
        assert!(call.is_err());
        service.clone().oneshot(1).await.unwrap();
    }
    assert_eq!((handle.len(), handle.circuit(&1).unwrap().snapshot().successes), (1, 100));
}

/// B6, B10
#[tokio::test(start_paused = true)]
async fn a_key_that_panics_at_any_time_wedges_nothing() {
    for nth in 1..=40 {
        let mood = Arc::new(AtomicI64::new(0));
        let moody = mood.clone();
        let layer = rules().keyed(move |request: &i64| Moody(key(request), moody.clone()));
        let layer = layer.capacity(nonzero(4));
        let handle = layer.handle();
        let service = layer.layer(tower::service_fn(serve));
        for request in [1, 2, -3, 4] {
            let _ = service.clone().oneshot(request).await;
        }
        mood.store(nth, SeqCst);
        for request in [5, -2, 6, -7] {
            let _ = AssertUnwindSafe(service.clone().oneshot(request)).catch_unwind().await;
        }
        mood.store(0, SeqCst);
        for request in 100..200 {
            service.clone().oneshot(request).await.unwrap();
            assert!(handle.len() <= 4);
        }
        service.clone().oneshot(-300).await.unwrap_err();
        let tripped = handle.circuit(&Moody(300, mood)).unwrap().state();
        assert_eq!(tripped, CircuitState::Open, "at {nth}");
    }
}

/// Runs this on a thread of its own, where it must come to an end.
fn ends(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    ended.recv_timeout(Duration::from_secs(20)).expect("it waits for itself");
}

/// L2
#[test]
fn a_key_that_asks_the_handle_while_it_is_forgotten_waits_for_nobody() {
    ends(|| {
        let late = Late::default();
        let known = late.clone();
        let layer = rules().keyed(move |request: &i64| Asking(key(request), known.clone()));
        let layer = layer.capacity(nonzero(2)).idle(Duration::from_nanos(1));
        *late.lock().unwrap() = Some(layer.handle());
        let mut service = layer.layer(tower::service_fn(serve));
        for request in 1..=10 {
            let _ = service.call(request).now_or_never();
        }
        *late.lock().unwrap() = None;
    });
}

/// A waker that asks the handle.
struct Curious(KeyedHandle<u64>);

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        let _ = self.0.len();
    }
}

/// L2, F13
#[test]
fn who_is_told_that_a_circuit_is_gone_may_ask_the_handle_at_once() {
    ends(|| {
        let layer = keyed!(1);
        let handle = layer.handle();
        let mut service = layer.layer(tower::service_fn(serve));
        let _ = service.call(1).now_or_never();
        let mut changes = handle.circuit(&1).unwrap().changes();
        let waker = Waker::from(Arc::new(Curious(handle)));
        let mut next = Box::pin(changes.next());
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let _ = service.call(2).now_or_never();
        assert_eq!(next.now_or_never(), Some(None));
    });
}

/// D5
#[tokio::test(start_paused = true)]
async fn an_idle_time_of_zero_is_the_shortest() {
    let layer = rules().keyed(key).idle(Duration::ZERO);
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(serve));
    service.clone().oneshot(-1).await.unwrap_err();
    service.clone().oneshot(2).await.unwrap();
    assert_eq!((handle.len(), handle.tripped()), (2, vec![1]), "both in one moment");
    sleep(ms(1)).await;
    service.clone().oneshot(3).await.unwrap();
    assert_eq!((handle.len(), handle.tripped()), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_is_held_does_not_keep_idle_ones_behind_it() {
    let key = |request: &u32| *request;
    let layer = CircuitBreakerLayer::plain().keyed(key).idle(secs(1));
    let handle = layer.handle();
    let service = layer.layer(tower::service_fn(|_: u32| async { Ok::<_, BoxError>(()) }));
    service.clone().oneshot(0).await.unwrap();
    let _held = handle.circuit(&0);
    for request in 1..=100 {
        service.clone().oneshot(request).await.unwrap();
    }
    sleep(secs(2)).await;
    for _ in 0..100 {
        service.clone().oneshot(1000).await.unwrap();
    }
    assert_eq!(handle.len(), 2);
}
