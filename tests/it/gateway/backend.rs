//! Servers that are processes of their own, so that they can be stopped and killed, and an even load.

use super::*;
use crate::kit::now;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::routing::{any, get};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

const PORT: &str = "TOWER_FAILOVER_BACKEND";
const SERVED_BY: &str = "served-by";

#[derive(Default)]
struct Mood {
    fails: AtomicBool,
    requests: AtomicU32,
}

/// The server itself: this program, started once more.
#[tokio::test]
#[ignore = "a server that the tests beside it start as a process of its own"]
async fn serves() {
    let Some(port) = env::var(PORT).ok().and_then(|port| port.parse().ok()) else { return };
    // ends when whoever has started it does
    std::thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let listener = listen(port).await;
    let port = listener.local_addr().unwrap().port();
    let answer = move |State(mood): State<Arc<Mood>>| async move {
        let number = mood.requests.fetch_add(1, SeqCst);
        let status = if mood.fails.load(SeqCst) {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            // from 5 to 15 ms: longer than a busy machine makes any server look slow
            sleep(ms(5 + u64::from(number) * 7 % 11)).await;
            StatusCode::OK
        };
        (status, [(SERVED_BY, port.to_string())], "answer")
    };
    let set = |State(mood): State<Arc<Mood>>, Path(fails): Path<bool>| async move {
        mood.fails.store(fails, SeqCst);
    };
    let count =
        |State(mood): State<Arc<Mood>>| async move { mood.requests.load(SeqCst).to_string() };
    let router = Router::new()
        .route("/_fails/{fails}", get(set))
        .route("/_requests", get(count))
        .fallback(any(answer))
        .with_state(Arc::<Mood>::default());
    // on one processor the test runner has begun a line of its own
    println!("\nserving {}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

/// Listens on this port, or on any for 0: on one that no connection is given by the system, so that it
/// can be listened on again.
async fn listen(port: u16) -> TcpListener {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let ports = if port == 0 { (first..first + 100).collect() } else { vec![port; 200] };
    for port in ports {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => return listener,
            Err(_) => sleep(ms(5)).await,
        }
    }
    panic!("there is no port to listen on");
}

/// A server as a process, until it is dropped.
pub(super) struct Backend {
    process: Child,
    pub(super) addr: SocketAddr,
}

impl Backend {
    pub(super) fn start() -> Self {
        Self::start_at(0)
    }

    fn start_at(port: u16) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "gateway::backend::serves", "--ignored", "--nocapture"])
            .env(PORT, port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let addr = told_address(&mut process, "serving ");
        Self { process, addr }
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again on the port that it had.
    pub(super) fn restart(&mut self) {
        *self = Self::start_at(self.addr.port());
    }

    pub(super) fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    pub(super) async fn fails(&self, fails: bool) {
        ask(self.addr, Request::get(format!("/_fails/{fails}"))).await;
    }

    /// How many requests it got.
    pub(super) async fn requests(&self) -> u32 {
        ask(self.addr, Request::get("/_requests")).await.body().parse().unwrap()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What became of one request of the load.
pub(super) struct Call {
    pub(super) at: Instant,
    pub(super) took: Duration,
    pub(super) method: Method,
    /// None where there was no answer at all.
    pub(super) status: Option<StatusCode>,
    by: Option<String>,
}

impl Call {
    pub(super) fn failed(&self) -> bool {
        self.status != Some(StatusCode::OK)
    }

    pub(super) fn is_get(&self) -> bool {
        self.method == Method::GET
    }

    pub(super) fn served_by(&self, backend: &Backend) -> bool {
        self.by == Some(backend.addr.port().to_string())
    }
}

/// What became of a load.
pub(super) struct Calls {
    pub(super) all: Vec<Call>,
    /// How late a request was sent: a machine with too much to do is of no use for measuring.
    pub(super) lag: Duration,
}

/// Sends 200 requests a second for so long, each fifth a POST, whether those before are answered or
/// not.
pub(super) async fn load(gateway: SocketAddr, time: Duration) -> Calls {
    let client = crate::wire::client(crate::wire::Version::H1);
    let mut pace = interval(ms(5));
    let mut calls = JoinSet::new();
    let mut lag = Duration::ZERO;
    for number in 0..time.as_millis() / 5 {
        lag = lag.max(pace.tick().await.elapsed());
        let client = client.clone();
        let method = if number % 5 == 4 { Method::POST } else { Method::GET };
        calls.spawn(async move {
            let body = if method == Method::POST { Body::from("upload") } else { Body::empty() };
            let request =
                Request::builder().method(method.clone()).uri(format!("http://{gateway}/work"));
            let at = now();
            let answer = client.request(request.body(body).unwrap()).await;
            let mut call = Call { at, took: at.elapsed(), method, status: None, by: None };
            if let Ok(answer) = answer {
                let by = answer.headers().get(SERVED_BY).cloned();
                call.by = by.map(|by| by.to_str().unwrap().to_owned());
                let (status, body) = (answer.status(), answer.into_body());
                call.status = body.collect().await.is_ok().then_some(status);
            }
            call
        });
    }
    Calls { all: calls.join_all().await, lag }
}
