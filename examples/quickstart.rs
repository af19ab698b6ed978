//! Three real servers, of which one throttles and one dies, and an answer to every request.
//!
//! ```sh
//! cargo run --features full --example quickstart
//! ```
//!
//! `primary` answers until it is stopped, `throttling` serves a few requests a second and tells the
//! others to come back, `backup` stands in for both. All requests take the same way: fallback, then
//! retry, then hyper-util's client.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, Uri, header::RETRY_AFTER};
use axum::routing::get;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::io::{self, IsTerminal, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval, timeout};
use tower::util::BoxCloneService;
use tower::{ServiceBuilder, ServiceExt};
use tower_failover::BoxError;
use tower_failover::classify::HttpClassifier;
use tower_failover::fallback::{Degraded, FallbackBody, FallbackLayer};
use tower_failover::retry::{RetryHandle, RetryLayer};

/// How many requests a phase sends, and how far apart.
const REQUESTS: usize = 40;
const PACE: Duration = Duration::from_millis(25);

/// What `throttling` serves in a second. It asks the others to wait for so long.
const QUOTA: usize = 5;
const COME_BACK_AFTER: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // an answer that does not come is a failure too
    timeout(Duration::from_secs(15), run()).await?
}

async fn run() -> Result<(), BoxError> {
    let primary = Server::start(answering("primary")).await?;
    let throttling = Server::start(throttling("throttling")).await?;
    let backup = Server::start(answering("backup")).await?;

    let client = Client::builder(TokioExecutor::new()).build_http();
    let backup_client = client.clone().map_request(move |mut request: Request<Body>| {
        *request.uri_mut() = backup.uri.clone();
        request
    });

    let retry = RetryLayer::http()
        // looks into the client's own error type, where a refused connection is to be found
        .classify(HttpClassifier::new().reads::<legacy::Error>())
        // the layers send bodies that can be sent again; this client takes axum's
        .body(Body::new);
    let fallback = FallbackLayer::http().service(backup_client).body(Body::new);
    let (retries, fallbacks) = (retry.handle(), fallback.handle());

    // from the outside in: the backup is asked when retries have not helped
    let stack = ServiceBuilder::new().layer(fallback).layer(retry).service(client).boxed_clone();

    let first = Phase::run("primary healthy", &primary.uri, &stack, &retries).await?;
    let second = Phase::run("primary throttles", &throttling.uri, &stack, &retries).await?;
    let gone = primary.stop().await?;
    let third = Phase::run("primary stopped", &gone, &stack, &retries).await?;

    let phases = [first, second, third];
    print_table(&phases);
    let hidden = fallbacks.snapshot();
    println!(
        "\nBehind the {} answers of the backup: {} throttled, {} refused, {} failed otherwise.",
        hidden.answered, hidden.throttled, hidden.refused, hidden.failure
    );
    match phases.iter().map(|phase| REQUESTS - phase.answered()).sum() {
        0_usize => Ok(()),
        unanswered => Err(format!("{unanswered} requests were not answered").into()),
    }
}

type Stack = BoxCloneService<Request<Body>, Response<FallbackBody<Incoming, Incoming>>, BoxError>;

/// What became of the requests of one phase.
struct Phase {
    name: &'static str,
    by_whom: BTreeMap<String, usize>,
    retries: u64,
    longest_wait: Duration,
}

impl Phase {
    async fn run(
        name: &'static str,
        uri: &Uri,
        stack: &Stack,
        retries: &RetryHandle,
    ) -> Result<Self, BoxError> {
        let retries_before = retries.snapshot().retries;
        let mut phase =
            Self { name, by_whom: BTreeMap::new(), retries: 0, longest_wait: Duration::ZERO };
        let mut pace = interval(PACE);
        let mut sent = 0;
        let mut calls = JoinSet::new();
        loop {
            tokio::select! {
                _ = pace.tick(), if sent < REQUESTS => {
                    calls.spawn(ask(stack.clone(), uri.clone()));
                    sent += 1;
                }
                Some(call) = calls.join_next() => match call? {
                    Ok((by, wait)) => {
                        *phase.by_whom.entry(by).or_default() += 1;
                        phase.longest_wait = phase.longest_wait.max(wait);
                    }
                    Err(error) => eprintln!("\nnot answered: {error}"),
                },
                else => break,
            }
            phase.retries = retries.snapshot().retries - retries_before;
            phase.show(sent, false)?;
        }
        phase.show(sent, true)?;
        Ok(phase)
    }

    /// One line a phase: a terminal sees it move, a log gets how it ended.
    fn show(&self, sent: usize, ended: bool) -> io::Result<()> {
        let mut out = io::stdout();
        let live = out.is_terminal();
        if live || ended {
            let (start, end) = (if live { "\r" } else { "" }, if ended { "\n" } else { "" });
            write!(out, "{start}{}: {sent} sent, {} answered{end}", self.name, self.answered())?;
        }
        out.flush()
    }

    fn answered(&self) -> usize {
        self.by_whom.values().sum()
    }
}

/// Sends one request; tells who answered it, and after how long.
async fn ask(stack: Stack, uri: Uri) -> Result<(String, Duration), BoxError> {
    let asked = now();
    let answer = stack.oneshot(Request::get(uri).body(Body::empty())?).await?;
    if !answer.status().is_success() {
        return Err(answer.status().to_string().into());
    }
    let degraded = answer.extensions().get::<Degraded>().cloned();
    let body = answer.into_body().collect().await?.to_bytes();
    let (name, wait) = (std::str::from_utf8(&body)?, asked.elapsed());
    let by = match degraded {
        Some(degraded) => format!("{name} ({})", degraded.because().name()),
        None if wait >= COME_BACK_AFTER => format!("{name} (waited for)"),
        None => name.to_owned(),
    };
    Ok((by, wait))
}

#[expect(clippy::disallowed_methods, reason = "what is shown is real time")]
fn now() -> Instant {
    Instant::now()
}

fn print_table(phases: &[Phase]) {
    println!(
        "\n{:<19}{:>8}{:>10}   {:<24}{:>9}{:>14}",
        "phase", "requests", "answered", "by whom", "retries", "longest wait"
    );
    for phase in phases {
        let mut by_whom = phase.by_whom.iter().rev().map(|(by, count)| format!("{count:>2} {by}"));
        println!(
            "{:<19}{REQUESTS:>8}{:>10}   {:<24}{:>9}{:>12.2} s",
            phase.name,
            phase.answered(),
            by_whom.next().unwrap_or_default(),
            phase.retries,
            phase.longest_wait.as_secs_f64()
        );
        by_whom.for_each(|by| println!("{:40}{by}", ""));
    }
}

/// A server on a loopback port of the system's choice, until it is stopped or dropped.
struct Server {
    uri: Uri,
    stop: oneshot::Sender<()>,
    stopped: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(router: Router) -> Result<Self, BoxError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let uri = format!("http://{}/", listener.local_addr()?).parse()?;
        let (stop, told) = oneshot::channel();
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            // an error says that the `Server` was dropped
            let _: Result<(), _> = told.await;
        });
        Ok(Self { uri, stop, stopped: tokio::spawn(server.into_future()) })
    }

    /// Closes all connections and the port, so that new ones are refused. Returns what is not there
    /// any more.
    async fn stop(self) -> Result<Uri, BoxError> {
        drop(self.stop);
        self.stopped.await??;
        Ok(self.uri)
    }
}

fn answering(name: &'static str) -> Router {
    Router::new().route("/", get(move || async move { name }))
}

fn throttling(name: &'static str) -> Router {
    let left = Arc::new(AtomicUsize::new(0));
    let refilled = left.clone();
    tokio::spawn(async move {
        let mut seconds = interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            refilled.store(QUOTA, Relaxed);
        }
    });
    let take = move || left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
    let wait = [(RETRY_AFTER, COME_BACK_AFTER.as_secs().to_string())];
    let answer = move || async move {
        if take() { Ok(name) } else { Err((StatusCode::TOO_MANY_REQUESTS, wait)) }
    };
    Router::new().route("/", get(answer))
}
