//! Something panics: the service, a closure of the layer's user, the caller, who listens.

use super::*;
use crate::kit::settings::Watch as _;
use crate::kit::{Gate, Log};
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use tower_failover::trip::Consecutive;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Where {
    Nowhere,
    Call,
    FirstPoll,
    SecondPoll,
    /// When the future is dropped that has given its answer.
    Drop,
}

/// Panics where its request says, or once when it is polled ready.
#[derive(Clone, Default)]
struct Touchy {
    unready: Arc<AtomicBool>,
}

struct Touched(Where, u32);

impl Future for Touched {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.1 += 1;
        assert!(self.0 != Where::FirstPoll, "in its first poll");
        if self.0 == Where::SecondPoll {
            assert!(self.1 < 2, "in its second poll");
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        assert!(self.0 != Where::Drop, "in its drop");
    }
}

impl Service<Where> for Touchy {
    type Response = ();
    type Error = BoxError;
    type Future = Touched;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        assert!(!self.unready.swap(false, Relaxed), "when it is polled ready");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, place: Where) -> Touched {
        assert!(place != Where::Call, "in its call");
        Touched(place, 0)
    }
}

async fn panics<F: Future>(future: F) {
    assert!(AssertUnwindSafe(future).catch_unwind().await.is_err(), "it was told to panic");
}

fn layer() -> CircuitBreakerLayer<ErrorsOnly, Plain> {
    let layer = CircuitBreakerLayer::plain().open_for(always(OPEN));
    layer.trip_on(Consecutive::count::<2>())
}

const PLACES: [Where; 3] = [Where::Call, Where::FirstPoll, Where::SecondPoll];

/// B1, B2, B10
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_service_is_one_failure_and_the_next_call_works() {
    for place in PLACES {
        let layer = layer();
        let (circuit, service) = (layer.handle(), layer.layer(Touchy::default()));
        for round in 1..=100 {
            panics(service.clone().oneshot(place)).await;
            assert_eq!(counts(&circuit), [round - 1, round, 0], "{place:?}");
            service.clone().oneshot(Where::Nowhere).await.unwrap();
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
        for _ in 0..2 {
            panics(service.clone().oneshot(place)).await;
        }
        assert_eq!(circuit.state(), CircuitState::Open);
    }
}

/// B1, B2
#[tokio::test(start_paused = true)]
async fn a_trial_that_panics_gives_its_permit_back_and_reopens_it() {
    for place in PLACES {
        let layer = layer();
        let (circuit, service) = (layer.handle(), layer.layer(Touchy::default()));
        for _ in 0..2 {
            panics(service.clone().oneshot(place)).await;
        }
        for opened in 1..=3 {
            let seen = circuit.snapshot();
            assert_eq!((seen.state, seen.trials, seen.opened), (CircuitState::Open, 0, opened));
            sleep(OPEN).await;
            panics(service.clone().oneshot(place)).await;
        }
        sleep(OPEN).await;
        for _ in 0..2 {
            service.clone().oneshot(Where::Nowhere).await.unwrap();
        }
        assert_eq!(circuit.state(), CircuitState::Closed, "{place:?}");
    }
}

/// B3: there is no attempt that could have failed
#[tokio::test(start_paused = true)]
async fn a_panic_about_readiness_reaches_its_caller_and_the_next_call_works() {
    let (layer, inner) = (layer(), Touchy::default());
    let mut service = layer.layer(inner.clone());
    for _ in 0..5 {
        inner.unready.store(true, Relaxed);
        panics(service.ready()).await;
        assert_eq!(counts(&layer.handle())[1..], [0, 0]);
        service.ready().await.unwrap().call(Where::Nowhere).await.unwrap();
    }
}

/// B9
#[tokio::test(start_paused = true)]
async fn a_future_that_panics_when_it_is_dropped_has_answered_once() {
    let layer = layer();
    let (circuit, service) = (layer.handle(), layer.layer(Touchy::default()));
    for round in 1..=10 {
        panics(service.clone().oneshot(Where::Drop)).await;
        assert_eq!(counts(&circuit), [round, 0, 0]);
    }
    service.clone().oneshot(Where::Nowhere).await.unwrap();
}

/// B9: the answer is dropped by whoever has it
#[tokio::test(start_paused = true)]
async fn an_answer_that_panics_when_it_is_dropped_was_a_good_one() {
    struct Sharp;
    impl Drop for Sharp {
        fn drop(&mut self) {
            panic!("in the drop of an answer");
        }
    }

    let layer = layer();
    let service = layer.layer(tower::service_fn(|()| async { Ok::<_, BoxError>(Sharp) }));
    for _ in 0..3 {
        panics(async { drop(service.clone().oneshot(()).await) }).await;
    }
    assert_eq!(counts(&layer.handle()), [3, 0, 0]);
}

/// B9
#[tokio::test(start_paused = true)]
async fn a_dropped_call_whose_future_panics_gives_its_permit_back() {
    let layer = layer();
    let (circuit, service) = (layer.handle(), layer.layer(Touchy::default()));
    for _ in 0..2 {
        panics(service.clone().oneshot(Where::Call)).await;
    }
    sleep(OPEN).await;
    let mut trial = service.clone();
    let trial = trial.ready().await.unwrap().call(Where::Drop);
    assert_eq!(circuit.snapshot().trials, 1);
    panics(async { drop(trial) }).await;
    assert_eq!(circuit.snapshot().trials, 0);
    for _ in 0..2 {
        service.clone().oneshot(Where::Nowhere).await.unwrap();
    }
    assert_eq!(circuit.state(), CircuitState::Closed);
}

/// A classifier that panics when it is asked for what is armed.
#[derive(Clone, Default)]
struct TouchyJudge {
    judgement: Arc<AtomicBool>,
    evidence: Arc<AtomicBool>,
}

impl Classify<Outcome, BoxError> for TouchyJudge {
    fn classify(&self, result: Result<&Outcome, &BoxError>) -> Outcome {
        assert!(!self.judgement.swap(false, Relaxed), "in its judgement");
        AsTold.classify(result)
    }

    fn evidence(&self, result: Result<&Outcome, &BoxError>) -> Evidence {
        assert!(!self.evidence.swap(false, Relaxed), "in its evidence");
        AsTold.evidence(result)
    }
}

/// B4, B10: also of a trial
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_classifier_is_one_failure_and_wedges_nothing() {
    let judge = TouchyJudge::default();
    for (armed, ask) in [(&judge.judgement, GOOD), (&judge.judgement, BAD), (&judge.evidence, BAD)]
    {
        let layer = breaker().classify(judge.clone());
        let (circuit, service) = (layer.handle(), layer.layer(server()));
        for failed in 1..=2 {
            armed.store(true, Relaxed);
            panics(service.clone().oneshot(ask)).await;
            assert_eq!(counts(&circuit), [0, failed, 0]);
        }
        assert_eq!(circuit.state(), CircuitState::Open);
        sleep(OPEN).await;
        armed.store(true, Relaxed);
        panics(service.clone().oneshot(ask)).await;
        assert_eq!((circuit.state(), circuit.snapshot().trials), (CircuitState::Open, 0));
        sleep(OPEN).await;
        for _ in 0..100 {
            service.clone().oneshot(GOOD).await.unwrap();
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
    }
}

/// B3, B4
#[tokio::test(start_paused = true)]
async fn a_panic_about_an_error_of_readiness_wedges_nothing() {
    let judge = TouchyJudge::default();
    judge.judgement.store(true, Relaxed);
    let at_first = |poll| if poll == 1 { Gate::Broken("unready") } else { Gate::Open };
    let unready = server().gates(at_first);
    let layer = breaker().classify(judge);
    let mut service = layer.layer(unready);
    panics(async { service.ready().await.unwrap().call(GOOD).await }).await;
    assert_eq!(counts(&layer.handle()), [0, 1, 0]);
    service.ready().await.unwrap().call(GOOD).await.unwrap();
    assert_eq!(counts(&layer.handle()), [1, 1, 0]);
}

/// B6
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_key_function_wedges_nothing() {
    let layer = breaker().keyed(|ask: &Ask| {
        assert_ne!(ask.answer, Outcome::Unsuitable, "no key for that");
        ask.answer
    });
    let service = layer.layer(server());
    let odd = Ask { answer: Outcome::Unsuitable, takes: Duration::ZERO };
    for _ in 0..10 {
        panics(service.clone().oneshot(odd)).await;
        service.clone().oneshot(GOOD).await.unwrap();
    }
    assert_eq!(layer.handle().len(), 1);
}

/// The service is not to blame for what its caller does while it holds a call.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_caller_counts_as_nothing() {
    let scene = Scene::new(breaker());
    for polled in [false, true] {
        for _ in 0..5 {
            panics(async {
                let call = if polled { scene.begin(HANGING) } else { scene.call(HANGING) };
                let _call = call;
                panic!("in the caller's own code");
            })
            .await;
        }
    }
    // and beside a call that is under way
    let beside = async {
        sleep(ms(1)).await;
        panic!("in the caller's own code");
    };
    panics(async { tokio::join!(scene.ask(HANGING), beside) }).await;
    assert_eq!((scene.state(), scene.counts()), (CircuitState::Closed, [0, 0, 11]));

    scene.trip().await;
    sleep(OPEN).await;
    panics(async {
        let _probe = scene.begin(HANGING);
        panic!("in the caller's own code");
    })
    .await;
    assert_eq!((scene.state(), scene.seen().trials), (CircuitState::HalfOpen, 0));
}

/// B5: the state is what it should be before anybody is told
#[tokio::test(start_paused = true)]
async fn a_panic_of_a_subscriber_reaches_the_caller_alone() {
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    struct Sore(Mutex<u32>);
    impl<S: tracing::Subscriber> Layer<S> for Sore {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            if event.metadata().target().ends_with("circuit_breaker") {
                *self.0.lock().unwrap() += 1;
                panic!("while it is told of a change");
            }
        }
    }

    let scene = Scene::new(breaker());
    let _log = Log::default().follow();
    let sore = tracing_subscriber::registry().with(Sore(Mutex::new(0)));
    let guard = tracing::subscriber::set_default(sore);
    scene.ask_each(1, BAD).await;
    panics(scene.ask(BAD)).await;
    assert_eq!((scene.state(), scene.counts()), (CircuitState::Open, [0, 2, 0]));
    for _ in 0..100 {
        scene.refusal().await;
    }
    drop(guard);
    sleep(OPEN).await;
    scene.ask_each(2, GOOD).await;
    assert_eq!(scene.state(), CircuitState::Closed);
}

/// B5
#[tokio::test(start_paused = true)]
async fn a_waiter_is_woken_although_a_subscriber_panics() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use tracing_subscriber::layer::{Context, Layer as Subscribing, SubscriberExt};
    struct Sore;
    impl<S: tracing::Subscriber> Subscribing<S> for Sore {
        fn on_event(&self, _: &tracing::Event<'_>, _: Context<'_, S>) {
            panic!("sore");
        }
    }
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    let layer = breaker();
    let circuit = layer.handle();
    circuit.force_open();
    let mut service = spawn(layer.gated().layer(server()));
    let mut changes = spawn(async move {
        let mut changes = circuit.changes();
        (circuit.clone(), changes.next().await)
    });
    assert!(changes.poll().is_pending());
    assert!(service.enter(|cx, mut service| service.poll_ready(cx)).is_pending());
    let circuit = service.handle();
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(Sore));
    assert!(catch_unwind(AssertUnwindSafe(|| circuit.reset())).is_err());
    drop(guard);
    assert!(changes.is_woken(), "a subscriber to the changes");
    assert!(service.is_woken(), "a service that waits");
}
