//! What is read from answers and errors, and what is shown of them.

use super::*;
use std::fmt;
use std::sync::{Arc, Mutex};
use tower::load_shed::error::Overloaded;
use tower_failover::Refusal;
use tower_failover::classify::{Classify, ErrorsOnly, GrpcClassifier, HttpClassifier};

/// All that the built-in classifiers make of an error that no box holds.
fn judged<E: fmt::Debug + 'static>(error: &E) -> [Outcome; 3] {
    let result = || Err::<&Answer, _>(error);
    assert!(ErrorsOnly::new().evidence(result()).local, "{error:?}");
    [
        ErrorsOnly::new().classify(result()),
        HttpClassifier::new().classify(result()),
        GrpcClassifier::new().classify(result()),
    ]
}

/// F14
#[test]
fn refusals_without_a_box_are_known_without_being_told_of() {
    assert_eq!(judged(&Refusal::new()), [Outcome::Refused; 3]);
    assert_eq!(judged(&Overloaded::new()), [Outcome::Refused; 3]);
}

/// D1: the time is read against the clock of the one that wrote it.
#[test]
fn a_reset_that_is_a_date_is_read_against_the_date_of_the_answer() {
    // 2001-09-09 01:46:40, a second after the answer
    let date = "Sun, 09 Sep 2001 01:46:39 GMT";
    let answer = answer(429, [("date", date), ("x-ratelimit-reset", "1000000000")]);
    let classifier = HttpClassifier::new().rate_limit_reset();
    let outcome = classifier.classify(Ok::<_, &BoxError>(&answer));
    assert_eq!(outcome, Outcome::Throttled { retry_after: Some(secs(1)) });
}

/// M3
#[tokio::test(start_paused = true)]
async fn what_a_fallback_is_told_of_a_failure_does_not_show_the_answer_or_the_error() {
    let shown = Arc::new(Mutex::new(Vec::new()));
    let noted = shown.clone();
    let layer = FallbackLayer::http().value(move |failed: Failed<_>| {
        noted.lock().unwrap().push(format!("{failed:?}"));
        answer(200, [])
    });
    let answers = upstream(|_| Ok(answer(503, [("set-cookie", "session=secret")])));
    layer.layer(answers).oneshot(request("GET")).await.unwrap();
    let errors = upstream(|_| Err("a secret url".into()));
    layer.layer(errors).oneshot(request("GET")).await.unwrap();
    let shown = shown.lock().unwrap();
    assert_eq!(shown.len(), 2);
    assert!(shown.iter().all(|text| text.contains("Failure") && !text.contains("secret")));
}
