//! gRPC calls, whose last word is in the head or in the trailers.

use super::bodies::*;
use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use crate::kit::{ScriptedBody, Step, ms, secs};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tower::timeout::TimeoutLayer;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitState};
use tower_failover::classify::{GrpcClassifier, GrpcCode};
use tower_failover::replay::Http;
use tower_failover::trip::FailureRatio;
use tower_failover::{BoxError, Outcome};

type Breaker = CircuitBreakerLayer<GrpcClassifier, Http>;

fn grpc() -> Breaker {
    CircuitBreakerLayer::grpc()
}

const MESSAGE: Step = Step::Data(Bytes::from_static(b"message"));

fn status(code: &'static str) -> Step {
    Step::Trailers("grpc-status", code)
}

/// What is counted of a call whose body is this one and is read to its end.
async fn counted(layer: Breaker, body: impl Fn() -> ScriptedBody + Send + 'static) -> [u64; 3] {
    let circuit = layer.handle();
    let service = layer.layer(upstream(move |_| Ok(Response::new(body()))));
    let answer = service.oneshot(Request::new(())).await.unwrap();
    answer.into_body().collect().await.unwrap();
    counts(&circuit)
}

/// N4
#[tokio::test(start_paused = true)]
async fn the_status_in_the_trailers_judges_the_call() {
    for (code, expected) in [
        ("0", GOOD),
        ("14", BAD),
        ("13", BAD),
        ("2", BAD),
        ("15", BAD),
        ("4", BAD),
        ("junk", BAD),
        ("5", NEUTRAL),
        ("8", NEUTRAL),
        ("12", NEUTRAL),
    ] {
        for foretells in [false, true] {
            let body = move || {
                let steps = ScriptedBody::new([MESSAGE, status(code)]);
                if foretells { steps.foretelling() } else { steps }
            };
            assert_eq!(counted(grpc(), body).await, expected, "{code}");
        }
    }
}

/// N3: so ends a body that a reset with NO_ERROR has cut
#[tokio::test(start_paused = true)]
async fn a_body_that_ends_without_trailers_is_a_failure() {
    assert_eq!(counted(grpc(), || ScriptedBody::new([MESSAGE])).await, BAD);
    assert_eq!(counted(grpc(), || ScriptedBody::new([MESSAGE]).foretelling()).await, BAD);
    assert_eq!(counted(grpc(), || ScriptedBody::new([])).await, BAD);
    assert_eq!(counted(grpc(), || ScriptedBody::new([]).foretelling()).await, BAD);
    let other = || ScriptedBody::new([MESSAGE, Step::Trailers("x-sum", "abc")]);
    assert_eq!(counted(grpc(), other).await, BAD, "trailers without a status");
}

/// N4
#[tokio::test(start_paused = true)]
async fn an_answer_of_trailers_alone_is_judged_by_its_head() {
    for (code, expected) in [("0", GOOD), ("14", BAD), ("5", NEUTRAL), ("8", NEUTRAL)] {
        for foretells in [false, true] {
            let layer = grpc();
            let circuit = layer.handle();
            let service = layer.layer(upstream(move |_| {
                let body = ScriptedBody::new([]);
                let body = if foretells { body.foretelling() } else { body };
                Ok(Response::builder().header("grpc-status", code).body(body).unwrap())
            }));
            let answer = service.oneshot(Request::new(())).await.unwrap();
            answer.into_body().collect().await.unwrap();
            assert_eq!(counts(&circuit), expected, "{code}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_judgement_of_the_users_own_on_a_code_holds_at_the_end_too() {
    let own = || {
        let classifier = GrpcClassifier::new()
            .code(GrpcCode::Aborted, Outcome::Failure)
            .code(GrpcCode::Unavailable, Outcome::Neutral)
            .code(GrpcCode::Unknown, Outcome::Success);
        grpc().classify(classifier)
    };
    assert_eq!(counted(own(), || ScriptedBody::new([MESSAGE, status("10")])).await, BAD);
    assert_eq!(counted(own(), || ScriptedBody::new([MESSAGE, status("14")])).await, NEUTRAL);
    assert_eq!(counted(own(), || ScriptedBody::new([MESSAGE])).await, GOOD, "as UNKNOWN");
}

#[tokio::test(start_paused = true)]
async fn good_heads_with_bad_trailers_trip_the_circuit() {
    let layer = grpc().trip_on(failures(20));
    let circuit = layer.handle();
    let service = layer.layer(streaming([MESSAGE, status("14")]));
    for call in 1..=20 {
        assert_eq!(circuit.state(), CircuitState::Closed, "call {call}");
        let answer = service.clone().oneshot(Request::new(())).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    assert_eq!(circuit.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn exhausted_resources_count_only_if_that_is_asked_for() {
    let layer = || grpc().trip_on(failures(1));
    let body = || ScriptedBody::new([MESSAGE, status("8")]);
    assert_eq!(counted(layer(), body).await, NEUTRAL);
    assert_eq!(counted(layer().count_throttled(), body).await, BAD);
}

/// How a call of the crowd ends; what it counts as.
const ENDINGS: [(&str, [u64; 3]); 10] = [
    ("good", GOOD),
    ("trailers 14", BAD),
    ("error", BAD),
    ("reset", BAD),
    ("left half-read", NEUTRAL),
    ("left unread", NEUTRAL),
    ("timeout", BAD),
    ("left early", NEUTRAL),
    ("panic", BAD),
    ("404", NEUTRAL),
];

fn ending(kind: usize) -> Result<Response<ScriptedBody>, BoxError> {
    let steps = |steps: &[Step]| Ok(Response::new(ScriptedBody::new(steps.iter().cloned())));
    match ENDINGS[kind].0 {
        "good" | "timeout" | "left early" => steps(&[MESSAGE, status("0")]),
        "trailers 14" => steps(&[MESSAGE, status("14")]),
        "error" => Err("down".into()),
        "reset" => steps(&[MESSAGE, Step::Fail]),
        "left half-read" | "left unread" => steps(&[MESSAGE, MESSAGE, status("0")]),
        "panic" => steps(&[MESSAGE, Step::Panic]),
        _ => Ok(answer(404, [])),
    }
}

/// 500 calls at once that end in all ways; each of them is counted once, as what it is.
async fn a_crowd_is_counted() {
    const CALLS: usize = 500;
    let all = FailureRatio::percent::<100>().last(nonzero(1_000)).min_calls(1_000);
    let layer = grpc().trip_on(failures(1_000)).trip_on(all).hang_after(secs(3_600));
    let circuit = layer.handle();
    let mut crowd = JoinSet::new();
    for call in 0..CALLS {
        let kind = call % ENDINGS.len();
        let name = ENDINGS[kind].0;
        let hangs = matches!(name, "timeout" | "left early");
        let takes = if hangs { secs(3_600) } else { ms(1) };
        let inner = upstream(move |_| ending(kind)).taking(takes);
        let patience = if hangs { ms(1) } else { secs(3_600) };
        let service = ServiceBuilder::new().layer(TimeoutLayer::new(patience)).layer(layer.clone());
        let service = service.service(inner);
        let request = Request::builder();
        let request =
            if name == "timeout" { request.header("grpc-timeout", "1n") } else { request };
        let request = request.body(()).unwrap();
        crowd.spawn(async move {
            let Ok(answer) = service.oneshot(request).await else { return };
            let mut body = answer.into_body();
            match name {
                "left unread" => {}
                "left half-read" => drop(body.frame().await),
                _ => drop(body.collect().await),
            }
        });
    }
    let mut panics = 0;
    while let Some(ended) = crowd.join_next().await {
        panics += usize::from(ended.is_err());
    }
    let each = CALLS / ENDINGS.len();
    assert_eq!(panics, each);
    let expected = [0, 1, 2]
        .map(|count| each as u64 * ENDINGS.iter().map(|(_, counts)| counts[count]).sum::<u64>());
    assert_eq!(counts(&circuit), expected);
    assert_eq!(expected.iter().sum::<u64>(), CALLS as u64);
    let snapshot = circuit.snapshot();
    assert_eq!((snapshot.state, snapshot.trials, snapshot.refused), (CircuitState::Closed, 0, 0));
    let [good, bad, _] = expected;
    let windows: Vec<_> = snapshot.rules.iter().map(|rule| (rule.calls, rule.hits)).collect();
    assert_eq!(windows, [(bad, bad), (good + bad, bad)]);
}

/// A9, A10, B2, M9
#[tokio::test(start_paused = true)]
async fn five_hundred_calls_that_end_in_all_ways_are_counted_once_each() {
    a_crowd_is_counted().await;
}

/// The same on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_hundred_calls_on_several_threads_are_counted_once_each() {
    a_crowd_is_counted().await;
}
