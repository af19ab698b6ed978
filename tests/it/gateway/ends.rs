//! What callers are told when no endpoint has an answer, and how the gateway ends.

use super::*;
use axum::http::StatusCode;
use axum::routing::{any, get};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use tokio::sync::Notify;

/// Addresses where nobody listens.
fn dead() -> [SocketAddr; 2] {
    ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]
}

/// J3, J4
#[tokio::test]
async fn with_nobody_left_it_is_a_503_that_says_when_to_come_again() {
    bounded(async {
        let gateway = Gateway::start(&dead(), &[]);
        for call in 1..=30 {
            let request = if call % 2 == 0 { Request::get("/") } else { Request::post("/") };
            let answer = ask(gateway.addr, request).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            let after: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&after), "{after}");
            assert_eq!(answer.body(), "no endpoint is available\n");
        }
        let status = gateway.status().await;
        assert_eq!(status["gateway"]["answered_here"]["unavailable"], 30, "{status}");
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_504() {
    bounded(async {
        let never = Router::new().fallback(any(pending::<()>));
        for options in [
            ["--attempt-timeout=100ms", "--max-retries=0"],
            ["--attempt-timeout=5s", "--total-timeout=100ms"],
        ] {
            let (gateway, _server) = before(never.clone(), &options).await;
            assert_eq!(gateway.get("/").await.status(), StatusCode::GATEWAY_TIMEOUT);
            assert_eq!(gateway.status().await["gateway"]["answered_here"]["timed_out"], 1);
        }
    })
    .await;
}

/// N1
#[tokio::test]
async fn a_connection_that_breaks_is_a_502_where_nothing_else_helps() {
    bounded(async {
        let broken = Plain::answering("nonsense\r\n\r\n").await;
        let gateway = Gateway::start(&[broken.server], &["--max-retries=0"]);
        let answer = ask(gateway.addr, Request::post("/")).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(gateway.status().await["gateway"]["answered_here"]["bad_gateway"], 1);
    })
    .await;
}

#[tokio::test]
async fn what_an_endpoint_says_itself_is_passed_on() {
    bounded(async {
        let busy = any(|| async { (StatusCode::IM_A_TEAPOT, [("x-own", "1")], "short and stout") });
        let (gateway, _server) = before(Router::new().fallback(busy), &[]).await;
        let answer = gateway.get("/").await;
        assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(
            (answer.body().as_str(), &answer.headers()["x-own"]),
            ("short and stout", &"1".parse().unwrap())
        );
    })
    .await;
}

/// The answer to a request with this body, of a server that fails once and then sends back what it is
/// sent.
async fn second_time(options: &[&str], method: &str) -> Response<String> {
    let calls = Arc::<AtomicU32>::default();
    let once = any(move |body: String| {
        let first = calls.fetch_add(1, SeqCst) == 0;
        let status = if first { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        std::future::ready((status, body))
    });
    let (gateway, _server) = before(Router::new().fallback(once), options).await;
    let line = format!("{method} / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let answer = gateway.raw(&(line + "content-length: 6\r\n\r\na body")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Response::builder().status(&head[9..12]).body(body.to_owned()).unwrap()
}

#[tokio::test]
async fn only_what_may_be_repeated_is_sent_again() {
    bounded(async {
        for (options, method, status) in [
            (&[][..], "PUT", 200),
            (&[], "POST", 500),
            (&["--retry-post"], "POST", 200),
            (&["--replay-limit=5"], "PUT", 500),
            (&["--replay-limit=6"], "PUT", 200),
            (&["--max-retries=0"], "PUT", 500),
        ] {
            let answer = second_time(options, method).await;
            assert_eq!(answer.status().as_u16(), status, "{method} with {options:?}");
            assert_eq!(answer.body(), "a body");
        }
    })
    .await;
}

#[tokio::test]
async fn sigterm_lets_what_runs_come_to_its_end() {
    bounded(async {
        let (begun, go_on) = (Arc::<Notify>::default(), Arc::<Notify>::default());
        let (tell, wait) = (begun.clone(), go_on.clone());
        let slow = get(move || {
            let (tell, wait) = (tell.clone(), wait.clone());
            async move {
                tell.notify_one();
                wait.notified().await;
                "to the end"
            }
        });
        let router = Router::new().route("/slow", slow).route("/", get(|| async { "fine" }));
        let (mut gateway, _server) = before(router, &["--attempt-timeout=10s"]).await;
        // an idle connection that is kept alive holds nothing up
        let mut idle = TcpStream::connect(gateway.addr).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(idle.read(&mut [0; 512]).await.unwrap() > 0);

        let addr = gateway.addr;
        let running = tokio::spawn(ask(addr, Request::get("/slow")));
        begun.notified().await;
        gateway.signal("TERM");
        while TcpStream::connect(addr).await.is_ok() {
            sleep(ms(5)).await;
        }
        assert!(gateway.process.try_wait().unwrap().is_none(), "a request still runs");
        go_on.notify_one();
        let answer = running.await.unwrap();
        assert_eq!((answer.status(), answer.body().as_str()), (StatusCode::OK, "to the end"));
        assert_eq!(gateway.ended().await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_request_that_does_not_end_holds_the_gateway_for_the_drain_timeout_only() {
    bounded(async {
        let options = ["--drain-timeout=100ms", "--attempt-timeout=10s"];
        let begun = Arc::<Notify>::default();
        let tell = begun.clone();
        let never = any(move || {
            tell.notify_one();
            pending::<()>()
        });
        let (mut gateway, _server) = before(Router::new().fallback(never), &options).await;
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        begun.notified().await;
        gateway.signal("TERM");
        assert_eq!(gateway.ended().await, Some(1), "it says that it gave something up");
    })
    .await;
}
