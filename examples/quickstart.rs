//! Three servers and a backup that stop and come back, behind one service that goes on answering.
//!
//! ```sh
//! cargo run --features full --example quickstart
//! ```
//!
//! All requests take the same way: fallback, timeout for all, retry, hedge, balance, and for each endpoint its
//! address, a timeout for one attempt, and hyper-util's client. The table shows who answered.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, Uri};
use axum::routing::get;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::IntoFuture;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, sleep, timeout};
use tower::util::{BoxCloneService, BoxCloneSyncService};
use tower::{ServiceBuilder, ServiceExt};
use tower_failover::BoxError;
use tower_failover::balance::{BalanceLayer, Endpoint, Endpoints};
use tower_failover::fallback::FallbackLayer;
use tower_failover::hedge::HedgeLayer;
use tower_failover::retry::RetryLayer;

/// How far apart requests are, and how long a server works on each.
const PACE: Duration = Duration::from_millis(5);
const WORK: Duration = Duration::from_millis(15);

const NAMES: [&str; 4] = ["a", "b", "c", "backup"];

type EndpointService = BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>;
type Stack = BoxCloneService<Request<Body>, Response<Body>, Infallible>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // an answer that does not come is a failure too
    timeout(Duration::from_secs(15), run()).await?
}

async fn start(servers: [&mut Server; 4]) -> Result<(), BoxError> {
    for server in servers {
        server.start().await?;
    }
    Ok(())
}

async fn run() -> Result<(), BoxError> {
    let [mut a, mut b, mut c, mut backup] = NAMES.map(Server::new);
    start([&mut a, &mut b, &mut c, &mut backup]).await?;

    let client = Client::builder(TokioExecutor::new()).build_http();
    let endpoints: Endpoints<_> = [
        Endpoint::new("a", service(&a, &client)),
        Endpoint::new("b", service(&b, &client)),
        Endpoint::new("c", service(&c, &client)),
        Endpoint::new("backup", service(&backup, &client)).tier(1),
    ]
    .into_iter()
    .collect();

    // a retry goes to another endpoint, so one for each of them makes sense
    let (retry, retries) = RetryLayer::http().max_retries(3).body(Body::new).with_handle();
    // and one that takes long has another one beside it
    let (hedge, hedges) = HedgeLayer::http().body(Body::new).with_handle();
    let stack = ServiceBuilder::new()
        .layer(FallbackLayer::http().respond(|_| nothing_left()))
        .timeout(Duration::from_secs(2))
        .layer(retry)
        .layer(hedge)
        .layer(BalanceLayer::http())
        .service(endpoints.clone())
        .map_response(|answer| answer.map(Body::new))
        .boxed_clone();

    println!("{:<18}{:>8}   answered by", "", "requests");
    let mut shares = send(&stack, "all is well", 200).await?;
    assert!(NAMES[..3].iter().all(|name| shares.of(name) > 40), "each has its share");

    c.stop().await?;
    shares = send(&stack, "c stopped", 200).await?;
    assert_eq!(shares.of("c") + shares.of("fallback"), 0, "no caller notices");
    assert!(shares.of("a") + shares.of("b") > 150, "the others of tier 0 take most of it");

    a.stop().await?;
    b.stop().await?;
    shares = send(&stack, "a, b, c stopped", 200).await?;
    assert_eq!(shares.of("backup"), 200, "tier 1 serves when tier 0 does not");

    backup.stop().await?;
    shares = send(&stack, "all stopped", 50).await?;
    assert_eq!(shares.of("fallback"), 50, "what is left is the fallback");

    start([&mut a, &mut b, &mut c, &mut backup]).await?;
    send(&stack, "coming back", 400).await?;
    shares = send(&stack, "all is well again", 200).await?;
    assert!(NAMES[..3].iter().all(|name| shares.of(name) > 20), "each has a share again");

    println!(
        "\n{} requests were sent again, and {} hedged. What the balancer knows of:",
        retries.snapshot().retries,
        hedges.snapshot().hedges
    );
    for endpoint in endpoints.snapshot() {
        println!(
            "{:>8}: {}, {} calls went well and {} did not, ejected {} times",
            endpoint.name,
            endpoint.state.name(),
            endpoint.counts.successes,
            endpoint.counts.failures + endpoint.counts.refused,
            endpoint.ejections
        );
    }
    Ok(())
}

/// What stands for one endpoint: requests get its address, and a time limit for each attempt.
fn service(server: &Server, client: &Client<HttpConnector, Body>) -> EndpointService {
    let uri: Uri = format!("http://{}/", server.address).parse().expect("an address is a URI");
    let service = ServiceBuilder::new()
        .map_request(move |mut request: Request<Body>| {
            *request.uri_mut() = uri.clone();
            request
        })
        .timeout(Duration::from_millis(500))
        .service(client.clone());
    BoxCloneSyncService::new(service)
}

fn nothing_left() -> Response<Body> {
    let mut answer = Response::new(Body::from("fallback"));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer
}

/// By whom the requests of a phase were answered.
struct Shares(BTreeMap<String, usize>);

impl Shares {
    fn of(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// Sends requests at an even pace, each apart from the others, and prints who answered.
async fn send(stack: &Stack, phase: &str, requests: usize) -> Result<Shares, BoxError> {
    let (mut calls, mut pace) = (JoinSet::new(), interval(PACE));
    for _ in 0..requests {
        pace.tick().await;
        calls.spawn(ask(stack.clone()));
    }
    let mut shares = Shares(BTreeMap::new());
    while let Some(answered_by) = calls.join_next().await {
        *shares.0.entry(answered_by??).or_default() += 1;
    }
    let counts: Vec<_> = shares.0.iter().map(|(name, count)| format!("{count} {name}")).collect();
    println!("{phase:<18}{requests:>8}   {}", counts.join(", "));
    Ok(shares)
}

async fn ask(stack: Stack) -> Result<String, BoxError> {
    let answer = stack.oneshot(Request::get("/").body(Body::empty())?).await?;
    let body = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.into())?)
}

/// A server on a loopback port, which it keeps when it is stopped and started again.
struct Server {
    name: &'static str,
    address: SocketAddr,
    running: Option<(oneshot::Sender<()>, JoinHandle<io::Result<()>>)>,
}

impl Server {
    const fn new(name: &'static str) -> Self {
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self { name, address, running: None }
    }

    async fn start(&mut self) -> Result<(), BoxError> {
        let listener = TcpListener::bind(self.address).await?;
        self.address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let name = self.name;
        let router = Router::new().route("/", get(move || work(name)));
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            // an error says that the `Server` was dropped
            let _: Result<(), _> = stopped.await;
        });
        self.running = Some((stop, tokio::spawn(server.into_future())));
        Ok(())
    }

    /// Closes the port and all connections, so that new ones are refused.
    async fn stop(&mut self) -> Result<(), BoxError> {
        let Some((stop, stopped)) = self.running.take() else { return Ok(()) };
        drop(stop);
        Ok(stopped.await??)
    }
}

#[expect(clippy::disallowed_methods, reason = "what is shown is real time")]
async fn work(name: &'static str) -> &'static str {
    sleep(WORK).await;
    name
}
