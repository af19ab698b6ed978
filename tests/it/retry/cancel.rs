//! The caller leaves, in every place where it can.

use super::{Body, account, answer, down, every};
use crate::kit::settings::Watch as _;
use crate::kit::{Gauge, Hostile, Scripted, Woken, ms, secs, sleep};
use ::http::Request;
use bytes::Bytes;
use futures_util::task::noop_waker_ref;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_test::task::spawn;
use tower::limit::{ConcurrencyLimit, GlobalConcurrencyLimitLayer};
use tower::{Layer, Service, ServiceExt};
use tower_failover::replay::ReplayBody;
use tower_failover::retry::RetryLayer;
use tower_failover::{BoxError, Budget, Outcome};

type Inner = Scripted<Job, (), ()>;

/// A request that knows whether it is still held.
#[derive(Clone)]
struct Job(#[expect(dead_code, reason = "it is held")] Gauge);

/// A service that is pending before it is ready and before it answers, and fails every time; and all
/// that a call of it may leave behind.
struct World {
    inner: Inner,
    permits: Arc<Semaphore>,
    budget: Budget,
    gauge: Gauge,
}

impl World {
    fn new() -> Self {
        Self {
            inner: Scripted::noting(|_| (), |_| down()).taking(ms(2)),
            permits: Arc::new(Semaphore::new(1)),
            budget: account(5),
            gauge: Gauge::new(),
        }
    }

    fn service(
        &self,
    ) -> impl Service<Job, Response = (), Error = BoxError, Future: Send> + Clone + use<> {
        let limit = GlobalConcurrencyLimitLayer::with_semaphore(self.permits.clone());
        let limited: ConcurrencyLimit<_> = limit.layer(Hostile::new(self.inner.clone()));
        RetryLayer::plain().budget(self.budget.clone()).backoff(every(ms(3))).layer(limited)
    }

    fn call(&self) -> impl Future<Output = Result<(), BoxError>> + Send + use<> {
        self.service().oneshot(Job(self.gauge.clone()))
    }

    /// Takes the only permit, so that nothing gets ready.
    async fn block(&self) -> OwnedSemaphorePermit {
        self.permits.clone().acquire_owned().await.unwrap()
    }

    /// After this many attempts nothing is left of a call but what they cost.
    fn assert_at_rest(&self, attempts: usize) {
        assert_eq!(self.inner.count(), attempts);
        assert_eq!(self.permits.available_permits(), 1, "a permit is left behind");
        assert_eq!(self.gauge.held(), 0, "a request is left behind");
        let retries = attempts.saturating_sub(1) as u64;
        assert_eq!(self.budget.balance(), 5 - retries, "a withdrawal is left behind");
    }
}

/// A1
#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_first_poll_leaves_nothing() {
    let world = World::new();
    drop(world.call());
    world.assert_at_rest(0);
    // the same for the future of the service itself, whose first attempt the call has begun
    let mut service = world.service();
    drop(service.ready().await.unwrap().call(Job(world.gauge.clone())));
    world.assert_at_rest(1);
}

/// A2
#[tokio::test(start_paused = true)]
async fn a_call_dropped_in_flight_leaves_nothing() {
    let world = World::new();
    let mut call = spawn(world.call());
    while world.inner.count() == 0 {
        assert!(call.poll().is_pending());
    }
    assert_eq!(world.permits.available_permits(), 0);
    drop(call);
    world.assert_at_rest(1);
}

/// A3, G18
#[tokio::test(start_paused = true)]
async fn a_call_dropped_in_its_delay_gives_its_withdrawal_back() {
    let world = World::new();
    let mut call = spawn(world.call());
    while world.budget.balance() == 5 {
        assert!(call.poll().is_pending());
        tokio::time::advance(ms(1)).await;
    }
    assert_eq!((world.inner.count(), world.permits.available_permits()), (1, 1));
    assert_eq!(world.gauge.held(), 2, "the copy that is kept and the one that will be sent");
    drop(call);
    world.assert_at_rest(1);
    sleep(secs(60)).await;
    assert_eq!(world.inner.count(), 1, "there is no attempt later");
}

/// A2, G18
#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_it_waits_for_readiness_gives_its_withdrawal_back() {
    let world = World::new();
    let mut call = spawn(world.call());
    while world.budget.balance() == 5 {
        assert!(call.poll().is_pending());
        tokio::time::advance(ms(1)).await;
    }
    let permit = world.block().await;
    tokio::time::advance(secs(1)).await;
    assert!(call.poll().is_pending(), "the delay is over, there is no permit");
    drop(call);
    drop(permit);
    world.assert_at_rest(1);
}

/// A2, A5, G18
#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_any_number_of_polls_leaves_nothing() {
    for polls in 0.. {
        let world = World::new();
        let mut call = spawn(world.call());
        let mut done = false;
        for _ in 0..polls {
            done = call.poll().is_ready();
            tokio::time::advance(ms(1)).await;
        }
        drop(call);
        world.assert_at_rest(world.inner.count());
        if done {
            assert_eq!(world.inner.count(), 3);
            assert!(polls > 10, "{polls} polls met hardly anything");
            break;
        }
    }
}

/// A2: the bytes that are kept of a body go as well
#[tokio::test(start_paused = true)]
async fn a_dropped_http_call_frees_what_was_kept_of_its_body() {
    for polls in 0.. {
        let gauge = Gauge::new();
        let inner = tower::service_fn(|request: Request<ReplayBody<Body>>| async {
            sleep(ms(1)).await;
            http_body_util::BodyExt::collect(request.into_body()).await?;
            sleep(ms(1)).await;
            Ok::<_, BoxError>(answer(503, []))
        });
        let layer = RetryLayer::http().backoff(every(ms(2)));
        let body = Body::new(Bytes::from_owner(gauge.clone()));
        let mut call = spawn(layer.layer(inner).oneshot(Request::new(body)));
        let mut done = false;
        for _ in 0..polls {
            done = call.poll().is_ready();
            tokio::time::advance(ms(1)).await;
        }
        assert!(gauge.held() > 0 || polls > 5, "after {polls} polls");
        drop(call);
        assert_eq!(gauge.held(), 0, "after {polls} polls");
        if done {
            break;
        }
    }
}

/// The last attempt needs no copy: it is let go when that one starts.
#[tokio::test(start_paused = true)]
async fn nothing_is_kept_once_no_further_attempt_is_possible() {
    let world = World::new();
    let mut call = spawn(world.call());
    while world.inner.count() < 3 {
        assert!(call.poll().is_pending());
        tokio::time::advance(ms(1)).await;
    }
    assert_eq!(world.gauge.held(), 0, "the script drops requests as it is called");
    drop(call);
    world.assert_at_rest(3);
}

/// Polls a call with one waker and then with another, and says how often each was woken by what
/// `finish` does.
async fn woken<F: Future>(
    world: &World,
    until: impl Fn(&World) -> bool,
    finish: impl FnOnce() -> F,
) -> (usize, usize) {
    let mut call = pin!(world.call());
    let wakers = [Woken::new(), Woken::new()];
    while !until(world) {
        assert!(call.as_mut().poll(&mut Context::from_waker(noop_waker_ref())).is_pending());
        tokio::time::advance(ms(1)).await;
    }
    for woken in &wakers {
        let waker = woken.waker();
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    wakers[1].forget();
    finish().await;
    let woken = wakers.map(|woken| woken.times());
    (woken[0], woken[1])
}

/// A13
#[tokio::test(start_paused = true)]
async fn a_call_that_moved_to_another_task_wakes_that_one() {
    let in_flight = |world: &World| world.inner.count() == 1;
    let world = World::new();
    let (_, second) = woken(&world, in_flight, || sleep(secs(1))).await;
    assert_eq!(second, 1, "in flight");

    let in_delay = |world: &World| world.budget.balance() == 4;
    let world = World::new();
    let (_, second) = woken(&world, in_delay, || sleep(secs(1))).await;
    assert_eq!(second, 1, "in the delay");

    let world = World::new();
    let permit = world.block().await;
    let (_, second) = woken(&world, |_| true, || async { drop(permit) }).await;
    assert_eq!(second, 1, "before it is ready");
}

/// A15
#[tokio::test(start_paused = true)]
async fn spurious_polls_change_nothing() {
    let inner = Inner::noting(|_| (), |_| down()).taking(ms(20));
    let service = RetryLayer::plain().backoff(every(ms(30))).layer(inner.clone());
    let mut call = spawn(service.oneshot(Job(Gauge::new())));
    while inner.count() < 3 {
        for _ in 0..1_000 {
            assert!(call.poll().is_pending());
            assert!(!call.is_woken(), "it wakes itself");
        }
        tokio::time::advance(ms(1)).await;
    }
    assert!(call.await.is_err());
    assert_eq!(inner.times(), [0, 50, 100].map(ms), "no timer was set anew");
}

/// A14
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_after_its_answer_gives_nothing_back_twice() {
    let world = World::new();
    let mut call = spawn(world.call());
    while call.poll().is_pending() {
        tokio::time::advance(ms(1)).await;
    }
    assert_eq!(world.budget.balance(), 3);
    drop(call);
    world.assert_at_rest(3);
}

/// A16
#[test]
fn a_runtime_can_be_shut_down_with_calls_in_every_state() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let worlds: Vec<_> = runtime.block_on(async {
        let mut worlds = Vec::new();
        for time in 0..12 {
            let world = World::new();
            tokio::spawn(world.call());
            sleep(ms(time)).await;
            worlds.push(world);
        }
        let world = World::new();
        let permit = world.block().await;
        tokio::spawn(world.call());
        tokio::task::yield_now().await;
        drop(permit);
        worlds.push(world);
        worlds
    });
    let held: usize = worlds.iter().map(|world| world.gauge.held()).sum();
    assert!(held > 0, "some calls are still under way");
    drop(runtime);
    for world in worlds {
        assert_eq!((world.gauge.held(), world.permits.available_permits()), (0, 1));
    }
}

/// A17
#[tokio::test(start_paused = true)]
async fn nothing_outlives_the_layer_its_services_and_calls() {
    for order in 0..4 {
        let gauge = Gauge::new();
        let (held, in_inner) = (gauge.clone(), gauge.clone());
        let judge = move |result: Result<&(), &BoxError>| {
            let _ = &held;
            if result.is_ok() { Outcome::Success } else { Outcome::Failure }
        };
        let inner = Scripted::new(move |_| {
            let _ = &in_inner;
            down::<()>()
        });
        let layer = RetryLayer::plain().classify_fn(judge).backoff(every(secs(1)));
        let handle = layer.handle();
        let service = layer.layer(inner);
        let mut call = spawn(service.clone().oneshot(1));
        assert!(call.poll().is_pending());
        let mut parts: Vec<Box<dyn std::any::Any>> =
            vec![Box::new(layer), Box::new(service), Box::new(call)];
        parts.rotate_left(order % 3);
        if order == 3 {
            parts.reverse();
        }
        for part in parts {
            assert!(gauge.held() > 0);
            drop(part);
        }
        assert_eq!(gauge.held(), 0);
        assert_eq!(handle.snapshot().retries, 0, "a handle alone can still be read");
    }
}

/// D2, D16: an answer that is there beats whatever else is due
#[tokio::test(start_paused = true)]
async fn an_answer_that_came_in_a_pause_is_taken() {
    let inner = Scripted::new(|_| Ok::<_, BoxError>(())).taking(ms(10));
    let service = RetryLayer::plain().deadline(ms(5)).layer(inner);
    let mut call = spawn(service.oneshot(1));
    assert!(call.poll().is_pending());
    tokio::time::advance(secs(3_600)).await;
    assert!(matches!(call.poll(), Poll::Ready(Ok(()))));
}

/// D13 in small: timers go with their calls
#[tokio::test(start_paused = true)]
async fn dropped_delays_never_fire() {
    let inner = Scripted::new(|_| down::<()>());
    let service = RetryLayer::plain().no_budget().backoff(every(secs(1))).layer(inner.clone());
    for request in 0..1_000 {
        let call = service.clone().oneshot(request);
        assert!(tokio::time::timeout(Duration::ZERO, call).await.is_err());
    }
    sleep(secs(10)).await;
    assert_eq!(inner.count(), 1_000);
}
