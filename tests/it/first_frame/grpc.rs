//! Calls of gRPC.

use super::*;
use http::header::CONTENT_TYPE;
use tower::{Layer, ServiceExt};
use tower_failover::classify::{Classify, EarlyTrailers, GrpcClassifier, GrpcCode, OutcomeMark};
use tower_failover::first_frame::{FirstFrameLayer, Verdict};
use tower_failover::{Hint, Outcome};

const HELLO: &[u8] = b"\0\0\0\0\x05hello";

fn status(code: &'static str) -> Step {
    Step::Trailers("grpc-status", code)
}

/// What a layer makes of an answer that takes these steps.
async fn hold(
    steps: impl IntoIterator<Item = Step>,
) -> Response<impl Body<Data = Bytes, Error = BoxError> + Unpin> {
    let mut answer = answer(steps);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let layer = FirstFrameLayer::grpc().messages(|message| match message {
        b"skip" => Verdict::Skip,
        b"bad" => Verdict::Reject(Outcome::Unsuitable),
        _ => Verdict::Commit,
    });
    layer.layer(service([answer])).oneshot(request()).await.unwrap()
}

fn classify<B>(classifier: &GrpcClassifier, answer: &Response<B>) -> Outcome {
    classifier.classify(Ok::<_, &BoxError>(answer))
}

/// N4: a status in the trailers, before any message
#[tokio::test(start_paused = true)]
async fn a_status_before_the_first_message_counts_like_one_in_the_head() {
    let classifier = GrpcClassifier::new().code(GrpcCode::Aborted, Outcome::Refused);
    for (code, outcome) in [
        ("14", Outcome::Failure),
        ("12", Outcome::Unsuitable),
        ("5", Outcome::Neutral),
        ("10", Outcome::Refused),
        ("0", Outcome::Success),
    ] {
        let answer = hold([status(code)]).await;
        assert_eq!(classify(&classifier, &answer), outcome, "{code}");
        let at_end = Classify::<_, BoxError>::at_end(&classifier, &answer);
        assert!(at_end.is_none(), "it is the last word");
        let (bytes, trailers, _) = read(answer.into_body()).await;
        assert!(bytes.is_empty());
        assert_eq!(trailers.unwrap()["grpc-status"], code, "delivered");
    }
}

/// H5
#[tokio::test(start_paused = true)]
async fn a_pushback_in_early_trailers_is_read() {
    let answer = hold([Step::Trailers("grpc-retry-pushback-ms", "-1")]).await;
    let evidence = GrpcClassifier::new().evidence(Ok::<_, &BoxError>(&answer));
    assert_eq!(evidence.hint, Some(Hint::Never));
    assert_eq!(classify(&GrpcClassifier::new(), &answer), Outcome::Failure, "as UNKNOWN");
}

/// N3, A10
#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_before_its_first_message_has_failed() {
    for (steps, broken) in [
        (vec![], false),
        (vec![data(&HELLO[..9])], false),
        (vec![data(b"\0\0\0\0\x04skip")], false),
        (vec![data(&HELLO[..9]), Step::Fail], true),
    ] {
        let answer = hold(steps).await;
        assert_eq!(classify(&GrpcClassifier::new(), &answer), Outcome::Failure);
        assert_eq!(read(answer.into_body()).await.2, broken);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_and_a_status_has_failed() {
    let empty = tower::service_fn(|_: Request<()>| async {
        Ok::<_, BoxError>(Response::new(http_body_util::Empty::<Bytes>::new()))
    });
    let answer = FirstFrameLayer::grpc().layer(empty).oneshot(request()).await.unwrap();
    assert_eq!(classify(&GrpcClassifier::new(), &answer), Outcome::Failure);
}

/// N8
#[tokio::test(start_paused = true)]
async fn after_the_first_message_the_answer_is_committed() {
    for cut in 0..=HELLO.len() {
        let steps = [data(&HELLO[..cut]), data(&HELLO[cut..]), status("14")];
        let answer = hold(steps).await;
        assert!(answer.extensions().get::<EarlyTrailers>().is_none(), "cut at {cut}");
        assert_eq!(classify(&GrpcClassifier::new(), &answer), Outcome::Success);
        let (bytes, trailers, _) = read(answer.into_body()).await;
        assert_eq!(bytes, HELLO);
        assert_eq!(trailers.unwrap()["grpc-status"], "14");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_judged_and_compressed_ones_are_not() {
    let answer = hold([data(b"\0\0\0\0\x04skip\0\0\0\0\x03bad")]).await;
    assert_eq!(answer.extensions().get(), Some(&OutcomeMark::new(Outcome::Unsuitable)));
    assert_eq!(classify(&GrpcClassifier::new(), &answer), Outcome::Unsuitable);
    let answer = hold([data(b"\x01\0\0\0\x03bad")]).await;
    assert!(answer.extensions().is_empty());
}

/// N4
#[tokio::test(start_paused = true)]
async fn an_answer_whose_head_has_the_status_is_not_held() {
    let mut answer = answer([Step::Hang]);
    answer.headers_mut().insert("grpc-status", HeaderValue::from_static("14"));
    let held = FirstFrameLayer::grpc().layer(service([answer]));
    let answer = held.oneshot(request()).await.unwrap();
    assert_eq!(classify(&GrpcClassifier::new(), &answer), Outcome::Failure);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_grpc_is_committed_by_its_first_frame() {
    let mut answer = answer([data("<"), Step::Hang]);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    let held = FirstFrameLayer::grpc().layer(service([answer]));
    assert!(held.oneshot(request()).await.unwrap().extensions().is_empty());
}
