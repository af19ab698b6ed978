//! The layer, the service, and what is shown of them.

use super::*;
use crate::kit::settings::nonzero;
use crate::kit::{Hostile, Log, Scripted, timed};

/// D5
#[tokio::test(start_paused = true)]
async fn limits_of_zero_are_the_shortest() {
    let layer = StallLayer::http;
    for layer in [layer().idle(ms(0)), layer().total(ms(0)), layer().min_rate(nonzero(1), ms(0))] {
        let (mut body, _) = answer(&layer, [bytes(1), bytes(1), Step::Hang]);
        assert_eq!(
            (next(&mut body).await, next(&mut body).await),
            (1, 1),
            "they are there at once"
        );
        let ((_, error), took) = timed(read(body)).await;
        assert!(error.unwrap().is::<Stalled>());
        assert!(took <= ms(2), "a step of the timer: {took:?}");
    }
}

/// D4
#[tokio::test(start_paused = true)]
async fn the_largest_limits_end_nothing() {
    for time in [Duration::MAX, secs(1_000_000_000_000_000_000), ms(u64::MAX)] {
        let layer = idle(time).total(time).min_rate(nonzero(u64::MAX), time);
        let (body, _) = answer(&layer, every::<20>(secs(86_400 * 365), 1));
        let (bytes, error) = read(body).await;
        assert!(error.is_none());
        assert_eq!(bytes, 10);
    }
}

#[tokio::test(start_paused = true)]
async fn the_smallest_limits_end_what_is_not_there() {
    let least = Duration::from_nanos(1);
    for layer in [idle(least), StallLayer::http().total(least)] {
        let (mut body, _) = answer(&layer, [bytes(1), bytes(1), Step::Hang]);
        assert_eq!((next(&mut body).await, next(&mut body).await), (1, 1));
        let ((_, error), took) = timed(read(body)).await;
        assert!(error.unwrap().is::<Stalled>());
        assert_eq!(took, ms(1), "the step of the timer");
    }
}

/// Without a limit nothing is watched, and no runtime is needed.
#[test]
fn without_a_limit_a_body_passes() {
    let (body, _) = answer(&StallLayer::http(), [bytes(1), Step::Hang]);
    let mut body = spawn(body);
    assert!(body.enter(|cx, body| body.poll_frame(cx)).is_ready());
    assert!(body.enter(|cx, body| body.poll_frame(cx)).is_pending());
}

#[tokio::test(start_paused = true)]
async fn the_service_that_was_polled_ready_is_called_and_its_errors_are_its_own() {
    let scripted = Scripted::<(), Response<ScriptedBody>>::list([
        Err("no connection".into()),
        Ok(Response::new(open([bytes(1)]).0)),
    ]);
    let mut service: Stall<_> = idle(secs(1)).layer(Hostile::new(scripted.taking(secs(10))));
    let error = service.ready().await.unwrap().call(()).await.unwrap_err();
    assert_eq!(error.to_string(), "no connection");
    let (answer, took) = timed(service.ready().await.unwrap().call(())).await;
    assert_eq!(took, secs(10), "the time before the head is not counted");
    assert_eq!(read(answer.unwrap().into_body()).await.0, 1);
}

#[tokio::test(start_paused = true)]
async fn the_head_is_left_as_it_is() {
    let inner = service_fn(|_: Request<()>| {
        let answer = Response::builder().status(206).header("etag", "7");
        ready(Ok::<_, Infallible>(answer.body(open([]).0).unwrap()))
    });
    let answer = idle(secs(1)).layer(inner).oneshot(Request::new(())).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["etag"]), (206, &"7".parse().unwrap()));
}

/// C12
#[test]
fn a_body_is_as_free_as_its_own() {
    fn shared<T: Send + Sync + Unpin + Clone + 'static>(_: &T) {}
    fn body<T: Send + Unpin + 'static>(_: &T) {}
    let layer = idle(secs(1));
    shared(&layer);
    let service = layer.layer(service_fn(|()| ready(Ok::<_, ()>(Response::new(Bytes::new())))));
    shared(&service);
    body(&answer(&layer, []).0);
}

#[tokio::test(start_paused = true)]
async fn the_errors_tell_their_limits() {
    let layer = StallLayer::http();
    for (layer, expected) in [
        (layer.clone().idle(secs(1)), "the answer stalled: nothing came for 1s"),
        (layer.clone().total(secs(2)), "the answer stalled: it was waited for 2s in all"),
        (
            layer.min_rate(nonzero(9), secs(3)),
            "the answer stalled: fewer than 9 bytes a second came for 3s",
        ),
    ] {
        let (body, _) = answer(&layer, [bytes(1), Step::Hang]);
        assert_eq!(read(body).await.1.unwrap().to_string(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_an_event() {
    let log = Log::default();
    let guard = log.follow();
    let (body, _) = answer(&idle(secs(1)), [bytes(1), Step::Hang]);
    assert!(read(body).await.1.is_some());
    drop(guard);
    let text = log.text();
    let event = "DEBUG tower_failover::stall: stalled limit=\"idle\" waited=1s";
    assert_eq!(text.matches(event).count(), 1, "{text}");
}

/// M2, M3
#[tokio::test(start_paused = true)]
async fn what_is_shown_says_something_and_nothing_of_the_body() {
    let inner = service_fn(|()| {
        let body = http_body_util::Full::<Bytes>::from("secret");
        ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let layer = idle(ms(1_234));
    let mut service = layer.layer(inner);
    let call = service.call(());
    let shown = [format!("{layer:?}"), format!("{call:?}"), format!("{:?}", call.await)];
    for shown in shown {
        assert!(shown.contains("1.234s") && !shown.contains("secret"), "{shown}");
        assert!(shown.contains("Stall"), "{shown}");
    }
}
