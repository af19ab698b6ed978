//! A tonic client over retries and a circuit, against a real server.

use super::bodies::{counts, failures, settled};
use crate::kit::settings::Watch as _;
use crate::wire::bounded;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::HealthReporter;
use tower::ServiceBuilder;
use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitState};
use tower_failover::classify::GrpcClassifier;
use tower_failover::fallback::FallbackLayer;
use tower_failover::replay::Http;
use tower_failover::retry::RetryLayer;
use tower_failover::{Backoff, Jitter};

const METHODS: [&str; 1] = ["/grpc.health.v1.Health/*"];

/// A health service that answers UNAVAILABLE for so many times.
struct Health {
    addr: SocketAddr,
    requests: Arc<AtomicU32>,
    reporter: HealthReporter,
}

impl Health {
    /// Serves as long as the runtime that this is called in.
    async fn serve(unavailable: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, requests) = (listener.local_addr().unwrap(), Arc::<AtomicU32>::default());
        let (reporter, health) = tonic_health::server::health_reporter();
        let counted = requests.clone();
        let health = InterceptedService::new(health, move |request| {
            if counted.fetch_add(1, SeqCst) < unavailable {
                return Err(Status::unavailable("not yet"));
            }
            Ok(request)
        });
        let server = tonic::transport::Server::builder().add_service(health);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self { addr, requests, reporter }
    }

    fn requests(&self) -> u32 {
        self.requests.load(SeqCst)
    }
}

fn channel(addr: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{addr}")).unwrap().connect_lazy()
}

fn retry() -> RetryLayer<GrpcClassifier, Http> {
    RetryLayer::grpc()
        .idempotent(METHODS)
        .no_budget()
        .backoff(Backoff::constant(Duration::ZERO).jitter(Jitter::None))
}

#[tokio::test]
async fn a_stub_over_retries_and_a_circuit_counts_each_unary_call() {
    bounded(async {
        let server = Health::serve(2).await;
        let breaker = CircuitBreakerLayer::grpc().trip_on(failures(3));
        let circuit = breaker.handle();
        let service = ServiceBuilder::new()
            .layer(retry().body(Body::new))
            .layer(breaker)
            .service(channel(server.addr));
        let mut stub = HealthClient::new(service);
        for _ in 0..5 {
            stub.check(HealthCheckRequest::default()).await.unwrap();
        }
        assert_eq!(server.requests(), 7);
        assert_eq!(settled(&circuit, 7).await, [5, 2, 0]);
        // the code of a mistake of the caller says nothing
        let unknown = HealthCheckRequest { service: "nobody".to_owned() };
        assert_eq!(stub.check(unknown).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(settled(&circuit, 8).await, [5, 2, 1]);
        assert_eq!((circuit.state(), circuit.snapshot().trials), (CircuitState::Closed, 0));
    })
    .await;
}

/// F14
#[tokio::test]
async fn a_stub_whose_circuit_opens_is_refused_at_once_and_asks_the_server_no_more() {
    bounded(async {
        let server = Health::serve(u32::MAX).await;
        let breaker = CircuitBreakerLayer::grpc().trip_on(failures(4));
        let circuit = breaker.handle();
        let service = ServiceBuilder::new()
            .layer(FallbackLayer::grpc().unavailable())
            .layer(retry().body(Body::new))
            .layer(breaker)
            .service(channel(server.addr));
        let mut stub = HealthClient::new(service);
        for _ in 0..10 {
            let error = stub.check(HealthCheckRequest::default()).await.unwrap_err();
            assert_eq!(error.code(), Code::Unavailable);
        }
        assert_eq!(server.requests(), 4);
        assert_eq!(counts(&circuit), [0, 4, 0]);
        assert_eq!(circuit.state(), CircuitState::Open);
    })
    .await;
}

#[tokio::test]
async fn a_stub_that_streams_counts_when_its_stream_ends_or_is_left() {
    bounded(async {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let mut server = runtime.spawn(Health::serve(0)).await.unwrap();
        server.reporter.set_service_status("ends", tonic_health::ServingStatus::Serving).await;
        let breaker = CircuitBreakerLayer::grpc();
        let circuit = breaker.handle();
        let service = ServiceBuilder::new()
            .layer(retry().body(Body::new))
            .layer(breaker)
            .service(channel(server.addr));
        let mut stub = HealthClient::new(service);
        let mut watches = Vec::new();
        for service in ["", "", "ends", ""] {
            let request = HealthCheckRequest { service: service.to_owned() };
            let mut watch = stub.watch(request).await.unwrap().into_inner();
            assert!(watch.message().await.unwrap().is_some());
            watches.push(watch);
        }
        assert_eq!(counts(&circuit), [0, 0, 0], "they go on");
        drop(watches.pop());
        assert_eq!(counts(&circuit), [0, 0, 1], "its reader left it");
        server.reporter.clear_service_status("ends").await;
        assert!(watches.pop().unwrap().message().await.unwrap().is_none());
        assert_eq!(counts(&circuit), [1, 0, 1], "its trailers say OK");
        // the connection breaks under the others
        runtime.shutdown_background();
        for mut watch in watches {
            assert!(watch.message().await.is_err());
        }
        assert_eq!(counts(&circuit), [1, 2, 1]);
    })
    .await;
}
