//! What a hop takes away, adds, and leaves as it is.

use super::*;
use axum::http::StatusCode;
use axum::routing::any;

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

/// A request that ends its connection.
fn request(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n{headers}\r\n")
}

/// The names of headers, in lower case.
fn names(head: &str) -> Vec<String> {
    let lines = head.split("\r\n\r\n").next().unwrap().lines().skip(1);
    lines.filter_map(|line| Some(line.split_once(':')?.0.to_lowercase())).collect()
}

/// M5, M11
#[tokio::test]
async fn headers_of_one_connection_end_at_the_gateway_in_both_directions() {
    bounded(async {
        let mut endpoint = Plain::answering(
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: keep-alive, X-Inner\r\nx-inner: 1\r\n\
             keep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nproxy-connection: x\r\n\
             trailer: x\r\nte: x\r\nupgrade: h2c\r\nx-kept: yes\r\n\r\nfine",
        )
        .await;
        let gateway = Gateway::start(&[endpoint.server], &[]);
        let sent = "connection: X-Secret, te\r\nx-secret: 1\r\nkeep-alive: timeout=5\r\n\
            proxy-authorization: Basic eA==\r\nproxy-connection: keep-alive\r\nte: trailers\r\n\
            trailer: x\r\nx-kept: yes\r\n";
        let answer = gateway.raw(&request("GET /", sent)).await;
        let head = endpoint.head().await;
        let mut arrived = names(&head);
        arrived.sort_unstable();
        let added = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
        assert_eq!(arrived, [&["host"], &added[..], &["x-kept"]].concat(), "{head}");
        let mut came_back = names(&answer);
        came_back.sort_unstable();
        // that this connection is closed was asked for by the caller
        assert_eq!(came_back, ["connection", "content-length", "date", "x-kept"], "{answer}");
        assert!(answer.contains("connection: close") && answer.ends_with("fine"), "{answer}");
    })
    .await;
}

/// M4
#[tokio::test]
async fn what_callers_say_of_the_way_they_came_is_believed_only_if_told_so() {
    bounded(async {
        let mut endpoint = Plain::answering(FINE).await;
        let claims = "x-forwarded-for: 9.9.9.9\r\nx-forwarded-proto: https\r\n\
            x-forwarded-host: else.example\r\nforwarded: for=9.9.9.9\r\n";
        let strict = Gateway::start(&[endpoint.server], &[]);
        strict.raw(&request("GET /", claims)).await;
        let head = endpoint.head().await;
        assert!(head.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{head}");
        assert!(head.contains("\r\nx-forwarded-proto: http\r\n"), "{head}");
        assert!(head.contains("\r\nx-forwarded-host: shop.example\r\n"), "{head}");
        assert!(!head.contains("9.9.9.9"), "{head}");

        let trusting = Gateway::start(&[endpoint.server], &["--trust-forwarded"]);
        trusting.raw(&request("GET /", claims)).await;
        let head = endpoint.head().await;
        assert!(head.contains("\r\nx-forwarded-for: 9.9.9.9, 127.0.0.1\r\n"), "{head}");
        assert!(head.contains("\r\nx-forwarded-proto: https\r\n"), "{head}");
        assert!(head.contains("\r\nx-forwarded-host: else.example\r\n"), "{head}");
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_is_asked_by_its_own_name_unless_told_otherwise() {
    bounded(async {
        let mut endpoint = Plain::answering(FINE).await;
        let own = Gateway::start(&[endpoint.server], &[]);
        own.raw(&request("GET /", "")).await;
        assert!(endpoint.head().await.contains(&format!("\r\nhost: {}\r\n", endpoint.server)));
        let kept = Gateway::start(&[endpoint.server], &["--keep-host"]);
        kept.raw(&request("GET /", "")).await;
        assert!(endpoint.head().await.contains("\r\nhost: shop.example\r\n"));
        // an absolute target outranks the header
        kept.raw(&request("GET http://real.example/", "")).await;
        let head = endpoint.head().await;
        assert!(head.starts_with("get / http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\nhost: real.example\r\n"), "{head}");
    })
    .await;
}

#[tokio::test]
async fn methods_targets_and_bodies_arrive_as_they_were_sent() {
    bounded(async {
        let echo = any(|request: Request<Body>| async {
            let (head, body) = request.into_parts();
            let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec());
            format!("{} {} {}", head.method, head.uri, body.unwrap())
        });
        for options in [&[][..], &["--threads=2"]] {
            let (gateway, _server) = before(Router::new().fallback(echo.clone()), options).await;
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
                for target in ["/", "/a%20b//c/?x=1&y=%26&&z", "/?"] {
                    let line = format!("{method} {target}");
                    let sent = request(&line, "content-length: 5\r\n") + "hello";
                    let answer = gateway.raw(&sent).await;
                    assert!(answer.ends_with(&format!("\r\n\r\n{line} hello")), "{answer}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_caller_of_http_1_0_gets_an_answer_that_it_understands() {
    bounded(async {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n";
        let endpoint = Plain::answering(chunked).await;
        let gateway = Gateway::start(&[endpoint.server], &[]);
        let answer = gateway.raw("GET / HTTP/1.0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
        assert!(!answer.to_lowercase().contains("transfer-encoding"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nfine"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_length_stays_a_length_and_chunks_stay_chunks() {
    bounded(async {
        let mut endpoint = Plain::answering(FINE).await;
        let gateway = Gateway::start(&[endpoint.server], &[]);
        gateway.raw(&request("PUT /", "content-length: 0\r\n")).await;
        let head = endpoint.head().await;
        assert!(head.contains("\r\ncontent-length: 0\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");

        let sizes = any(|request: Request<Body>| async move {
            let length = request.headers().get("content-length").cloned();
            let chunked = request.headers().get("transfer-encoding").cloned();
            format!("{length:?} {chunked:?}")
        });
        let (gateway, _server) = before(Router::new().fallback(sizes), &[]).await;
        let sent = request("PUT /", "content-length: 5\r\n") + "hello";
        let answer = gateway.raw(&sent).await;
        assert!(answer.ends_with("Some(\"5\") None"), "{answer}");
        let sent = request("PUT /", "transfer-encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n";
        let answer = gateway.raw(&sent).await;
        assert!(answer.ends_with("None Some(\"chunked\")"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_a_body_keeps_its_length_and_its_connection() {
    bounded(async {
        for (line, answer, length) in [
            ("HEAD /", "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n", Some("1234")),
            ("HEAD /", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None),
            ("GET /", "HTTP/1.1 204 No Content\r\n\r\n", None),
            ("GET /", "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n", None),
        ] {
            let endpoint = Plain::answering(answer).await;
            let gateway = Gateway::start(&[endpoint.server], &[]);
            let one = format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n");
            let said = gateway.raw(&(one + &request(line, ""))).await;
            let answers: Vec<_> = said.split("HTTP/1.1 ").skip(1).collect();
            assert_eq!(answers.len(), 2, "{said}");
            for one in answers {
                assert_eq!(one[..3], answer[9..12], "{said}");
                assert!(one.ends_with("\r\n\r\n"), "there is no body: {said}");
                let told = one.lines().find_map(|line| line.strip_prefix("content-length: "));
                assert_eq!(told, length, "{said}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_tunnel_is_refused() {
    bounded(async {
        let endpoint = Plain::answering(FINE).await;
        let gateway = Gateway::start(&[endpoint.server], &[]);
        let answer = gateway.raw(&request("CONNECT shop.example:443", "")).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        assert_eq!(gateway.status().await["gateway"]["requests"], 0);
    })
    .await;
}

#[tokio::test]
async fn a_caller_of_http_2_reaches_endpoints_of_http_1() {
    bounded(async {
        let mut endpoint = Plain::answering(FINE).await;
        let gateway = Gateway::start(&[endpoint.server], &["--keep-host"]);
        let uri = format!("http://{}/x?y", gateway.addr);
        let request = Request::get(uri).header("cookie", "a=1").header("cookie", "b=2");
        let client = crate::wire::client(crate::wire::Version::H2);
        let answer = client.request(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let head = endpoint.head().await;
        assert!(head.starts_with("get /x?y http/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nhost: {}\r\n", gateway.addr)), "{head}");
        assert!(head.contains("\r\ncookie: a=1; b=2\r\n"), "{head}");
    })
    .await;
}
