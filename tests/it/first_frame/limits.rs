//! How much is held.

use super::*;
use crate::kit::Log;
use futures_util::FutureExt;
use http_body_util::Full;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tower::{Layer, ServiceExt, service_fn};
use tower_failover::Outcome;
use tower_failover::classify::OutcomeMark;
use tower_failover::first_frame::{FirstFrameLayer, Verdict};

const MIB: usize = 1_024 * 1_024;
const LIMIT: usize = 64 * 1_024;

/// A stream of comments of this size, which counts the comments that were read of it.
fn comments(size: usize, bytes: usize) -> (ScriptedBody, Arc<AtomicUsize>) {
    let line = [&b":"[..], &vec![b'x'; size - 3], b"\n\n"].concat();
    let body = ScriptedBody::new(vec![Step::Data(line.into()); bytes / size]);
    let read = body.polls();
    (body, read)
}

#[tokio::test(start_paused = true)]
async fn ten_mebibytes_of_comments_stay_within_the_limit_and_nothing_is_lost() {
    let log = Log::default();
    let _guard = log.follow();
    for size in [8, 1_000, 16 * 1_024] {
        let (body, taken) = comments(size, 10 * MIB);
        let inner = service([Response::new(body)]);
        let answer = FirstFrameLayer::http().sse().layer(inner).oneshot(request()).await.unwrap();
        let held = taken.load(SeqCst) * size;
        assert!(held > LIMIT && held <= LIMIT + size, "{held} were read");
        assert_eq!(answer.body().size_hint().lower(), held as u64);
        assert!(answer.extensions().is_empty(), "it is good");
        let expected = read(comments(size, 10 * MIB).0).await.0;
        assert!(read(answer.into_body()).await.0 == expected);
    }
    assert!(log.text().contains("over the limit limit=65536"), "{}", log.text());
}

#[test]
fn the_memory_of_what_is_held_is_bounded_by_the_limit() {
    let (body, _) = comments(8, 10 * MIB);
    let held = FirstFrameLayer::http().sse().layer(service([Response::new(body)]));
    let mut answer = None;
    let memory = allocation_counter::measure(|| {
        answer = Some(tokio_test::block_on(held.oneshot(request())).unwrap());
    });
    let most = 3 * LIMIT as u64 + 64 * 1_024;
    assert!(memory.bytes_max < most, "{} bytes", memory.bytes_max);
}

#[test]
fn an_answer_that_is_there_at_once_allocates_nothing() {
    let inner = service_fn(|_: Request<()>| {
        let body = Full::new(Bytes::from_static(b"data: x\n\n"));
        std::future::ready(Ok::<_, BoxError>(Response::new(body)))
    });
    let layer = FirstFrameLayer::http().sse().timeout(std::time::Duration::from_secs(1));
    let held = layer.layer(inner);
    let mut body = None;
    let memory = allocation_counter::measure(|| {
        let answer = held.oneshot(request()).now_or_never().unwrap();
        body = Some(answer.unwrap().into_body());
    });
    assert_eq!(memory.count_total, 0);
    let mut body = body.unwrap();
    let memory = allocation_counter::measure(|| {
        assert_eq!(
            body.frame().now_or_never().unwrap().unwrap().unwrap().into_data().unwrap().len(),
            9
        );
        assert!(body.frame().now_or_never().unwrap().is_none());
    });
    assert_eq!(memory.count_total, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_may_be_as_long_as_the_limit_and_no_longer() {
    for (limit, rejected) in [(13, true), (12, false)] {
        let layer = FirstFrameLayer::http().limit(limit);
        let layer = layer.events(|_| Verdict::Reject(Outcome::Failure));
        // 13 bytes, which are no record yet
        let inner = service([answer([data("event: error\n"), data("\n")])]);
        let answer = layer.layer(inner).oneshot(request()).await.unwrap();
        assert_eq!(answer.extensions().get::<OutcomeMark>().is_some(), rejected, "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_limit_of_zero_the_first_frame_is_the_last_that_is_judged() {
    for (said, rejected) in [(["data: x\n\n", ""], true), (["data: x\n", "\n"], false)] {
        let layer = FirstFrameLayer::http().limit(0).events(|_| Verdict::Reject(Outcome::Failure));
        let inner = service([answer(said.map(data))]);
        let answer = layer.layer(inner).oneshot(request()).await.unwrap();
        assert_eq!(answer.extensions().get::<OutcomeMark>().is_some(), rejected);
        assert_eq!(read(answer.into_body()).await.0, b"data: x\n\n");
    }
}
