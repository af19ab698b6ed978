//! A closure of the layer's user panics.

use super::drops::Scene;
use super::*;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tower::Layer;
use tower_failover::classify::{Classify, Evidence, HttpClassifier};
use tower_failover::fallback::{Failed, FallbackLayer};

/// Panics the n-th time it is asked; clones count together.
#[derive(Clone)]
struct Fuse {
    asked: Arc<AtomicUsize>,
    nth: usize,
}

impl Fuse {
    fn new(nth: usize) -> Self {
        Self { asked: Arc::default(), nth }
    }

    fn check(&self) {
        assert_ne!(self.asked.fetch_add(1, SeqCst) + 1, self.nth, "as it was told");
    }
}

/// A classifier that may panic in its judgement, and in what it tells beside.
#[derive(Clone)]
struct Touchy {
    judgement: Fuse,
    evidence: Fuse,
}

impl<B> Classify<Response<B>, BoxError> for Touchy {
    fn classify(&self, result: Result<&Response<B>, &BoxError>) -> Outcome {
        self.judgement.check();
        HttpClassifier::new().classify(result)
    }

    fn evidence(&self, result: Result<&Response<B>, &BoxError>) -> Evidence {
        self.evidence.check();
        HttpClassifier::new().evidence(result)
    }
}

const NEVER: usize = 0;

fn touchy(judgement: usize, evidence: usize) -> Touchy {
    Touchy { judgement: Fuse::new(judgement), evidence: Fuse::new(evidence) }
}

/// One call that panics and a good one after it, of one service; returns the status of that one.
async fn panics_once<S, Req, B>(mut service: S, request: impl Fn() -> Req) -> u16
where
    S: Service<Req, Response = Response<B>>,
    S::Error: fmt::Debug,
{
    let bad = AssertUnwindSafe(async { service.ready().await?.call(request()).await });
    assert!(bad.catch_unwind().await.is_err(), "it was told to panic");
    service.ready().await.unwrap().call(request()).await.unwrap().status().as_u16()
}

/// B4
#[tokio::test(start_paused = true)]
async fn after_a_panic_of_the_predicate_the_next_call_works() {
    // an answer is asked about on the short way, and once more on the long one
    for nth in [1, 2] {
        let fused = |fuse: Fuse| {
            move |outcome: Outcome| {
                fuse.check();
                outcome.is_failed()
            }
        };
        let scene = Scene::new();
        let layer = scene.layer().on(fused(Fuse::new(nth)));
        assert_eq!(panics_once(layer.layer(scene.inner()), || scene.request()).await, 200);
        drop(layer);
        scene.nothing_is_left([0, 0], "with a backup");

        let scene = Scene::<_, ()>::new();
        let layer = FallbackLayer::http().on(fused(Fuse::new(nth))).value(made);
        assert_eq!(panics_once(layer.layer(scene.inner()), || scene.request()).await, 299);
        scene.nothing_is_left([0, 0], "with a value");
    }
}

/// B4
#[tokio::test(start_paused = true)]
async fn after_a_panic_of_the_classifier_the_next_call_works() {
    for (judgement, evidence) in [(1, NEVER), (2, NEVER), (NEVER, 1)] {
        let scene = Scene::new();
        let layer = scene.layer().classify(touchy(judgement, evidence));
        assert_eq!(panics_once(layer.layer(scene.inner()), || scene.request()).await, 200);
        drop(layer);
        scene.nothing_is_left([0, 0], "with a backup");
    }
    for judgement in [1, 2] {
        let scene = Scene::<_, ()>::new();
        let layer = FallbackLayer::http().classify(touchy(judgement, NEVER)).value(made);
        assert_eq!(panics_once(layer.layer(scene.inner()), || scene.request()).await, 299);
        scene.nothing_is_left([0, 0], "with a value");
    }
}

/// B4: also where the service was not ready, and its error is what is judged
#[tokio::test(start_paused = true)]
async fn after_a_panic_about_an_error_of_readiness_the_next_call_works() {
    let layer = FallbackLayer::http().classify(touchy(1, NEVER)).value(made);
    let service = layer.layer(super::poll_ready::unready_at_first("no route"));
    assert_eq!(panics_once(service, get).await, 200);
}

/// B4
#[tokio::test(start_paused = true)]
async fn after_a_panic_of_what_keeps_a_part_of_the_request_the_next_call_works() {
    let keeping = |fuse: Fuse| {
        move |request: &Request<ScriptedBody>| {
            fuse.check();
            request.uri().clone()
        }
    };
    let scene = Scene::<_, ()>::new();
    let value = FallbackLayer::http()
        .value_keeping(keeping(Fuse::new(1)), |_: Failed<Answer, http::Uri>| status(299));
    assert_eq!(panics_once(value.layer(scene.inner()), || scene.request()).await, 299);
    assert_eq!(scene.first.count(), 1, "the first request was not sent");
    scene.nothing_is_left([0, 0], "with a value");

    let scene = Scene::<_, ()>::new();
    let respond = FallbackLayer::http()
        .respond_keeping(keeping(Fuse::new(1)), |_: Failed<Answer, http::Uri>| status(299));
    assert_eq!(panics_once(respond.layer(scene.inner()), || scene.request()).await, 299);
    scene.nothing_is_left([0, 0], "with a response");
}

fn made(_: Failed<Answer>) -> Answer {
    status(299)
}
