//! A real server that fails, hangs, and recovers, and what its callers see behind a circuit breaker.
//!
//! ```sh
//! cargo run --features full --example circuit_breaker
//! ```
//!
//! All calls take the same way: fallback, tower's timeout, circuit breaker, hyper-util's client. The
//! timeout stands *outside* of the breaker here, so that no call that hangs ever ends in an error that
//! the breaker could see: it counts those that were given up after too long a silence. A line shows the
//! circuit as it is; a table at the end shows by whom the callers were answered, and how fast.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode, Uri};
use axum::routing::get;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::convert::Infallible;
use std::future::{IntoFuture, pending};
use std::io::{self, IsTerminal, Write};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};
use tower::util::BoxCloneService;
use tower::{ServiceBuilder, ServiceExt};
use tower_failover::attempt::RecordBody;
use tower_failover::circuit_breaker::{
    CircuitBreakerLayer, CircuitHandle, CircuitOpen, CircuitSnapshot,
};
use tower_failover::fallback::{Failed, FallbackBody, FallbackLayer};
use tower_failover::trip::Failures;
use tower_failover::{Backoff, BoxError, Jitter, Ratio};

/// How far apart calls are.
const PACE: Duration = Duration::from_millis(20);
/// How often a terminal is shown the circuit.
const TICK: Duration = Duration::from_millis(100);
/// How long a caller waits; by default a silence of half a second counts when it is given up.
const PATIENCE: Duration = Duration::from_millis(600);
/// After which time of a recovery all calls must be answered by the server again.
const RECOVERED_AFTER: Duration = Duration::from_millis(2200);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // a call that is never answered is a failure of this example
    timeout(Duration::from_secs(18), run()).await?
}

async fn run() -> Result<(), BoxError> {
    let (mood, uri) = serve().await?;
    let open_for = Backoff::exponential(Duration::from_millis(300))
        .cap(Duration::from_millis(600))
        .jitter(Jitter::Proportional(Ratio::percent::<20>()));
    let (breaker, circuit) = CircuitBreakerLayer::http()
        .trip_on(Failures::count::<10>().within(Duration::from_secs(1)))
        .open_for(open_for)
        .ramp(Duration::from_secs(1))
        .with_handle();
    let stack = ServiceBuilder::new()
        .layer(FallbackLayer::http().respond(stand_in))
        .timeout(PATIENCE)
        .layer(breaker)
        .service(Client::builder(TokioExecutor::new()).build_http::<Body>())
        .boxed_clone();

    let phases = [
        ("healthy", Mood::Well, 1000),
        ("failing", Mood::Fails, 2000),
        ("recovering", Mood::Well, 2500),
        ("hanging", Mood::Hangs, 2500),
        ("recovering", Mood::Well, 2500),
    ];
    let mut ended = Vec::new();
    for (name, now_is, millis) in phases {
        mood.send_replace(now_is);
        let mut phase = Phase::new(name, Duration::from_millis(millis));
        phase.run(&uri, &stack, &circuit).await?;
        ended.push(phase);
    }
    print_table(&ended);
    ended.iter().try_for_each(Phase::check)
}

type Stack =
    BoxCloneService<Request<Body>, Response<FallbackBody<RecordBody<Incoming>, Body>>, Infallible>;

/// By whom a call was answered.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Server,
    /// The fallback, after the call had failed.
    Fallback,
    /// The fallback, since the circuit refused the call.
    Circuit,
}

fn stand_in(failed: Failed<Response<RecordBody<Incoming>>>) -> Response<Body> {
    let refused = failed.result.is_err_and(|error| error.is::<CircuitOpen>());
    let mut answer = Response::new(Body::from("come back later"));
    answer.extensions_mut().insert(if refused { By::Circuit } else { By::Fallback });
    answer
}

/// Makes one call; tells who answered it, and after how long.
async fn ask(stack: Stack, uri: Uri) -> Result<Call, BoxError> {
    let asked = now();
    let answer = stack.oneshot(Request::get(uri).body(Body::empty())?).await?;
    let by = answer.extensions().get().copied().unwrap_or(By::Server);
    // only at the end of its body has a call gone well
    answer.into_body().collect().await?;
    Ok(Call { asked, by, wait: asked.elapsed() })
}

struct Call {
    asked: Instant,
    by: By,
    wait: Duration,
}

/// What became of the calls of one phase.
struct Phase {
    name: &'static str,
    length: Duration,
    started: Instant,
    calls: Vec<Call>,
}

impl Phase {
    fn new(name: &'static str, length: Duration) -> Self {
        Self { name, length, started: now(), calls: Vec::new() }
    }

    async fn run(
        &mut self,
        uri: &Uri,
        stack: &Stack,
        circuit: &CircuitHandle,
    ) -> Result<(), BoxError> {
        let live = io::stdout().is_terminal();
        let (mut pace, mut ticks, mut changes) =
            (interval(PACE), interval(TICK), circuit.changes());
        let mut calls = JoinSet::new();
        self.show(&circuit.snapshot(), live)?;
        while self.started.elapsed() < self.length || !calls.is_empty() {
            let shown = tokio::select! {
                _ = pace.tick(), if self.started.elapsed() < self.length => {
                    calls.spawn(ask(stack.clone(), uri.clone()));
                    false
                }
                Some(call) = calls.join_next() => {
                    self.calls.push(call??);
                    false
                }
                // a terminal sees the line move, a log gets one for each change
                _ = ticks.tick() => live,
                Some(_) = changes.next() => true,
            };
            if shown {
                self.show(&circuit.snapshot(), live)?;
            }
        }
        if live {
            println!();
        }
        Ok(())
    }

    fn show(&self, circuit: &CircuitSnapshot, live: bool) -> io::Result<()> {
        let (start, end) = if live { ("\r", "") } else { ("", "\n") };
        let mut out = io::stdout();
        write!(
            out,
            "{start}{:<11}{:>4.1} s  {:<11} share {:>3.0} %  trials {}  {:>4} good {:>4} failed \
             {:>4} refused{end}",
            self.name,
            self.started.elapsed().as_secs_f64(),
            circuit.state.name(),
            circuit.share * 100.0,
            circuit.trials,
            circuit.successes,
            circuit.failures,
            circuit.refused,
        )?;
        out.flush()
    }

    fn answered(&self, by: By) -> usize {
        self.calls.iter().filter(|call| call.by == by).count()
    }

    /// From when on every call was answered by the server.
    fn well_after(&self) -> Duration {
        let others = self.calls.iter().filter(|call| call.by != By::Server);
        others.map(|call| call.asked - self.started).max().unwrap_or_default()
    }

    /// Whether the phase went as it should.
    fn check(&self) -> Result<(), BoxError> {
        let (calls, refused) = (self.calls.len(), self.answered(By::Circuit));
        let went_well = match self.name {
            "healthy" => self.answered(By::Server) == calls,
            "recovering" => self.well_after() <= RECOVERED_AFTER,
            // most callers did not have to wait for what would fail
            _ => refused > calls / 2 && self.typical_wait() < PATIENCE / 10,
        };
        went_well.then_some(()).ok_or_else(|| format!("`{}` did not go well", self.name).into())
    }

    /// The median.
    fn typical_wait(&self) -> Duration {
        let mut waits: Vec<_> = self.calls.iter().map(|call| call.wait).collect();
        waits.sort_unstable();
        waits.get(waits.len() / 2).copied().unwrap_or_default()
    }

    fn slowest_wait(&self) -> Duration {
        self.calls.iter().map(|call| call.wait).max().unwrap_or_default()
    }
}

fn print_table(phases: &[Phase]) {
    println!(
        "\nphase       calls  by server  by fallback  by circuit  typical wait  slowest wait  well after"
    );
    for phase in phases {
        println!(
            "{:<11}{:>6}{:>11}{:>13}{:>12}{:>11.1} ms{:>11.1} ms{:>10.1} s",
            phase.name,
            phase.calls.len(),
            phase.answered(By::Server),
            phase.answered(By::Fallback),
            phase.answered(By::Circuit),
            phase.typical_wait().as_secs_f64() * 1000.0,
            phase.slowest_wait().as_secs_f64() * 1000.0,
            phase.well_after().as_secs_f64(),
        );
    }
}

#[derive(Clone, Copy)]
enum Mood {
    Well,
    Fails,
    Hangs,
}

/// Starts a server on a loopback port of the system's choice, and returns what steers it.
async fn serve() -> Result<(watch::Sender<Mood>, Uri), BoxError> {
    async fn answer(State(mood): State<watch::Receiver<Mood>>) -> Result<&'static str, StatusCode> {
        let mood = *mood.borrow();
        match mood {
            Mood::Well => Ok("hello"),
            Mood::Fails => Err(StatusCode::SERVICE_UNAVAILABLE),
            Mood::Hangs => pending().await,
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let uri = format!("http://{}/", listener.local_addr()?).parse()?;
    let (mood, told) = watch::channel(Mood::Well);
    let router = Router::new().route("/", get(answer)).with_state(told);
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok((mood, uri))
}

#[expect(clippy::disallowed_methods, reason = "what is shown is real time")]
fn now() -> Instant {
    Instant::now()
}
