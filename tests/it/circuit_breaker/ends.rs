//! Where an attempt ends that has a body, and how often that is counted.

use super::bodies::*;
use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use crate::kit::{Scripted, ScriptedBody, Step, data, ms, now, secs, sleep};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio_test::task::spawn;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_failover::attempt::RecordBody;
use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitHandle, CircuitState};
use tower_failover::classify::{AtEnd, Classify, HttpClassifier};
use tower_failover::replay::Http;
use tower_failover::retry::RetryLayer;
use tower_failover::{BoxError, Deadline, Outcome};

type Breaker = CircuitBreakerLayer<HttpClassifier, Http>;
type Answer = Response<RecordBody<ScriptedBody>>;

fn http() -> Breaker {
    CircuitBreakerLayer::http()
}

/// The answer of a call whose body is this one, and the handle of its circuit.
async fn answered(layer: Breaker, body: ScriptedBody) -> (Answer, CircuitHandle) {
    let handle = layer.handle();
    let mut body = Some(body);
    let service = layer.layer(upstream(move |_| Ok(Response::new(body.take().unwrap()))));
    (service.oneshot(Request::new(())).await.unwrap(), handle)
}

async fn body_of(body: ScriptedBody) -> (RecordBody<ScriptedBody>, CircuitHandle) {
    let (answer, handle) = answered(http(), body).await;
    (answer.into_body(), handle)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_empty_ends_with_its_head() {
    let (body, circuit) = body_of(ScriptedBody::new([]).foretelling()).await;
    assert_eq!(counts(&circuit), GOOD);
    drop(body);
    assert_eq!(counts(&circuit), GOOD);
}

#[tokio::test(start_paused = true)]
async fn the_last_frame_ends_a_body_that_says_so() {
    let steps = [data("one"), data("two")];
    let (mut body, circuit) = body_of(ScriptedBody::new(steps).foretelling()).await;
    body.frame().await.unwrap().unwrap();
    assert_eq!(counts(&circuit), NOTHING);
    body.frame().await.unwrap().unwrap();
    assert_eq!(counts(&circuit), GOOD);
    drop(body);
    assert_eq!(counts(&circuit), GOOD);
}

#[tokio::test(start_paused = true)]
async fn trailers_end_a_body_whose_reader_asks_for_no_more() {
    let steps = [data("one"), Step::Trailers("x-sum", "abc")];
    let (mut body, circuit) = body_of(ScriptedBody::new(steps)).await;
    body.frame().await.unwrap().unwrap();
    assert_eq!(counts(&circuit), NOTHING);
    body.frame().await.unwrap().unwrap();
    assert_eq!(counts(&circuit), GOOD);
    drop(body);
    assert_eq!(counts(&circuit), GOOD);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_foretells_nothing_ends_when_nothing_is_left() {
    let (mut body, circuit) = body_of(ScriptedBody::new([data("one")])).await;
    body.frame().await.unwrap().unwrap();
    assert_eq!(counts(&circuit), NOTHING);
    assert!(body.frame().await.is_none());
    assert_eq!(counts(&circuit), GOOD);
}

/// A10
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_is_a_failure_and_its_error_is_passed_on() {
    let (mut body, circuit) = body_of(ScriptedBody::new([data("one"), Step::Fail])).await;
    body.frame().await.unwrap().unwrap();
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the stream was reset");
    assert_eq!(counts(&circuit), BAD);
    drop(body);
    assert_eq!(counts(&circuit), BAD);
}

/// A9
#[tokio::test(start_paused = true)]
async fn a_body_that_is_left_half_read_or_unread_says_nothing() {
    let steps = [data("one"), data("two")];
    let (mut body, circuit) = body_of(ScriptedBody::new(steps.clone()).foretelling()).await;
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(counts(&circuit), NEUTRAL);

    let (body, circuit) = body_of(ScriptedBody::new(steps)).await;
    drop(body);
    assert_eq!(counts(&circuit), NEUTRAL);
}

/// B2
#[tokio::test(start_paused = true)]
async fn a_body_that_panics_is_a_failure() {
    let (mut body, circuit) = body_of(ScriptedBody::new([data("one"), Step::Panic])).await;
    body.frame().await.unwrap().unwrap();
    assert!(AssertUnwindSafe(body.frame()).catch_unwind().await.is_err());
    drop(body);
    assert_eq!(counts(&circuit), BAD);
}

/// A14
#[tokio::test(start_paused = true)]
async fn a_body_that_is_asked_again_after_its_end_counts_once() {
    for (last, expected) in
        [(data("last"), GOOD), (Step::Trailers("x-sum", "abc"), GOOD), (Step::Fail, BAD)]
    {
        let body = || ScriptedBody::new([last.clone()]);
        for steps in [body(), body().foretelling()] {
            let (mut body, circuit) = body_of(steps).await;
            for _ in 0..5 {
                let _ = body.frame().await;
            }
            assert_eq!(counts(&circuit), expected, "{last:?}");
            drop(body);
            assert_eq!(counts(&circuit), expected, "{last:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_recorded_body_shows_all_of_the_body_inside() {
    let steps = [data("one"), data(""), data("three")];
    let steps = steps.into_iter().chain([Step::Trailers("x-sum", "abc")]);
    let (mut body, circuit) = body_of(ScriptedBody::new(steps).foretelling().sized()).await;
    let seen = |body: &RecordBody<ScriptedBody>| (body.size_hint().exact(), body.is_end_stream());
    assert_eq!(seen(&body), (Some(8), false));
    for (text, left) in [("one", 5), ("", 5), ("three", 0)] {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), text);
        assert_eq!(seen(&body), (Some(left), false));
    }
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!((trailers.len(), &trailers["x-sum"]), (1, &"abc".parse().unwrap()));
    assert_eq!(seen(&body), (Some(0), true));
    assert!(body.frame().await.is_none());
    assert_eq!(counts(&circuit), GOOD);
}

#[tokio::test(start_paused = true)]
async fn only_good_heads_wait_for_their_bodies() {
    for (status, expected) in [(500, BAD), (404, NEUTRAL), (501, NEUTRAL)] {
        let layer = http();
        let circuit = layer.handle();
        let mut service = layer.layer(upstream(move |_| {
            let steps = ScriptedBody::new([data("long"), Step::Fail]);
            Ok(Response::builder().status(status).body(steps).unwrap())
        }));
        let answer = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
        assert_eq!(counts(&circuit), expected, "{status}");
        assert!(answer.into_body().collect().await.is_err());
        assert_eq!(counts(&circuit), expected, "{status}: the body changes nothing");
    }
}

/// The body's end and an error of it are told apart by a rule of the user's own.
#[derive(Clone)]
struct Complete;

impl<B> Classify<Response<B>, BoxError> for Complete {
    fn classify(&self, result: Result<&Response<B>, &BoxError>) -> Outcome {
        if result.is_ok() { Outcome::Success } else { Outcome::Failure }
    }

    fn at_end(&self, answer: &Response<B>) -> Option<AtEnd> {
        answer.headers().contains_key("x-panics").then(|| AtEnd::new(|_| panic!("a rule panics")))
    }
}

/// B4
#[tokio::test(start_paused = true)]
async fn a_rule_for_the_end_that_panics_is_a_failure_and_wedges_nothing() {
    let layer = http().classify(Complete);
    let circuit = layer.handle();
    let mut service = layer.layer(upstream(|call| {
        let answer = Response::builder();
        let answer = if call == 1 { answer.header("x-panics", "") } else { answer };
        Ok(answer.body(ScriptedBody::new([data("one")])).unwrap())
    }));
    let answer = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    let read = AssertUnwindSafe(answer.into_body().collect()).catch_unwind().await;
    assert!(read.is_err());
    assert_eq!(counts(&circuit), BAD);
    let answer = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    answer.into_body().collect().await.unwrap();
    assert_eq!(counts(&circuit), [1, 1, 0]);
}

const LONG: Duration = secs(3_600);

/// What is counted of a reader that leaves a body after this time.
async fn left_after(layer: Breaker, body: ScriptedBody, time: Duration) -> [u64; 3] {
    let (answer, circuit) = answered(layer, body).await;
    let read = tokio::time::timeout(time, answer.into_body().collect()).await;
    assert!(read.is_err(), "it came to its end");
    counts(&circuit)
}

#[tokio::test(start_paused = true)]
async fn a_silent_body_that_its_reader_leaves_is_a_failure_where_that_is_asked_for() {
    let silent = || ScriptedBody::new([data("one"), Step::Wait(LONG)]);
    let asked = || http().body_hang_after(secs(5));
    assert_eq!(left_after(asked(), silent(), ms(4_999)).await, NEUTRAL);
    assert_eq!(left_after(asked(), silent(), ms(5_000)).await, BAD);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_silent_for_an_hour_and_left_says_nothing() {
    let silent = ScriptedBody::new([data("one"), Step::Wait(LONG * 2)]);
    assert_eq!(left_after(http(), silent, LONG).await, NEUTRAL);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_leaves_a_flowing_stream_says_nothing() {
    let frames = (0..1_000).flat_map(|_| [Step::Wait(secs(1)), data("tick")]);
    let layer = http().body_hang_after(secs(5));
    assert_eq!(left_after(layer, ScriptedBody::new(frames), secs(100)).await, NEUTRAL);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_reads_no_further_does_not_make_a_body_silent() {
    let steps = [Step::Wait(secs(1)), data("one"), data("two")];
    let layer = http().body_hang_after(secs(5));
    let (answer, circuit) = answered(layer, ScriptedBody::new(steps)).await;
    let mut body = answer.into_body();
    body.frame().await.unwrap().unwrap();
    sleep(LONG).await;
    drop(body);
    assert_eq!(counts(&circuit), NEUTRAL);
}

/// A service that never answers, and what is counted of a call of it that is left after this time.
async fn given_up_after(layer: Breaker, request: Request<()>, time: Duration) -> [u64; 3] {
    let circuit = layer.handle();
    let service = layer.layer(upstream(|_| Ok(answer(200, []))).taking(LONG * 24));
    assert!(tokio::time::timeout(time, service.oneshot(request)).await.is_err());
    counts(&circuit)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_late_is_a_failure_and_one_that_is_given_up_early_says_nothing() {
    assert_eq!(given_up_after(http(), Request::new(()), ms(499)).await, NEUTRAL);
    assert_eq!(given_up_after(http(), Request::new(()), ms(500)).await, BAD);
    let layer = || http().hang_after(secs(7));
    assert_eq!(given_up_after(layer(), Request::new(()), ms(6_999)).await, NEUTRAL);
    assert_eq!(given_up_after(layer(), Request::new(()), secs(7)).await, BAD);
    let layer = http().no_hang_after();
    assert_eq!(given_up_after(layer, Request::new(()), LONG).await, NEUTRAL, "a long poll");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_at_its_deadline_is_a_failure_however_young_it_is() {
    let with_deadline = || {
        let deadline = Deadline::at((now() + ms(50)).into_std());
        Request::builder().extension(deadline).body(()).unwrap()
    };
    assert_eq!(given_up_after(http(), with_deadline(), ms(49)).await, NEUTRAL);
    assert_eq!(given_up_after(http(), with_deadline(), ms(50)).await, BAD);
    assert_eq!(given_up_after(http(), with_deadline(), ms(51)).await, BAD);
    let with_timeout = || Request::builder().header("grpc-timeout", "50m").body(()).unwrap();
    assert_eq!(given_up_after(http(), with_timeout(), ms(49)).await, NEUTRAL);
    assert_eq!(given_up_after(http(), with_timeout(), ms(50)).await, BAD);
}

/// D15: the deadline that a retry outside has set, where the record of its attempts travels
#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_at_the_deadline_of_its_retries_is_a_failure() {
    for (time, expected) in [(ms(49), NEUTRAL), (ms(50), BAD)] {
        let layer = http();
        let circuit = layer.handle();
        let service = ServiceBuilder::new()
            .layer(RetryLayer::http().deadline(ms(50)))
            .layer(layer)
            .layer(RetryLayer::http())
            .service(upstream_of_any_body(LONG));
        let call = service.oneshot(Request::new(Full::<Bytes>::default()));
        assert!(tokio::time::timeout(time, call).await.is_err());
        assert_eq!(counts(&circuit), expected, "{time:?}");
    }
}

/// Takes so long for an answer, whatever it is asked.
fn upstream_of_any_body<B: Send + 'static>(
    takes: Duration,
) -> Scripted<Request<B>, Response<ScriptedBody>, ()> {
    Scripted::noting(|_| (), |_| Ok(answer(200, []))).taking(takes)
}

/// Is open for a second after one failure, closes after one success, and has one trial out for so long
/// at most.
fn half_opening(trial_timeout: Duration) -> Breaker {
    let constant = tower_failover::Backoff::constant(secs(1)).jitter(tower_failover::Jitter::None);
    http()
        .trip_on(failures(1))
        .successes(nonzero(1))
        .trial_timeout(trial_timeout)
        .open_for(constant)
}

/// Such a circuit, with two seconds for a trial; it is half-open.
async fn half_open(
    inner: Inner,
) -> (impl Service<Request<()>, Response = Answer, Error = BoxError> + Clone, CircuitHandle) {
    let layer = half_opening(secs(2));
    let circuit = layer.handle();
    let failing = upstream(|_| Err("down".into()));
    layer.layer(failing).oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(circuit.state(), CircuitState::Open);
    sleep(secs(1)).await;
    (layer.layer(inner), circuit)
}

/// A12
#[tokio::test(start_paused = true)]
async fn a_trial_whose_answer_goes_on_keeps_its_place_only_for_its_time() {
    let stream = streaming([data("one"), Step::Wait(LONG)]);
    let (service, circuit) = half_open(stream).await;
    let mut held = Vec::new();
    for trial in 1..=20 {
        held.push(service.clone().oneshot(Request::new(())).await.unwrap());
        assert_eq!((circuit.state(), circuit.snapshot().trials), (CircuitState::HalfOpen, 1));
        service.clone().oneshot(Request::new(())).await.unwrap_err();
        sleep(ms(1_999)).await;
        service.clone().oneshot(Request::new(())).await.unwrap_err();
        sleep(ms(1)).await;
        assert_eq!(held.len(), trial);
    }
    assert_eq!(circuit.snapshot().opened, 1, "slow readers decide nothing");
    drop(held);
    assert_eq!(circuit.state(), CircuitState::HalfOpen, "readers that leave decide nothing");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_trials_answer_counts_also_after_its_time() {
    for (last, expected) in [(data("last"), CircuitState::Closed), (Step::Fail, CircuitState::Open)]
    {
        let (service, circuit) = half_open(streaming([Step::Wait(secs(60)), last])).await;
        let slow = service.clone().oneshot(Request::new(())).await.unwrap();
        sleep(secs(2)).await;
        let second = service.clone().oneshot(Request::new(())).await.unwrap();
        assert_eq!(circuit.snapshot().trials, 1);
        let _ = slow.into_body().collect().await;
        assert_eq!(circuit.state(), expected);
        let opened = circuit.snapshot().opened;
        // what belongs to the time before the change decides nothing more
        let _ = second.into_body().collect().await;
        assert_eq!((circuit.state(), circuit.snapshot().opened), (expected, opened));
    }
}

/// F2: an answer that began before the circuit opened ends when it is half-open, or closed again
#[tokio::test(start_paused = true)]
async fn the_end_of_an_answer_from_before_the_trip_changes_nothing() {
    for last in [data("last"), Step::Fail] {
        for closes in [false, true] {
            let layer = half_opening(LONG);
            let circuit = layer.handle();
            let old = layer.layer(streaming([Step::Wait(secs(60)), last.clone()]));
            let old = old.oneshot(Request::new(())).await.unwrap();
            let failing = upstream(|_| Err("down".into()));
            layer.layer(failing).oneshot(Request::new(())).await.unwrap_err();
            sleep(secs(1)).await;
            let fine = layer.layer(upstream(|_| Ok(answer(200, []))).taking(if closes {
                ms(1)
            } else {
                LONG
            }));
            let mut trial = spawn(fine.oneshot(Request::new(())));
            assert!(trial.poll().is_pending());
            if closes {
                trial.await.unwrap();
            }
            let expected = if closes { CircuitState::Closed } else { CircuitState::HalfOpen };
            let seen = || {
                let seen = circuit.snapshot();
                (seen.state, seen.trials, seen.opened, seen.rules)
            };
            let before = seen();
            assert_eq!(before.0, expected);
            assert_eq!(old.into_body().collect().await.is_ok(), last != Step::Fail);
            assert_eq!(seen(), before, "{last:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_reset_in_the_middle_trip_the_circuit() {
    let layer = http().trip_on(failures(20));
    let circuit = layer.handle();
    let service = layer.layer(streaming([data("one"), Step::Fail]));
    for call in 1..=20 {
        assert_eq!(circuit.state(), CircuitState::Closed, "call {call}");
        let answer = service.clone().oneshot(Request::new(())).await.unwrap();
        assert!(answer.into_body().collect().await.is_err());
    }
    assert_eq!(circuit.state(), CircuitState::Open);
}

/// A1, A2
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_before_or_between_its_polls_is_counted_once() {
    let layer = http();
    let circuit = layer.handle();
    let service = layer.layer(upstream(|_| Ok(answer(200, []))).taking(ms(10)));
    drop(service.clone().oneshot(Request::new(())));
    assert_eq!(counts(&circuit), NOTHING, "the service was not called");
    drop(service.clone().ready().await.unwrap().call(Request::new(())));
    assert_eq!(counts(&circuit), NEUTRAL, "the service was called, and its future not polled");
    let mut call = spawn(service.clone().oneshot(Request::new(())));
    assert!(call.poll().is_pending());
    drop(call);
    assert_eq!(counts(&circuit), [0, 0, 2]);
    let mut call = spawn(service.clone().ready().await.unwrap().call(Request::new(())));
    assert!(call.poll().is_pending());
    tokio::time::advance(ms(10)).await;
    assert!(call.poll().is_ready());
    assert!(call.poll().is_pending(), "nothing comes after the answer");
    drop(call);
    assert_eq!(counts(&circuit), [1, 0, 2]);
}
