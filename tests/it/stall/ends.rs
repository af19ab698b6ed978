//! Bodies that end, fail, panic, or are left.

use super::*;
use crate::kit::settings::nonzero;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;

fn strict() -> StallLayer {
    idle(secs(1)).total(secs(60)).min_rate(nonzero(1), secs(2))
}

#[tokio::test(start_paused = true)]
async fn data_and_trailers_pass() {
    for pause in [ms(0), ms(900)] {
        let steps = [bytes(3), Step::Wait(pause), bytes(4), Step::Wait(pause), TRAILERS];
        let (body, _) = answer(&strict(), steps);
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes().len(), 7);
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_body_is_known_to_be_at_its_end() {
    let (mut body, seen) = answer(&strict(), []);
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.frame().await.is_none());
    assert_eq!(seen.polls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_body_tells_of_itself_is_passed_on() {
    let (mut body, _) = answer(&strict(), [bytes(3), Step::Wait(ms(10)), bytes(4)]);
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(7), false));
    next(&mut body).await;
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
    next(&mut body).await;
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
}

/// A10
#[tokio::test(start_paused = true)]
async fn a_body_that_fails_by_itself_is_passed_on() {
    let steps = [bytes(3), Step::Wait(ms(10)), Step::Fail];
    let (mut body, _) = answer(&strict(), steps);
    next(&mut body).await;
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the stream was reset");
    assert!(body.frame().await.is_none());
}

/// Nothing is held against a body that has ended or failed, whatever it does when it is polled again.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_polled_after_its_end_is_left_alone() {
    for end in [Some(Step::Fail), None] {
        let steps = [bytes(1), Step::Wait(ms(10))].into_iter().chain(end.clone());
        let (body, _) = answer(&strict(), steps);
        let mut body = spawn(body);
        let ended = std::future::poll_fn(|cx| body.enter(|_, body| body.poll_frame(cx)));
        assert!(ended.await.unwrap().is_ok());
        let ended = std::future::poll_fn(|cx| body.enter(|_, body| body.poll_frame(cx)));
        assert_eq!(ended.await.is_some(), end.is_some());
        let mut body = body.into_inner();
        sleep(secs(100)).await;
        assert!(body.frame().await.is_none());
    }
}

/// One that is pending for ever after its end.
struct Endless(bool);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.0, true) { Poll::Pending } else { Poll::Ready(None) }
    }
}

#[tokio::test(start_paused = true)]
async fn no_error_follows_an_end() {
    let inner = service_fn(|()| ready(Ok::<_, Infallible>(Response::new(Endless(false)))));
    let mut body = strict().layer(inner).oneshot(()).await.unwrap().into_body();
    assert!(body.frame().await.is_none());
    assert!(tokio::time::timeout(secs(100), body.frame()).await.is_err(), "as it is without us");
}

/// A9, at each poll: the body goes with its wrapper, and nothing stays behind.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_left_is_dropped() {
    let steps: [Step; 6] = every(ms(100), 1);
    for polls in 0..8 {
        let (body, seen) = answer(&strict(), steps.clone().into_iter().chain([Step::Hang]));
        let mut body = spawn(body);
        for _ in 0..polls {
            if body.enter(|cx, body| body.poll_frame(cx)).is_pending() {
                sleep(ms(100)).await;
            }
        }
        assert!(seen.is_held());
        drop(body);
        assert!(!seen.is_held(), "after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_body_is_passed_on_and_it_can_be_polled_again() {
    let steps = [bytes(1), Step::Panic, Step::Wait(ms(10)), bytes(2), Step::Hang];
    let (mut body, seen) = answer(&strict(), steps);
    next(&mut body).await;
    assert!(AssertUnwindSafe(body.frame()).catch_unwind().await.is_err());
    assert!(seen.is_held() && !body.is_end_stream());
    assert_eq!(next(&mut body).await, 2);
    assert_eq!(limit(read(&mut body).await.1), StallLimit::Idle(secs(1)));
}

/// Is silent, and panics when it is dropped.
struct Bomb;

impl Body for Bomb {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a body panics when it is dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_when_it_is_dropped_does_not_end_cleanly() {
    let inner = service_fn(|()| ready(Ok::<_, Infallible>(Response::new(Bomb))));
    let mut body = strict().layer(inner).oneshot(()).await.unwrap().into_body();
    assert!(AssertUnwindSafe(body.frame()).catch_unwind().await.is_err());
    assert!(!body.is_end_stream(), "the error is still to be told");
    assert_eq!(limit(body.frame().await.unwrap().err()), StallLimit::Idle(secs(1)));
    assert!(body.is_end_stream() && body.frame().await.is_none());
}
