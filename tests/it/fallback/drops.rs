//! A call that is dropped leaves nothing behind, wherever it stood.

use super::*;
use crate::kit::settings::Watch as _;
use std::future::poll_fn;
use tokio::sync::Semaphore;
use tower::Layer;
use tower::limit::ConcurrencyLimit;
use tower_failover::Budget;
use tower_failover::classify::HttpClassifier;
use tower_failover::fallback::{Backup, FallbackLayer};
use tower_failover::replay::Http;
use tower_failover::retry::RetryLayer;

/// A service that is pending before it answers.
fn steps<B: Send + 'static>(code: u16) -> Inner<B> {
    Scripted::doing(move |request, _| async move {
        tokio::task::yield_now().await;
        drop(request);
        Ok(status(code))
    })
}

/// The same, pending also before it is ready, with a place for each call.
pub(super) type Limited<B> = ConcurrencyLimit<Hostile<Inner<B>>>;

fn limited<B>(service: Inner<B>, places: &Arc<Semaphore>) -> Limited<B> {
    ConcurrencyLimit::with_semaphore(Hostile::new(service), places.clone())
}

/// Everything that a call could leave behind; the services take bodies of these types.
pub(super) struct Scene<A, B> {
    pub(super) first: Inner<A>,
    backup: Inner<B>,
    first_places: Arc<Semaphore>,
    backup_places: Arc<Semaphore>,
    budget: Budget,
    request: Gauge,
}

impl<A: Send + 'static, B: Send + 'static> Scene<A, B> {
    pub(super) fn new() -> Self {
        Self {
            first: steps(500),
            backup: steps(200),
            first_places: Arc::new(Semaphore::new(1)),
            backup_places: Arc::new(Semaphore::new(1)),
            budget: Budget::new(),
            request: Gauge::new(),
        }
    }

    pub(super) fn request(&self) -> Request<ScriptedBody> {
        let body = ScriptedBody::new([data("upload")]).holding(&self.request);
        Request::builder().method("PUT").uri("/").body(body).unwrap()
    }

    pub(super) fn inner(&self) -> Limited<A> {
        limited(self.first.clone(), &self.first_places)
    }

    pub(super) fn layer(&self) -> FallbackLayer<Backup<Limited<B>>, HttpClassifier, Http> {
        let backup = limited(self.backup.clone(), &self.backup_places);
        FallbackLayer::http().service(backup).budget(self.budget.clone())
    }

    /// `clones`: how many of each service the stack itself holds.
    pub(super) fn nothing_is_left(&self, clones: [usize; 2], when: &str) {
        assert_eq!(self.first_places.available_permits(), 1, "{when}");
        assert_eq!(self.backup_places.available_permits(), 1, "{when}");
        assert_eq!(self.request.held(), 0, "a request body, {when}");
        assert_eq!(self.first.held(), clones[0], "a first call, {when}");
        assert_eq!(self.backup.held(), clones[1], "a backup call, {when}");
        // only a backup that was called is paid for
        let spent = self.backup.count() as u64;
        assert_eq!(self.budget.balance(), 10 - spent, "{when}");
    }
}

/// A1
#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_first_poll_leaves_nothing_behind() {
    let scene = Scene::new();
    let mut service = scene.layer().layer(scene.inner());
    poll_fn(|cx| Service::<Request<ScriptedBody>>::poll_ready(&mut service, cx)).await.unwrap();
    drop(service.call(scene.request()));
    assert_eq!(scene.backup.count(), 0);
    scene.nothing_is_left([1, 1], "dropped unpolled");
}

/// A2
#[tokio::test(start_paused = true)]
async fn a_call_dropped_at_any_poll_leaves_nothing_behind() {
    let mut seen = [false; 3];
    for polls in 0.. {
        let scene = Scene::new();
        let service = scene.layer().layer(scene.inner());
        let mut call = tokio_test::task::spawn(ask(&service, scene.request()));
        let done = (0..polls).any(|_| call.poll().is_ready());
        let called = (scene.first.count(), scene.backup.count());
        seen[called.0 + called.1] = true;
        drop(call);
        scene.nothing_is_left([1, 1], &format!("dropped after {polls} polls"));
        if done {
            break;
        }
    }
    assert_eq!(seen, [true; 3], "before, in the first call, in the backup's");
}

/// A2, A3: with retries below
#[tokio::test(start_paused = true)]
async fn a_call_over_retries_dropped_at_any_time_leaves_nothing_behind() {
    for millis in (0..400).step_by(5) {
        let scene = Scene::new();
        let retry = RetryLayer::http().no_budget().seed(7);
        let first = limited(scene.first.clone().taking(ms(20)), &scene.first_places);
        let service = scene.layer().layer(retry.layer(first));
        let cut = tokio::time::timeout(ms(millis), ask(&service, scene.request())).await;
        drop(cut);
        scene.nothing_is_left([1, 1], &format!("dropped after {millis} ms"));
    }
}

/// A5
#[tokio::test(start_paused = true)]
async fn a_service_that_was_ready_and_is_dropped_gives_its_place_back() {
    let scene = Scene::new();
    let mut service = scene.layer().layer(scene.inner());
    poll_fn(|cx| Service::<Request<ScriptedBody>>::poll_ready(&mut service, cx)).await.unwrap();
    assert_eq!(scene.first_places.available_permits(), 0);
    assert_eq!(scene.backup_places.available_permits(), 1, "the backup waits to be needed");
    let idle = service.clone();
    drop(service);
    scene.nothing_is_left([1, 1], "ready, never called");
    drop(idle);
    scene.nothing_is_left([0, 0], "all services gone");
}

/// A14: polled on after its end
#[tokio::test(start_paused = true)]
async fn a_call_that_has_ended_does_nothing_when_it_is_polled_again() {
    let scene = Scene::new();
    let mut service = scene.layer().layer(scene.inner());
    poll_fn(|cx| Service::<Request<ScriptedBody>>::poll_ready(&mut service, cx)).await.unwrap();
    let mut call = tokio_test::task::spawn(service.call(scene.request()));
    while call.poll().is_pending() {}
    tokio_test::assert_pending!(call.poll());
    assert_eq!(scene.backup.count(), 1);
}

/// A13
#[tokio::test(start_paused = true)]
async fn a_call_that_moves_to_another_task_wakes_that_one() {
    let semaphore = Arc::new(Semaphore::new(0));
    let backup = ConcurrencyLimit::with_semaphore(steps(200), semaphore.clone());
    let service = FallbackLayer::http().service(backup).layer(always(500));
    let mut call = Box::pin(service.oneshot(get()));
    let mut first = tokio_test::task::spawn(poll_fn(|cx| call.as_mut().poll(cx).map(|_| ())));
    tokio_test::assert_pending!(first.poll());
    let old = first;
    assert!(!old.is_woken());
    drop(old);
    let mut second = tokio_test::task::spawn(poll_fn(|cx| call.as_mut().poll(cx).map(|_| ())));
    tokio_test::assert_pending!(second.poll());
    semaphore.add_permits(1);
    assert!(second.is_woken());
}

/// A17
#[tokio::test]
async fn nothing_holds_itself_alive() {
    let gauge = Gauge::new();
    let held = gauge.clone();
    let layer = FallbackLayer::plain().on(move |outcome| {
        let _held = &held;
        outcome.is_failed()
    });
    let layer = layer.service(Scripted::doing(|_: u64, _| async { Ok::<_, BoxError>(1) }));
    let handle = layer.handle();
    let service =
        layer.layer(Scripted::doing(|_: u64, _| async { Err::<i32, BoxError>("broken".into()) }));
    assert_eq!(ask(&service, 1).await.unwrap(), 1);
    drop(service);
    drop(layer);
    assert_eq!(gauge.held(), 0);
    assert_eq!(handle.snapshot().answered, 1, "the handle outlives them");
}
