//! Copies of requests under odd conditions.

use super::*;
use crate::retry::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use tower::service_fn;
use tower_failover::replay::ReplayBody;

trait Source: http_body::Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static {}

impl<B> Source for B where
    B: http_body::Body<Data = Bytes, Error = Infallible> + Unpin + Send + 'static
{
}

/// An upload of so many frames, each with so many bytes.
fn upload(frames: usize, bytes: &'static [u8]) -> Request<impl Source> {
    let frames = (0..frames).map(move |_| Ok(Frame::data(Bytes::from_static(bytes))));
    let body = StreamBody::new(futures_util::stream::iter(frames));
    Request::builder().method("PUT").uri("/").body(body).unwrap()
}

/// L1, M13: sixty-four thousand frames of a byte, which would all be within the limit.
#[test]
fn a_body_of_one_byte_frames_costs_a_small_multiple_of_the_limit() {
    const LIMIT: usize = 64 * 1_024;
    let inner = service_fn(|request: Request<ReplayBody<_>>| async {
        let mut body = request.into_body();
        let mut received = 0;
        while let Some(frame) = body.frame().await {
            received += frame?.into_data().map_or(0, |data| data.len());
        }
        assert_eq!(received, LIMIT);
        Ok::<_, BoxError>(answer(200, []))
    });
    let service = RetryLayer::http().replay_limit(LIMIT).layer(inner);
    let measured = allocation_counter::measure(|| {
        service.oneshot(upload(LIMIT, b"x")).now_or_never().unwrap().unwrap();
    });
    assert!(measured.bytes_max < 4 * LIMIT as u64, "{measured:?}");
}

/// Stamping an attempt adds a header, for which a full map has no place.
#[tokio::test(start_paused = true)]
async fn a_request_with_as_many_headers_as_can_be_is_sent_again() {
    let mut full: Request<Body> = request("GET");
    let mut names = (0_u32..).map(|number| HeaderName::try_from(format!("x-{number}")).unwrap());
    let mut insert = || full.headers_mut().try_insert(names.next()?, HeaderValue::from(1)).ok();
    while insert().is_some() {}
    let inner = upstream(|call| status(if call == 1 { 503 } else { 200 }));
    let service = RetryLayer::http().backoff(every(ms(1))).layer(inner.clone());
    assert_eq!(service.oneshot(full).await.unwrap().status(), 200);
    let heads = inner.notes();
    assert_eq!(heads[0].headers(), heads[1].headers());
}

/// Reads this body in a thread of its own; returns once that has begun, and a little later.
fn read_elsewhere(mut body: ReplayBody<impl Source>, later: u32) {
    let begun = Arc::new(AtomicBool::new(false));
    let begin = begun.clone();
    std::thread::spawn(move || {
        begin.store(true, SeqCst);
        while let Some(Some(Ok(_))) = body.frame().now_or_never() {}
    });
    while !begun.load(SeqCst) {
        std::thread::yield_now();
    }
    (0..later).for_each(|_| std::hint::spin_loop());
}

/// G10, L3: the body of an attempt may still be read on another thread when the next one begins. Then
/// there is no next one, or it has its body.
#[test]
fn an_attempt_that_is_sent_has_its_body_while_the_last_one_is_still_read() {
    for round in 0..5_000 {
        let calls = Arc::<AtomicU32>::default();
        let inner = service_fn(move |request: Request<ReplayBody<_>>| {
            let mut body = request.into_body();
            let first = calls.fetch_add(1, SeqCst) == 0;
            if first {
                read_elsewhere(body, round % 64 * 4);
            } else {
                let frame = body.frame().now_or_never().flatten();
                assert!(matches!(frame, Some(Ok(_))), "it was lost before it was sent");
            }
            ready(status(if first { 503 } else { 200 }))
        });
        // the second frame is over the limit
        let layer = RetryLayer::http().replay_limit(64).backoff(every(Duration::ZERO));
        let call = layer.layer(inner).oneshot(upload(2, &[b'x'; 40]));
        call.now_or_never().unwrap().unwrap();
    }
}
