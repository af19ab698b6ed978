//! tonic: a generated stub over a real channel, against a real server.

use super::*;
use crate::kit::settings::Watch as _;
use tokio::sync::Mutex;
use tonic::body::Body;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Error as TransportError};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::filter::FilterLayer;
use tower::{BoxError, ServiceBuilder};
use tower_failover::classify::GrpcClassifier;
use tower_failover::fallback::FallbackLayer;
use tower_failover::retry::RetryLayer;
use tower_failover::{Backoff, Jitter};

const METHODS: [&str; 1] = ["/grpc.health.v1.Health/*"];

/// A health service that answers UNAVAILABLE for so many times, and then SERVING.
async fn health(listener: TcpListener, requests: Arc<AtomicU32>, unavailable: u32) {
    let (_reporter, health) = tonic_health::server::health_reporter();
    let health = InterceptedService::new(health, move |request| {
        if requests.fetch_add(1, SeqCst) < unavailable {
            return Err(Status::unavailable("not yet"));
        }
        Ok(request)
    });
    let server = tonic::transport::Server::builder().add_service(health);
    server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
}

async fn unavailable_at_first(times: u32) -> Server {
    Server::start(move |listener, requests| health(listener, requests, times)).await
}

fn channel(addr: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{addr}")).unwrap().connect_lazy()
}

fn classifier() -> GrpcClassifier {
    GrpcClassifier::new().with_error_type::<TransportError>()
}

/// The whole check: what the server says of itself.
macro_rules! check {
    ($service:expr) => {
        HealthClient::new($service)
            .check(HealthCheckRequest::default())
            .await
            .map(|answer| answer.into_inner().status())
            .map_err(|status| status.code())
    };
}

#[tokio::test]
async fn a_stub_repeats_an_idempotent_method_after_unavailable() {
    bounded(async {
        let server = unavailable_at_first(1).await;
        let service = ServiceBuilder::new()
            .layer(RetryLayer::grpc().idempotent(METHODS).body(Body::new))
            .service(channel(server.addr));
        assert_eq!(check!(service), Ok(ServingStatus::Serving));
        assert_eq!(server.requests(), 2);
    })
    .await;
}

/// G1
#[tokio::test]
async fn a_stub_sends_other_methods_once() {
    bounded(async {
        let server = unavailable_at_first(1).await;
        let service = ServiceBuilder::new()
            .layer(RetryLayer::grpc().classify(classifier()).body(Body::new))
            .service(channel(server.addr));
        assert_eq!(check!(service), Err(Code::Unavailable));
        assert_eq!(server.requests(), 1);
    })
    .await;
}

/// G11, G15
#[tokio::test]
async fn a_stub_gets_the_third_answer_after_two_retries() {
    bounded(async {
        let server = unavailable_at_first(3).await;
        let service = ServiceBuilder::new()
            .layer(RetryLayer::grpc().idempotent(METHODS).body(Body::new))
            .service(channel(server.addr));
        assert_eq!(check!(service), Err(Code::Unavailable));
        assert_eq!(server.requests(), 3);
    })
    .await;
}

/// G1: nobody took the call, whatever its method is
#[tokio::test]
async fn a_call_to_a_port_that_comes_alive_is_repeated() {
    bounded(async {
        for methods in [&METHODS[..], &[]] {
            let addr = dead_port().await;
            let layer = RetryLayer::grpc()
                .classify(classifier())
                .idempotent(methods)
                .max_retries(500)
                .no_budget()
                .backoff(Backoff::constant(Duration::from_millis(10)).jitter(Jitter::None));
            let handle = layer.handle();
            let service = ServiceBuilder::new().layer(layer.body(Body::new)).service(channel(addr));
            let started = Mutex::new(None);
            let (checked, ()) = tokio::join!(async { check!(service) }, async {
                while handle.snapshot().retries == 0 {
                    pass(Duration::from_millis(1)).await;
                }
                let serve = |listener, requests| health(listener, requests, 0);
                *started.lock().await = Some(Server::start_at(addr, serve).await);
            });
            assert_eq!(checked, Ok(ServingStatus::Serving), "{methods:?}");
            assert_eq!(started.lock().await.as_ref().unwrap().requests(), 1);
        }
    })
    .await;
}

/// N1: tonic keeps the reason of a reset
#[tokio::test]
async fn a_refused_stream_is_repeated_and_no_other_reset() {
    bounded(async {
        for (reason, code, expected) in [
            (h2::Reason::REFUSED_STREAM, Code::Unavailable, 3),
            (h2::Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted, 1),
            (h2::Reason::INTERNAL_ERROR, Code::Internal, 1),
            (h2::Reason::CANCEL, Code::Cancelled, 1),
        ] {
            let server = Server::per_connection(move |stream, requests| async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    requests.fetch_add(1, SeqCst);
                    respond.send_reset(reason);
                }
            })
            .await;
            let service = ServiceBuilder::new()
                .layer(RetryLayer::grpc().classify(classifier()).body(Body::new))
                .service(channel(server.addr));
            assert_eq!(check!(service), Err(code), "{reason:?}");
            assert_eq!(server.requests(), expected, "{reason:?}");
        }
    })
    .await;
}

fn refuse(_: ::http::Request<Body>) -> Result<::http::Request<Body>, BoxError> {
    Err("the circuit is open".into())
}

#[tokio::test]
async fn a_stub_is_told_unavailable_where_tonic_would_say_unknown() {
    bounded(async {
        let server = unavailable_at_first(0).await;
        let bare =
            ServiceBuilder::new().layer(FilterLayer::new(refuse)).service(channel(server.addr));
        assert_eq!(check!(bare), Err(Code::Unknown));

        let covered = ServiceBuilder::new()
            .layer(FallbackLayer::grpc().unavailable())
            .layer(RetryLayer::grpc().body(Body::new))
            .layer(FilterLayer::new(refuse))
            .service(channel(server.addr));
        assert_eq!(check!(covered), Err(Code::Unavailable));

        let open = ServiceBuilder::new()
            .layer(FallbackLayer::grpc().unavailable())
            .layer(RetryLayer::grpc().body(Body::new))
            .service(channel(server.addr));
        assert_eq!(check!(open), Ok(ServingStatus::Serving), "good answers pass");
        assert_eq!(server.requests(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_stub_is_answered_by_the_backup_of_a_dead_channel() {
    bounded(async {
        let server = unavailable_at_first(0).await;
        let layer = FallbackLayer::grpc().body(Body::new).service(channel(server.addr));
        let handle = layer.handle();
        let service = ServiceBuilder::new().layer(layer).service(channel(dead_port().await));
        assert_eq!(check!(service), Ok(ServingStatus::Serving));
        assert_eq!((handle.snapshot().refused, handle.snapshot().answered), (1, 1));
    })
    .await;
}

/// D15: what the server is told of the time and the attempt
#[tokio::test]
async fn a_repeated_call_tells_the_time_that_is_left_and_its_number() {
    bounded(async {
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let noted = seen.clone();
        let server = Server::start(move |listener, _| async move {
            let (_reporter, health) = tonic_health::server::health_reporter();
            let health = InterceptedService::new(health, move |request: tonic::Request<()>| {
                let header = |name| {
                    let value = request.metadata().get(name);
                    value.map(|value| value.to_str().unwrap().to_owned())
                };
                let mut seen = noted.lock().unwrap();
                seen.push((header("grpc-timeout"), header("grpc-previous-rpc-attempts")));
                if seen.len() < 3 { Err(Status::unavailable("not yet")) } else { Ok(request) }
            });
            let server = tonic::transport::Server::builder().add_service(health);
            server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        })
        .await;
        let service = ServiceBuilder::new()
            .layer(RetryLayer::grpc().idempotent(METHODS).body(Body::new))
            .service(channel(server.addr));
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        request.set_timeout(Duration::from_secs(10));
        HealthClient::new(service).check(request).await.unwrap();
        let seen = seen.lock().unwrap();
        let attempts: Vec<_> = seen.iter().map(|(_, previous)| previous.as_deref()).collect();
        assert_eq!(attempts, [None, Some("1"), Some("2")]);
        let timeouts: Vec<u64> = seen
            .iter()
            .map(|(timeout, _)| {
                let timeout = timeout.as_deref().unwrap();
                timeout.strip_suffix('u').expect("in microseconds").parse().unwrap()
            })
            .collect();
        assert!(timeouts.is_sorted_by(|before, after| before > after), "{timeouts:?}");
        assert_eq!(timeouts[0], 10_000_000);
    })
    .await;
}
