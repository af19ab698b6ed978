//! A call that is dropped leaves nothing behind, wherever it stood.

use super::*;
use std::future::poll_fn;
use tokio::sync::Semaphore;
use tower::Layer;
use tower::limit::ConcurrencyLimit;
use tower_failover::Budget;
use tower_failover::fallback::FallbackLayer;
use tower_failover::retry::RetryLayer;

/// Wakes itself and is pending once.
async fn pending_once() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A service that is pending before it is ready, and pending before it answers; all calls in flight
/// hold the probe.
#[derive(Clone)]
pub(super) struct Steps {
    code: u16,
    pub(super) calls: Calls,
    probe: Arc<()>,
    polled: bool,
}

fn steps(code: u16) -> Steps {
    Steps { code, calls: Calls::default(), probe: Arc::default(), polled: false }
}

impl<Req: Send + 'static> Service<Req> for Steps {
    type Response = Answer;
    type Error = BoxError;
    type Future = futures_util::future::BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if std::mem::replace(&mut self.polled, true) {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.polled = false;
        self.calls.0.fetch_add(1, SeqCst);
        let (code, probe) = (self.code, self.probe.clone());
        Box::pin(async move {
            let _held = (probe, request);
            pending_once().await;
            Ok(status(code))
        })
    }
}

/// Everything that a call could leave behind.
pub(super) struct Scene {
    pub(super) first: Steps,
    backup: Steps,
    first_places: Arc<Semaphore>,
    backup_places: Arc<Semaphore>,
    budget: Budget,
    request: Arc<()>,
}

impl Scene {
    pub(super) fn new() -> Self {
        Self {
            first: steps(500),
            backup: steps(200),
            first_places: Arc::new(Semaphore::new(1)),
            backup_places: Arc::new(Semaphore::new(1)),
            budget: Budget::new(),
            request: Arc::default(),
        }
    }

    pub(super) fn request(&self) -> Request<Held> {
        let held = Held { body: Full::from("upload"), _probe: self.request.clone() };
        Request::builder().method("PUT").uri("/").body(held).unwrap()
    }

    pub(super) fn inner(&self) -> ConcurrencyLimit<Steps> {
        ConcurrencyLimit::with_semaphore(self.first.clone(), self.first_places.clone())
    }

    pub(super) fn layer(
        &self,
    ) -> FallbackLayer<
        tower_failover::fallback::Backup<ConcurrencyLimit<Steps>>,
        tower_failover::classify::HttpClassifier,
        tower_failover::replay::Http,
    > {
        let backup =
            ConcurrencyLimit::with_semaphore(self.backup.clone(), self.backup_places.clone());
        FallbackLayer::http().service(backup).budget(self.budget.clone())
    }

    /// `clones`: how many of each service the stack itself holds.
    pub(super) fn nothing_is_left(&self, clones: [usize; 2], when: &str) {
        assert_eq!(self.first_places.available_permits(), 1, "{when}");
        assert_eq!(self.backup_places.available_permits(), 1, "{when}");
        assert_eq!(Arc::strong_count(&self.request), 1, "a request body, {when}");
        assert_eq!(Arc::strong_count(&self.first.probe), 1 + clones[0], "a first call, {when}");
        assert_eq!(Arc::strong_count(&self.backup.probe), 1 + clones[1], "a backup call, {when}");
        // only a backup that was called is paid for
        let spent = u64::from(self.backup.calls.count());
        assert_eq!(self.budget.balance(), 10 - spent, "{when}");
    }
}

/// A body that holds the probe.
pub(super) struct Held {
    body: Full<Bytes>,
    _probe: Arc<()>,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(cx)
    }
}

/// A1
#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_first_poll_leaves_nothing_behind() {
    let scene = Scene::new();
    let mut service = scene.layer().layer(scene.inner());
    poll_fn(|cx| Service::<Request<Held>>::poll_ready(&mut service, cx)).await.unwrap();
    drop(service.call(scene.request()));
    assert_eq!(scene.backup.calls.count(), 0);
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
        let called = (scene.first.calls.count(), scene.backup.calls.count());
        seen[(called.0 + called.1) as usize] = true;
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
        let late = Late { inner: scene.first.clone() };
        let first = ConcurrencyLimit::with_semaphore(late, scene.first_places.clone());
        let service = scene.layer().layer(retry.layer(first));
        let cut = tokio::time::timeout(ms(millis), ask(&service, scene.request())).await;
        drop(cut);
        scene.nothing_is_left([1, 1], &format!("dropped after {millis} ms"));
    }
}

/// Answers 20 ms later.
#[derive(Clone)]
struct Late {
    inner: Steps,
}

impl<Req: Send + 'static> Service<Req> for Late {
    type Response = Answer;
    type Error = BoxError;
    type Future = futures_util::future::BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Req>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let call = self.inner.call(request);
        Box::pin(async move {
            pass(ms(20)).await;
            call.await
        })
    }
}

/// A5
#[tokio::test(start_paused = true)]
async fn a_service_that_was_ready_and_is_dropped_gives_its_place_back() {
    let scene = Scene::new();
    let mut service = scene.layer().layer(scene.inner());
    poll_fn(|cx| Service::<Request<Held>>::poll_ready(&mut service, cx)).await.unwrap();
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
    poll_fn(|cx| Service::<Request<Held>>::poll_ready(&mut service, cx)).await.unwrap();
    let mut call = tokio_test::task::spawn(service.call(scene.request()));
    while call.poll().is_pending() {}
    tokio_test::assert_pending!(call.poll());
    assert_eq!(scene.backup.calls.count(), 1);
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
    let probe = Arc::new(());
    let held = probe.clone();
    let layer = FallbackLayer::plain().on(move |outcome| {
        let _held = &held;
        outcome.is_failed()
    });
    let layer = layer.service(strict(|_: u64, _| async { Ok::<_, BoxError>(1) }));
    let handle = layer.handle();
    let service = layer.layer(strict(|_: u64, _| async { Err::<i32, BoxError>("broken".into()) }));
    assert_eq!(ask(&service, 1).await.unwrap(), 1);
    drop(service);
    drop(layer);
    assert_eq!(Arc::strong_count(&probe), 1);
    assert_eq!(handle.snapshot().answered, 1, "the handle outlives them");
}
