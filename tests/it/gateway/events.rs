//! Answers of server-sent events, which may fail after their 200.

use super::*;
use crate::kit::{now, secs, timed};
use crate::wire::Version;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::any;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http_body::Frame;
use http_body_util::StreamBody;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

const GOOD: &str = "data: one\n\ndata: two\n\n";
const ERROR: &str = "event: error\ndata: {\"type\": \"overloaded_error\"}\n\n";
const ALL_ON: [&str; 3] = ["--first-frame=10s", "--sse-error=error", "--stall=10s"];

/// What a server does after its head.
#[derive(Clone, Copy)]
enum Then {
    /// Says this, and is silent for ever.
    Stalls(&'static str),
    /// Says this after a time, and has ended.
    Ends(Duration, &'static str),
    /// Sends comments for ever.
    Comments,
}

/// A server that answers every request with a 200 of server-sent events.
async fn sse(then: Then) -> Server {
    let answer = any(move |_: axum::extract::Request| async move {
        let data = |text: &'static str| Frame::data(Bytes::from(text));
        let frames = match then {
            Then::Stalls(text) => {
                let said = (!text.is_empty()).then(|| data(text));
                stream::iter(said).chain(stream::pending()).boxed()
            }
            Then::Ends(after, text) => stream::once(async move {
                sleep(after).await;
                data(text)
            })
            .boxed(),
            Then::Comments => stream::unfold((), move |()| async move {
                sleep(ms(10)).await;
                Some((data(": still there\n\n"), ()))
            })
            .boxed(),
        };
        let body = Body::new(StreamBody::new(frames.map(Ok::<_, Infallible>)));
        ([("content-type", "text/event-stream")], body).into_response()
    });
    Server::axum(Router::new().fallback(answer)).await
}

/// A gateway over a server that does this, and a backup that is good.
struct Pair {
    gateway: Gateway,
    _servers: [Server; 2],
}

impl Pair {
    async fn new(first: Then, options: &[&str]) -> Self {
        let servers = [sse(first).await, sse(Then::Ends(ms(0), GOOD)).await];
        let backup = format!("--endpoint=backup=http://{},tier=1", servers[1].addr);
        let options = [options, &[&backup]].concat();
        Self { gateway: Gateway::start(&[servers[0].addr], &options), _servers: servers }
    }

    /// The backup has answered, since the first server was found to have failed.
    async fn is_answered_by_the_backup(&self) {
        assert_eq!(self.gateway.get("/").await.body(), GOOD);
        self.first_has_failed().await;
        assert_eq!(self.gateway.status().await["endpoints"][1]["counts"]["successes"], 1);
    }

    async fn first_has_failed(&self) {
        let status = self.gateway.status().await;
        let counts = &status["endpoints"][0]["counts"];
        assert_eq!((&counts["failures"], &counts["successes"]), (&1.into(), &0.into()), "{status}");
    }
}

/// Sends a GET; returns the answer at its head.
async fn open(gateway: &Gateway, version: Version) -> Response<hyper::body::Incoming> {
    let request = Request::get(format!("http://{}/", gateway.addr)).body(Body::empty()).unwrap();
    crate::wire::client(version).request(request).await.unwrap()
}

/// N9
#[tokio::test]
async fn a_200_and_then_silence_is_answered_by_another_endpoint() {
    bounded(async {
        let pair = Pair::new(Then::Stalls(""), &["--first-frame=200ms"]).await;
        let ((), took) = timed(pair.is_answered_by_the_backup()).await;
        assert!(took >= ms(200), "{took:?}");
    })
    .await;
}

#[tokio::test]
async fn comments_are_no_first_frame() {
    bounded(async {
        Pair::new(Then::Comments, &["--first-frame=200ms"]).await.is_answered_by_the_backup().await;
    })
    .await;
}

#[tokio::test]
async fn an_error_event_first_is_answered_by_another_endpoint() {
    bounded(async {
        for options in
            [&["--sse-error=error"][..], &["--sse-error=x", "--sse-error=error"], &ALL_ON]
        {
            for then in [Then::Stalls(ERROR), Then::Ends(ms(0), ERROR)] {
                Pair::new(then, options).await.is_answered_by_the_backup().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn events_of_other_types_and_later_errors_are_passed_on() {
    bounded(async {
        for (options, text) in [
            (&["--sse-error=other"][..], ERROR),
            (&["--first-frame=10s"], ERROR),
            (&ALL_ON, "data: good\n\nevent: error\ndata: later\n\n"),
        ] {
            let pair = Pair::new(Then::Ends(ms(0), text), options).await;
            assert_eq!(pair.gateway.get("/").await.body(), text, "{options:?}");
        }
    })
    .await;
}

/// A POST is not sent twice, so its caller gets what there is; the endpoint is found out all the same.
#[tokio::test]
async fn an_error_event_that_answers_a_post_is_passed_on_and_held_against_its_endpoint() {
    bounded(async {
        for options in [&["--sse-error=error"][..], &ALL_ON] {
            let pair = Pair::new(Then::Ends(ms(0), ERROR), options).await;
            let answer = ask(pair.gateway.addr, Request::post("/")).await;
            assert_eq!((answer.status(), &**answer.body()), (StatusCode::OK, ERROR));
            pair.first_has_failed().await;
        }
        let pair =
            Pair::new(Then::Ends(ms(0), ERROR), &["--sse-error=error", "--retry-post"]).await;
        assert_eq!(ask(pair.gateway.addr, Request::post("/")).await.body(), GOOD);
    })
    .await;
}

#[tokio::test]
async fn the_last_possible_attempt_may_take_longer_than_a_first_frame_has() {
    bounded(async {
        let options = ["--first-frame=50ms", "--max-retries=0", "--hedge=off"];
        let pair = Pair::new(Then::Ends(ms(400), GOOD), &options).await;
        assert_eq!(pair.gateway.get("/").await.body(), GOOD);
        let pair = Pair::new(Then::Ends(ms(400), GOOD), &["--first-frame=50ms"]).await;
        assert_eq!(ask(pair.gateway.addr, Request::post("/")).await.body(), GOOD);
    })
    .await;
}

/// The attempt timeout is for the head.
#[tokio::test]
async fn a_first_event_may_take_longer_than_the_attempt_timeout() {
    bounded(async {
        for options in [&["--sse-error=error"][..], &ALL_ON] {
            let options = [options, &["--attempt-timeout=300ms"]].concat();
            let pair = Pair::new(Then::Ends(ms(600), "data: slow\n\n"), &options).await;
            assert_eq!(pair.gateway.get("/").await.body(), "data: slow\n\n", "{options:?}");
        }
    })
    .await;
}

/// N10, A10
#[tokio::test]
async fn a_body_that_stalls_is_broken_off_and_never_ended() {
    bounded(async {
        for version in [Version::H1, Version::H2] {
            let pair = Pair::new(Then::Stalls(GOOD), &["--stall=200ms"]).await;
            let mut body = open(&pair.gateway, version).await.into_body();
            let mut read = Vec::new();
            let end = loop {
                match body.frame().await {
                    Some(Ok(frame)) => read.extend(frame.into_data().unwrap()),
                    end => break end,
                }
            };
            assert_eq!(read, GOOD.as_bytes(), "{version:?}");
            assert!(matches!(end, Some(Err(_))), "{version:?}");
            pair.first_has_failed().await;
        }
        let pair = Pair::new(Then::Stalls(GOOD), &["--stall=200ms"]).await;
        let raw = pair.gateway.raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(raw.contains("data: two") && !raw.contains("\r\n0\r\n"), "{raw}");
    })
    .await;
}

/// An answer that is still held back can be asked for elsewhere.
#[tokio::test]
async fn a_stall_before_the_first_event_is_answered_by_another_endpoint() {
    bounded(async {
        let options = ["--stall=200ms", "--sse-error=error"];
        Pair::new(Then::Stalls(": hello\n\n"), &options).await.is_answered_by_the_backup().await;
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_pauses_is_not_broken_off() {
    bounded(async {
        // more than the sockets in between hold
        const PIECES: usize = 400;
        let long = any(|| async {
            let piece = || Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; 100_000])));
            Body::new(StreamBody::new(stream::iter((0..PIECES).map(move |_| piece()))))
        });
        let (gateway, _server) = before(Router::new().fallback(long), &["--stall=200ms"]).await;
        let mut body = open(&gateway, Version::H1).await.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        sleep(secs(1)).await;
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!(first.len() + rest.len(), PIECES * 100_000);
    })
    .await;
}

/// Each event is sent when the one before has come: a gateway that holds one back hangs.
#[tokio::test]
async fn events_pass_at_once_with_everything_on_and_off() {
    bounded(async {
        for options in [&[][..], &ALL_ON, &["--sse-error=error"], &["--stall=10s"]] {
            let (feed, fed) = mpsc::unbounded_channel();
            let fed = Arc::new(Mutex::new(Some(fed)));
            let answer = any(move || {
                let mut fed: mpsc::UnboundedReceiver<Bytes> = fed.lock().unwrap().take().unwrap();
                let frames = stream::poll_fn(move |cx| fed.poll_recv(cx))
                    .map(|data| Ok::<_, Infallible>(Frame::data(data)));
                let body = Body::new(StreamBody::new(frames));
                async { ([("content-type", "text/event-stream")], body) }
            });
            let (gateway, _server) = before(Router::new().fallback(answer), options).await;
            let event = |number: usize| Bytes::from(format!("data: {number}\n\n"));
            let held = options.iter().any(|option| !option.starts_with("--stall"));
            if held {
                feed.send(event(0)).unwrap();
            }
            // where nothing is to be judged, the head comes before anything else does
            let mut body = open(&gateway, Version::H1).await.into_body();
            let mut took = Vec::new();
            for number in 0..100 {
                let sent = now();
                if number > 0 || !held {
                    feed.send(event(number)).unwrap();
                }
                let frame = body.frame().await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), event(number), "{options:?}");
                took.push(sent.elapsed());
            }
            drop(feed);
            assert!(body.frame().await.is_none());
            took.sort_unstable();
            assert!(took[50] < ms(10), "{:?} with {options:?}", took[50]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_leaves_a_held_answer_is_noticed_by_its_endpoint() {
    bounded(async {
        let (tell, mut told) = mpsc::unbounded_channel();
        let silent = any(move || {
            let held = tell.clone();
            held.send("asked").unwrap();
            let frames = stream::once(async move {
                // held as long as the body is
                let _held = held;
                pending::<Result<Frame<Bytes>, Infallible>>().await
            });
            let body = Body::new(StreamBody::new(Box::pin(frames)));
            async { ([("content-type", "text/event-stream")], body) }
        });
        let (gateway, server) = before(Router::new().fallback(silent), &ALL_ON).await;
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(told.recv().await, Some("asked"));
        drop(stream);
        // what remains is the server's own copy
        drop(server);
        assert_eq!(told.recv().await, None);
    })
    .await;
}
