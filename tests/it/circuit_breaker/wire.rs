//! Over real connections: axum routes, and streams that break.

use super::bodies::{counts, failures, settled};
use crate::kit::ms;
use crate::kit::settings::Watch as _;
use crate::wire::{Server, Version, bounded, client};
use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};
use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitOpen, CircuitState};
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::retry::RetryLayer;

async fn status(addr: SocketAddr, path: &str) -> u16 {
    let request = Request::get(format!("http://{addr}{path}")).body(Full::<Bytes>::default());
    let answer = client(Version::H1).request(request.unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    answer.into_body().collect().await.unwrap();
    status
}

async fn broken() -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

/// What axum needs outside of a layer with errors.
macro_rules! answering {
    ($breaker:expr) => {
        ServiceBuilder::new()
            .layer(FallbackLayer::http().only_errors().respond(|failed: Failed<Response<_>>| {
                let error =
                    failed.result.map(|_: Response<tower_failover::attempt::RecordBody<Body>>| ());
                assert!(error.unwrap_err().is::<CircuitOpen>());
                Response::builder().status(503).body(Body::from("later")).unwrap()
            }))
            .layer($breaker)
    };
}

fn router() -> Router {
    Router::new()
        .route("/a", any(broken))
        .route("/b", any(broken))
        .route("/c", any(|| async { "c" }))
}

#[tokio::test]
async fn the_routes_of_a_router_share_the_circuit_of_their_layer() {
    bounded(async {
        let breaker = CircuitBreakerLayer::http().trip_on(failures(4));
        let circuit = breaker.handle();
        let server = Server::axum(router().layer(answering!(breaker))).await;
        for path in ["/a", "/b", "/c", "/a"] {
            assert!([500, 200].contains(&status(server.addr, path).await));
        }
        assert_eq!(settled(&circuit, 4).await, [1, 3, 0]);
        assert_eq!(circuit.state(), CircuitState::Closed);
        assert_eq!(status(server.addr, "/b").await, 500);
        assert_eq!(circuit.state(), CircuitState::Open);
        for path in ["/a", "/b", "/c"] {
            assert_eq!(status(server.addr, path).await, 503, "{path}");
        }
        assert_eq!(circuit.snapshot().refused, 3);
    })
    .await;
}

#[tokio::test]
async fn the_routes_of_a_router_have_a_circuit_each_by_key() {
    bounded(async {
        let breaker = CircuitBreakerLayer::http()
            .trip_on(failures(2))
            .keyed(|request: &Request<Body>| request.uri().path().to_owned());
        let circuits = breaker.handle();
        let server = Server::axum(router().layer(answering!(breaker))).await;
        for (path, expected) in
            [("/a", 500), ("/a", 500), ("/a", 503), ("/b", 500), ("/c", 200), ("/c", 200)]
        {
            assert_eq!(status(server.addr, path).await, expected, "{path}");
        }
        assert_eq!((circuits.len(), circuits.tripped()), (3, vec!["/a".to_owned()]));
        let fine = circuits.circuit(&"/c".to_owned()).unwrap();
        assert_eq!(settled(&fine, 2).await, [2, 0, 0]);
    })
    .await;
}

/// Lets this time pass.
async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, pending::<()>()).await;
}

/// A route whose answers break off after their first frame.
fn breaking() -> Router {
    let frames = |at| async move {
        match at {
            0 => Some((Ok(Frame::data(Bytes::from("one"))), 1)),
            _ => {
                // what was written gets there before the reset does
                pass(ms(5)).await;
                Some((Err(BoxError::from("cut")), 2))
            }
        }
    };
    let handler = move || async move {
        Body::new(StreamBody::new(Box::pin(futures_util::stream::unfold(0, frames))))
    };
    Router::new().route("/", any(handler))
}

async fn get<S, B>(service: &mut S, addr: SocketAddr) -> Result<Response<B>, BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = BoxError>,
{
    let request = Request::get(format!("http://{addr}/")).body(Full::default()).unwrap();
    service.ready().await?.call(request).await
}

/// A10, N1
#[tokio::test]
async fn streams_that_are_reset_trip_the_circuit_of_their_client() {
    bounded(async {
        for version in [Version::H1, Version::H2] {
            let server = Server::axum(breaking()).await;
            let layer = CircuitBreakerLayer::http().trip_on(failures(20));
            let circuit = layer.handle();
            let mut service = layer.layer(client(version));
            for call in 1..=20 {
                assert_eq!(circuit.state(), CircuitState::Closed, "{version:?} {call}");
                let answer = get(&mut service, server.addr).await.unwrap();
                assert!(answer.into_body().collect().await.is_err());
            }
            assert_eq!(counts(&circuit), [0, 20, 0], "{version:?}");
            assert!(get(&mut service, server.addr).await.unwrap_err().is::<CircuitOpen>());
        }
    })
    .await;
}

/// A9
#[tokio::test]
async fn streams_that_are_left_count_as_nothing_and_those_that_end_as_good() {
    bounded(async {
        for version in [Version::H1, Version::H2] {
            let whole = Router::new().route("/", any(|| async { vec![7_u8; 1 << 20] }));
            let server = Server::axum(whole).await;
            let layer = CircuitBreakerLayer::http().trip_on(failures(1));
            let circuit = layer.handle();
            let mut service = layer.layer(client(version));
            for _ in 0..20 {
                let mut body = get(&mut service, server.addr).await.unwrap().into_body();
                body.frame().await.unwrap().unwrap();
            }
            assert_eq!(counts(&circuit), [0, 0, 20], "{version:?}");
            let body = get(&mut service, server.addr).await.unwrap().into_body();
            assert_eq!(body.collect().await.unwrap().to_bytes().len(), 1 << 20);
            assert_eq!(counts(&circuit), [1, 0, 20], "{version:?}");
        }
    })
    .await;
}

/// N3: a NO_ERROR cuts the body in a way that only gRPC can tell from an end
#[tokio::test]
async fn a_reset_without_an_error_is_a_failure_for_grpc_and_an_end_for_http() {
    bounded(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let cutting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        let mut body = respond.send_response(Response::new(()), false).unwrap();
                        body.send_data(Bytes::from_static(b"hello"), false).unwrap();
                        tokio::spawn(async move {
                            pass(ms(30)).await;
                            body.send_reset(h2::Reason::NO_ERROR);
                        });
                    }
                });
            }
        });
        let (grpc, http) = (CircuitBreakerLayer::grpc(), CircuitBreakerLayer::http());
        let handles = [grpc.handle(), http.handle()];
        for (answer, circuit, expected) in [
            (get(&mut grpc.layer(client(Version::H2)), addr).await, &handles[0], [0, 1, 0]),
            (get(&mut http.layer(client(Version::H2)), addr).await, &handles[1], [1, 0, 0]),
        ] {
            let body = answer.unwrap().into_body();
            assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
            assert_eq!(counts(circuit), expected);
        }
        cutting.abort();
    })
    .await;
}

/// F8, N1
#[tokio::test]
async fn connections_that_are_refused_trip_the_circuit() {
    bounded(async {
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let layer = CircuitBreakerLayer::http().trip_on(failures(3));
        let circuit = layer.handle();
        let mut service = layer.layer(client(Version::H1));
        for _ in 0..3 {
            assert!(!get(&mut service, dead).await.unwrap_err().is::<CircuitOpen>());
        }
        assert!(get(&mut service, dead).await.unwrap_err().is::<CircuitOpen>());
        assert_eq!(counts(&circuit), [0, 3, 0]);
    })
    .await;
}

/// 20 answers with good heads whose trailers say UNAVAILABLE, over HTTP/2.
#[tokio::test]
async fn trailers_that_say_unavailable_trip_the_circuit_of_their_client() {
    bounded(async {
        let handler = || async {
            let trailers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("14"),
            )]);
            let frames = [Frame::data(Bytes::from("one")), Frame::trailers(trailers)];
            let frames = frames.into_iter().map(Ok::<_, Infallible>);
            Body::new(StreamBody::new(futures_util::stream::iter(frames)))
        };
        let server = Server::axum(Router::new().route("/", any(handler))).await;
        let layer = CircuitBreakerLayer::grpc().trip_on(failures(20));
        let circuit = layer.handle();
        let mut service = layer.layer(client(Version::H2));
        for call in 1..=20 {
            assert_eq!(circuit.state(), CircuitState::Closed, "{call}");
            let answer = get(&mut service, server.addr).await.unwrap();
            assert_eq!(answer.status(), 200);
            let collected = answer.into_body().collect().await.unwrap();
            assert_eq!(collected.trailers().unwrap()["grpc-status"], "14");
        }
        assert_eq!(counts(&circuit), [0, 20, 0]);
        assert!(get(&mut service, server.addr).await.unwrap_err().is::<CircuitOpen>());
    })
    .await;
}

/// C12: breakers by every kind of sharing, in a task of their own and over the wire
#[tokio::test]
async fn a_task_calls_a_client_through_a_fallback_retries_a_circuit_and_a_timeout() {
    bounded(async {
        let server = Server::axum(Router::new()).await;
        let get = || {
            let uri = format!("http://{}/nowhere", server.addr);
            Request::get(uri).body(Full::<Bytes>::default()).unwrap()
        };
        macro_rules! spawned {
            ($breaker:expr) => {{
                let mut service = ServiceBuilder::new()
                    .layer(FallbackLayer::http().only_errors().respond(
                        |_: Failed<Response<tower_failover::attempt::RecordBody<Incoming>>>| {
                            Response::new(Full::<Bytes>::default())
                        },
                    ))
                    .layer(RetryLayer::http())
                    .layer($breaker)
                    .timeout(Duration::from_secs(5))
                    .service(client(Version::H1));
                let request = get();
                let task = async move { service.ready().await.unwrap().call(request).await };
                let Ok(answer) = tokio::spawn(task).await.unwrap();
                assert_eq!(answer.status(), 404);
            }};
        }
        spawned!(CircuitBreakerLayer::http());
        spawned!(CircuitBreakerLayer::http().gated());
        spawned!(CircuitBreakerLayer::http().per_service());
        spawned!(
            CircuitBreakerLayer::http().keyed(|request: &Request<_>| request.uri().path().len())
        );
    })
    .await;
}
