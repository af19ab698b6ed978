//! Answers that are good.

use super::*;
use crate::kit::{Log, ms, timed};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::Empty;
use tower::{Layer, ServiceExt, service_fn};
use tower_failover::Outcome;
use tower_failover::classify::{EarlyTrailers, OutcomeMark};
use tower_failover::first_frame::{Event, FirstFrameLayer, Verdict};

#[tokio::test(start_paused = true)]
async fn an_answer_is_held_until_its_first_frame() {
    let steps = [Step::Wait(ms(30)), data("one"), Step::Wait(ms(50)), data("two")];
    let held = FirstFrameLayer::http().layer(service([answer(steps)]));
    let (answer, took) = timed(held.oneshot(request())).await;
    assert_eq!(took, ms(30));
    assert_eq!(answer.as_ref().unwrap().extensions().get::<OutcomeMark>(), None);
    let ((bytes, ..), took) = timed(read(answer.unwrap().into_body())).await;
    assert_eq!((&*bytes, took), (&b"onetwo"[..], ms(50)));
}

#[tokio::test(start_paused = true)]
async fn a_frame_without_bytes_is_no_frame() {
    let steps = [data(""), Step::Wait(ms(30)), data("one")];
    let held = FirstFrameLayer::http().layer(service([answer(steps)]));
    let (answer, took) = timed(held.oneshot(request())).await;
    assert_eq!(took, ms(30));
    assert_eq!(read(answer.unwrap().into_body()).await.0, b"one");
}

#[tokio::test(start_paused = true)]
async fn comments_are_skipped_and_come_out_as_they_were() {
    let said = [": hi\n\n", "retry: 3\r\n\r\n", "id: 7\n\n", "data: x\n\ndata: y", "\n\n"];
    let steps = said.iter().flat_map(|said| [Step::Wait(ms(10)), data(said)]);
    let held = FirstFrameLayer::http().sse().layer(service([answer(steps)]));
    let (answer, took) = timed(held.oneshot(request())).await;
    assert_eq!(took, ms(40), "at the first data");
    let (bytes, trailers, broken) = read(answer.unwrap().into_body()).await;
    assert_eq!(bytes, said.concat().as_bytes());
    assert!(trailers.is_none() && !broken);
}

#[tokio::test(start_paused = true)]
async fn a_judge_is_asked_about_events_and_not_about_comments() {
    let said = ":\n\nid: 1\n\nevent: start\n\ndata: a\ndata: b\n\nevent: go\nid: 5\ndata: c\n\n";
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = seen.clone();
    let layer = FirstFrameLayer::http().events(move |event: Event<'_>| {
        let id = event.id().map(std::borrow::Cow::into_owned);
        noted.lock().unwrap().push((event.event().into_owned(), event.data().into_owned(), id));
        if event.id().is_some() { Verdict::Commit } else { Verdict::Skip }
    });
    let answer = layer.layer(service([answer([data(said)])])).oneshot(request()).await.unwrap();
    assert_eq!(read(answer.into_body()).await.0, said.as_bytes());
    let event = |name: &str, data: &str, id: Option<&str>| {
        (name.to_owned(), data.to_owned(), id.map(str::to_owned))
    };
    assert_eq!(
        *seen.lock().unwrap(),
        [event("start", "", None), event("message", "a\nb", None), event("go", "c", Some("5"))]
    );
}

#[tokio::test(start_paused = true)]
async fn a_closure_over_frames_sees_each_frame_once() {
    let layer = FirstFrameLayer::http().frames(|frame| match frame {
        b"one" => Verdict::Skip,
        b"two" => Verdict::Commit,
        other => panic!("{other:?}"),
    });
    let steps = [data("one"), Step::Wait(ms(5)), data(""), data("two"), data("three")];
    let answer = layer.layer(service([answer(steps)])).oneshot(request()).await.unwrap();
    assert_eq!(read(answer.into_body()).await.0, b"onetwothree");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_failed_by_its_status_is_not_held() {
    for status in [199, 304, 404, 429, 503] {
        let mut answer = answer([Step::Hang]);
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        let held = FirstFrameLayer::http().layer(service([answer]));
        let answer = tokio::time::timeout(ms(1), held.oneshot(request())).await.expect("at once");
        assert_eq!(answer.unwrap().status(), status);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_passes() {
    for status in [200, 204] {
        let empty = service_fn(move |_: Request<()>| async move {
            let answer = Response::builder().status(status).body(Empty::<Bytes>::new());
            Ok::<_, BoxError>(answer.unwrap())
        });
        let layer = FirstFrameLayer::http().frames(|_| Verdict::Reject(Outcome::Failure));
        let answer = layer.layer(empty).oneshot(request()).await.unwrap();
        assert!(answer.body().is_end_stream());
        assert_eq!(answer.body().size_hint().exact(), Some(0));
        assert!(answer.extensions().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_without_a_record_passes() {
    for said in ["", ": ping\n\n", "data: not ended\n"] {
        let layer = FirstFrameLayer::http().events(|_| Verdict::Reject(Outcome::Failure));
        let answer = layer.layer(service([answer([data(said)])])).oneshot(request()).await.unwrap();
        assert!(answer.extensions().is_empty(), "{said:?}");
        let mut body = answer.into_body();
        assert_eq!(body.size_hint().exact(), Some(said.len() as u64));
        assert_eq!(body.is_end_stream(), said.is_empty());
        assert_eq!(read(&mut body).await.0, said.as_bytes());
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none(), "its end stays its end");
    }
}

#[tokio::test(start_paused = true)]
async fn trailers_alone_pass_and_can_be_read_before() {
    let steps = [Step::Trailers("x-sum", "7")];
    let held = FirstFrameLayer::http().layer(service([answer(steps)]));
    let answer = held.oneshot(request()).await.unwrap();
    assert_eq!(answer.extensions().get::<EarlyTrailers>().unwrap().trailers()["x-sum"], "7");
    assert!(!answer.body().is_end_stream());
    let (bytes, trailers, _) = read(answer.into_body()).await;
    assert_eq!((bytes.len(), &trailers.unwrap()["x-sum"]), (0, &HeaderValue::from_static("7")));
}

/// Sends an error event of this head through a judge that rejects it; tells whether it was seen.
async fn is_seen(name: http::HeaderName, value: &'static str) -> bool {
    let mut answer = answer([data("data: bad\n\n")]);
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    let layer = FirstFrameLayer::http().events(|_| Verdict::Reject(Outcome::Failure));
    let answer = layer.layer(service([answer])).oneshot(request()).await.unwrap();
    let seen = answer.extensions().get::<OutcomeMark>().is_some();
    assert_eq!(read(answer.into_body()).await.0, b"data: bad\n\n");
    seen
}

#[tokio::test(start_paused = true)]
async fn an_encoding_that_hides_the_records_is_told_and_the_first_frame_commits() {
    let log = Log::default();
    let _guard = log.follow();
    assert!(is_seen(CONTENT_ENCODING, "identity").await);
    assert!(!log.text().contains("hidden"));
    assert!(!is_seen(CONTENT_ENCODING, "gzip").await);
    assert!(log.text().contains("records hidden by a content-encoding"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_type_has_no_events() {
    assert!(is_seen(CONTENT_TYPE, "text/event-stream; charset=utf-8").await);
    assert!(!is_seen(CONTENT_TYPE, "application/json").await);
}

#[tokio::test(start_paused = true)]
async fn a_body_tells_its_length_and_end_at_every_position() {
    let full = service_fn(|_: Request<()>| async {
        Ok::<_, BoxError>(Response::new(http_body_util::Full::from("hello")))
    });
    let mut body =
        FirstFrameLayer::http().layer(full).oneshot(request()).await.unwrap().into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_commits_at_once_is_not_copied() {
    let frame = Bytes::from(vec![b'x'; 1_000]);
    let steps = [Step::Data(frame.clone())];
    let held = FirstFrameLayer::http().layer(service([answer(steps)]));
    let mut body = held.oneshot(request()).await.unwrap().into_body();
    let played = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(played.as_ptr(), frame.as_ptr());
}
