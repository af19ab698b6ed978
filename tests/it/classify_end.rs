//! How the end of an answer is judged, and what tells a service that can't keep up.

use http::{HeaderMap, Response};
use std::sync::Arc;
use tower_failover::classify::{
    AtEnd, Classify, ErrorsOnly, Evidence, GrpcClassifier, HttpClassifier,
};
use tower_failover::{BoxError, Outcome, Refusal};

type Answer = Response<()>;

fn answer<const N: usize>(status: u16, headers: [(&str, &str); N]) -> Answer {
    let answer = Response::builder().status(status);
    let answer =
        headers.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value));
    answer.body(()).unwrap()
}

fn at_end(classifier: &impl Classify<Answer, BoxError>, answer: &Answer) -> Option<AtEnd> {
    classifier.at_end(answer)
}

fn evidence(classifier: &impl Classify<Answer, BoxError>, answer: &Answer) -> Evidence {
    classifier.evidence(Ok(answer))
}

#[test]
fn only_a_grpc_answer_without_a_status_is_judged_again_at_its_end() {
    let head = |headers: &[(&'static str, &'static str)]| {
        headers.iter().fold(answer(200, []), |mut answer, (name, value)| {
            answer.headers_mut().insert(*name, value.parse().unwrap());
            answer
        })
    };
    let grpc = GrpcClassifier::new();
    assert!(at_end(&grpc, &head(&[])).is_some());
    assert!(at_end(&grpc, &head(&[("grpc-status", "0")])).is_none(), "trailers alone");
    assert!(at_end(&grpc, &head(&[("grpc-status", "14")])).is_none());
    assert!(at_end(&grpc, &answer(502, [])).is_none(), "the HTTP status is the last word");
    assert!(at_end(&HttpClassifier::new(), &head(&[])).is_none());
    assert!(at_end(&ErrorsOnly::new(), &head(&[])).is_none());
    let closure = |_: Result<&Answer, &BoxError>| Outcome::Success;
    assert!(at_end(&closure, &head(&[])).is_none());
}

#[test]
fn a_shared_classifier_judges_ends_too() {
    let shared: Arc<dyn Classify<Answer, BoxError>> = Arc::new(GrpcClassifier::new());
    assert!(shared.at_end(&answer(200, [])).is_some());
    assert!(at_end(&Arc::new(GrpcClassifier::new()), &answer(200, [])).is_some());
}

#[test]
fn a_rule_for_the_end_can_be_copied_and_shows_nothing() {
    let rule = AtEnd::new(|trailers: Option<&HeaderMap>| match trailers {
        Some(_) => Outcome::Success,
        None => Outcome::Failure,
    });
    assert_eq!(format!("{:?}", rule.clone()), "AtEnd");
}

#[test]
fn a_503_says_that_the_service_is_overloaded_and_nothing_else_does() {
    let http = HttpClassifier::new();
    assert!(evidence(&http, &answer(503, [])).overloaded);
    assert!(evidence(&http, &answer(503, [("retry-after", "2")])).overloaded);
    for status in [200, 408, 425, 429, 500, 501, 502, 504, 505] {
        assert!(!evidence(&http, &answer(status, [("retry-after", "2")])).overloaded, "{status}");
    }
    let grpc = GrpcClassifier::new();
    for code in ["8", "14"] {
        assert!(!evidence(&grpc, &answer(200, [("grpc-status", code)])).overloaded, "{code}");
    }
    let refused: BoxError = Refusal::new().into();
    let refused = Classify::<Answer, _>::evidence(&http, Err(&refused));
    assert!(!refused.overloaded && refused.local);
}
