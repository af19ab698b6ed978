//! The longest silence.

use super::*;
use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use crate::kit::timed;
use tower_failover::circuit_breaker::CircuitBreakerLayer;

/// 50 frames, one each 100 ms, and then silence.
fn stalling() -> impl Iterator<Item = Step> + Clone {
    every::<100>(ms(100), 7).into_iter().chain([Step::Hang])
}

/// A10: for HTTP and for gRPC
#[tokio::test(start_paused = true)]
async fn fifty_frames_and_then_silence_are_an_error_at_the_limit_and_one_failure() {
    let server = || {
        let inner = service_fn(|_: Request<()>| {
            ready(Ok::<_, Infallible>(Response::new(open(stalling()).0)))
        });
        idle(secs(1)).layer(inner)
    };
    let (http, grpc) = (CircuitBreakerLayer::http(), CircuitBreakerLayer::grpc());
    let of_http = http.layer(server()).oneshot(Request::new(())).await.unwrap();
    let of_grpc = grpc.layer(server()).oneshot(Request::new(())).await.unwrap();
    for (answer, circuit) in [(of_http, http.handle()), (of_grpc, grpc.handle())] {
        let ((bytes, error), took) = timed(read(answer.into_body())).await;
        assert_eq!((bytes, took), (350, secs(6)));
        assert_eq!(limit(error), StallLimit::Idle(secs(1)));
        let seen = circuit.snapshot();
        assert_eq!((seen.successes, seen.failures, seen.neutral), (0, 1, 0));
    }
}

/// N9
#[tokio::test(start_paused = true)]
async fn silence_after_the_head_is_a_stall() {
    let (body, _) = answer(&idle(secs(1)), [Step::Hang]);
    let ((bytes, error), took) = timed(read(body)).await;
    assert_eq!((bytes, limit(error), took), (0, StallLimit::Idle(secs(1)), secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_stalled_is_dropped_at_once_and_gives_nothing_more() {
    let (mut body, seen) = answer(&idle(secs(1)), [bytes(1), Step::Hang]);
    assert_eq!(next(&mut body).await, 1);
    assert!(seen.is_held() && !body.is_end_stream());
    assert_eq!(limit(body.frame().await.unwrap().err()), StallLimit::Idle(secs(1)));
    assert!(!seen.is_held());
    for _ in 0..3 {
        assert!(body.frame().await.is_none());
    }
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn each_frame_begins_a_new_wait() {
    let (body, _) = answer(&idle(secs(1)), every::<200>(ms(999), 1));
    let ((bytes, error), took) = timed(read(body)).await;
    assert!(error.is_none());
    assert_eq!((bytes, took), (100, ms(99_900)));
}

/// The timer is not set anew with each frame: it goes off once a second, and is pushed on then.
#[tokio::test(start_paused = true)]
async fn a_timer_that_goes_off_early_is_pushed_on() {
    let (body, seen) = answer(&idle(secs(1)), stalling());
    let ((_, error), took) = timed(read(body)).await;
    assert_eq!((limit(error), took), (StallLimit::Idle(secs(1)), secs(6)));
    let (waits, alarms) = (2 * 50 + 1, 7);
    assert!(seen.polls() <= waits + alarms, "{} polls", seen.polls());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_pauses_is_no_stall() {
    let layer = idle(secs(1)).min_rate(nonzero(1), secs(1));
    for pause in [ms(0), ms(500)] {
        let steps = [bytes(1), Step::Wait(pause), bytes(1), bytes(1)];
        let (mut body, _) = answer(&layer, steps);
        for _ in 0..3 {
            assert_eq!(next(&mut body).await, 1);
            sleep(secs(2)).await;
        }
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_after_a_pause_of_the_reader_is_measured_from_its_poll() {
    let (mut body, _) = answer(&idle(secs(1)), [Step::Wait(ms(10)), bytes(1), Step::Hang]);
    assert_eq!(next(&mut body).await, 1);
    sleep(secs(2)).await;
    let ((_, error), took) = timed(read(body)).await;
    assert_eq!((limit(error), took), (StallLimit::Idle(secs(1)), secs(1)));
}

/// D16: always the same way
#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_when_the_limit_is_due_wins() {
    for _ in 0..10 {
        let steps = [Step::Wait(secs(1)), bytes(1), Step::Wait(secs(1)), bytes(1)];
        let (body, _) = answer(&idle(secs(1)), steps);
        let ((bytes, error), took) = timed(read(body)).await;
        assert!(error.is_none());
        assert_eq!((bytes, took), (2, secs(2)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_late_is_given_the_frame_that_is_there() {
    let steps = [Step::Wait(ms(100)), bytes(1), bytes(1)];
    let (body, _) = answer(&idle(secs(1)), steps);
    let mut body = spawn(body);
    assert!(body.enter(|cx, body| body.poll_frame(cx)).is_pending());
    sleep(secs(5)).await;
    let (bytes, error) = read(body.into_inner()).await;
    assert!(error.is_none());
    assert_eq!(bytes, 2);
}

/// The one whose waker is called is always the last that has polled.
#[tokio::test(start_paused = true)]
async fn a_body_that_moves_to_another_task_wakes_that_one() {
    let (body, _) = answer(&idle(secs(1)), [Step::Hang]);
    let mut first = spawn(body);
    assert!(first.enter(|cx, body| body.poll_frame(cx)).is_pending());
    let mut second = spawn(first.into_inner());
    assert!(second.enter(|cx, body| body.poll_frame(cx)).is_pending());
    sleep(ms(999)).await;
    assert!(!second.is_woken());
    sleep(ms(1)).await;
    assert!(second.is_woken());
    let polled = second.enter(|cx, body| body.poll_frame(cx));
    assert!(matches!(polled, Poll::Ready(Some(Err(error))) if error.is::<Stalled>()));
}
