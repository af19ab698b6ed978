//! What a good call costs, in instructions, clock reads and allocations above the bare service.
//!
//! ```sh
//! cargo run --profile bench -p tower-failover-benches           # the table; needs valgrind
//! cargo run --profile bench -p tower-failover-benches -- retry  # cases whose name contains this
//! ```
//!
//! The program runs itself under callgrind, each case with few and with many calls, and takes the
//! difference: that is exact and repeatable, whatever else the machine does. The inner service
//! answers at once, or (`pending once`) is pending the first time it is polled, as anything that
//! waits for a socket is.

mod endpoints;
mod frames;

use tower_failover::trip::{FailureRatio, SlowRatio};
use std::collections::HashMap;
use std::env;
use std::fmt;
use std::fs;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::process::Command;
use std::task::{Context, Poll};
use tower::retry::backoff::{
    Backoff as _, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff,
};
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::{Layer, Service, ServiceBuilder};
use tower_failover::Attempts;
use tower_failover::circuit_breaker::CircuitBreakerLayer;
use tower_failover::fallback::FallbackLayer;
use tower_failover::hedge::HedgeLayer;
use tower_failover::retry::RetryLayer;

/// What is measured, and the most that it may cost above bare.
struct Case {
    name: &'static str,
    /// Instructions of a service that answers at once, and of one that is pending once.
    instructions: [Option<f64>; 2],
    clock_reads: [f64; 2],
}

impl Case {
    /// To compare with.
    const fn of(name: &'static str) -> Self {
        Self { name, instructions: [None; 2], clock_reads: [f64::INFINITY; 2] }
    }

    /// At most 120 instructions where it is there at once.
    const fn a_frame(name: &'static str) -> Self {
        Self { name, instructions: [Some(120.0), None], clock_reads: [0.0, 2.0] }
    }

    const fn at_most(name: &'static str, ready: f64, pending: f64, clock_reads: [f64; 2]) -> Self {
        Self { name, instructions: [Some(ready), Some(pending)], clock_reads }
    }
}

const CASES: [Case; 30] = [
    Case::of("tower retry"),
    Case::of("tower retry, budget"),
    Case::of("tower hedge"),
    Case::of("tower timeout"),
    Case::at_most("retry", 50.0, 60.0, [0.0, 0.0]),
    Case::at_most("fallback to a value", 30.0, 45.0, [0.0, 0.0]),
    Case::of("fallback to a service"),
    Case::of("fallback + retry"),
    Case::at_most("breaker", 150.0, 350.0, [1.0, 2.0]),
    Case::of("breaker, after 750 calls"),
    Case::of("breaker, after 6000 calls"),
    Case::of("breaker, slow rule"),
    // a value for fallback, and tower's timeout inside
    Case::at_most("fallback + retry + breaker + timeout", 450.0, 1_250.0, [3.0, 3.0]),
    Case::at_most("hedge", 250.0, 1_100.0, [2.0, 2.0]),
    Case::at_most("balance, 2", 900.0, 1_200.0, [2.0, 2.0]),
    Case::at_most("balance, 3", 900.0, 1_200.0, [2.0, 2.0]),
    Case::at_most("balance, 10", 900.0, 1_200.0, [2.0, 2.0]),
    Case::at_most("balance, 1000", 900.0, 1_200.0, [2.0, 2.0]),
    Case::of("balance, 100000"),
    Case::at_most("tracked", 900.0, 1_200.0, [2.0, 2.0]),
    Case::of("two looks at the clock"),
    Case::of("tower p2c, 10"),
    Case::of("tower p2c, 1000"),
    Case::of("http: retry"),
    // the service says that it reads the record of the attempts, and so one is put into the request
    Case::of("http: retry, reader"),
    Case::of("http: breaker"),
    // of each frame; one that was waited for costs a look at the clock, and tokio's work for a timer
    Case::a_frame("frames: first frame"),
    Case::a_frame("frames: first event"),
    Case::a_frame("frames: stall"),
    Case::a_frame("frames: stall, all limits"),
];

const FEW: u64 = 1_000;
const MANY: u64 = 11_000;

#[derive(Clone, Copy, Debug)]
struct Fail;

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fail")
    }
}

impl std::error::Error for Fail {}

async fn answer<const PENDING: bool, T>(request: T) -> Result<T, Fail> {
    if PENDING {
        let mut waited = false;
        poll_fn(|cx| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
    Ok(request)
}

trait Inner<T>:
    Service<T, Response = T, Error = Fail, Future: Future<Output = Result<T, Fail>>> + Clone
{
}

impl<T, S> Inner<T> for S where
    S: Service<T, Response = T, Error = Fail, Future: Future<Output = Result<T, Fail>>> + Clone
{
}

fn inner<const PENDING: bool, T>() -> impl Inner<T> {
    tower::service_fn(answer::<PENDING, T>)
}

#[inline(never)]
async fn drive<S, T>(mut service: S, calls: u64, request: impl Fn(u64) -> T)
where
    S: Service<T, Response: Count, Error: fmt::Debug>,
{
    let mut sum = 0_u64;
    for call in 0..calls {
        poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
        let answer = service.call(black_box(request(call))).await.unwrap();
        sum = sum.wrapping_add(answer.count());
    }
    black_box(sum);
}

/// What is looked at of an answer.
trait Count {
    fn count(&self) -> u64;
}

impl Count for u64 {
    fn count(&self) -> u64 {
        *self
    }
}

impl<B> Count for http::Response<B> {
    fn count(&self) -> u64 {
        u64::from(self.status().as_u16())
    }
}

/// tower's retry needs a policy that is written by hand; this is the one of its documentation.
#[derive(Clone)]
struct TowerPolicy {
    left: usize,
    backoff: Option<(ExponentialBackoff, std::sync::Arc<TpsBudget>)>,
}

impl TowerPolicy {
    fn new(budget: bool) -> Self {
        let ms = std::time::Duration::from_millis;
        let rng = tower::util::rng::HasherRng::default();
        let mut backoff = ExponentialBackoffMaker::new(ms(100), ms(5_000), 0.5, rng).unwrap();
        let paid = budget.then(|| (backoff.make_backoff(), std::sync::Arc::default()));
        Self { left: 2, backoff: paid }
    }
}

impl tower::retry::Policy<u64, u64, Fail> for TowerPolicy {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, Fail>) -> Option<Self::Future> {
        match (&mut self.backoff, result) {
            (Some((_, budget)), Ok(_)) => {
                budget.deposit();
                None
            }
            (Some((backoff, budget)), Err(_)) if self.left > 0 && budget.withdraw() => {
                self.left -= 1;
                let _delay = black_box(backoff.next_backoff());
                Some(std::future::ready(()))
            }
            (None, Err(_)) if self.left > 0 => {
                self.left -= 1;
                Some(std::future::ready(()))
            }
            _ => None,
        }
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

/// tower's hedge of every call.
#[derive(Clone)]
struct Always;

impl tower::hedge::Policy<u64> for Always {
    fn clone_request(&self, request: &u64) -> Option<u64> {
        Some(*request)
    }

    fn can_retry(&self, _: &u64) -> bool {
        true
    }
}

fn http_request() -> http::Request<http_body_util::Empty<bytes::Bytes>> {
    http::Request::builder()
        .uri("http://127.0.0.1/")
        .header("accept", "*/*")
        .header("user-agent", "cost")
        // most requests have one; the first of a request makes the map that holds them
        .extension(tower_failover::RequestPolicy::new())
        .body(http_body_util::Empty::new())
        .unwrap()
}

/// Answers with the request's body, so that no request is turned into an answer at a cost of its own.
fn http_inner<const PENDING: bool, B>() -> impl Service<
    http::Request<B>,
    Response = http::Response<B>,
    Error = Fail,
    Future: Future<Output = Result<http::Response<B>, Fail>>,
> + Clone {
    tower::service_fn(|request: http::Request<B>| {
        answer::<PENDING, _>(http::Response::new(request.into_body()))
    })
}

/// A service inside that reads the record of the attempts, as a balancer does.
#[derive(Clone)]
struct Reader<S>(S);

impl<S, B> Service<http::Request<B>> for Reader<S>
where
    S: Service<http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Attempts::announce_reader();
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> S::Future {
        black_box(request.extensions_mut().remove::<Attempts>());
        self.0.call(request)
    }
}

async fn run<const PENDING: bool>(case: &str, calls: u64) {
    let plain = |call| call;
    let http = |_| http_request();
    let retry = RetryLayer::plain().seed(1);
    let to_service = FallbackLayer::plain().service(inner::<false, u64>());
    let breaker = CircuitBreakerLayer::plain().seed(1);
    let builder = ServiceBuilder::new();
    match case {
        "bare" => drive(inner::<PENDING, _>(), calls, plain).await,
        "http: bare" => drive(http_inner::<PENDING, _>(), calls, http).await,
        "tower retry" => {
            let service = tower::retry::Retry::new(TowerPolicy::new(false), inner::<PENDING, _>());
            drive(service, calls, plain).await;
        }
        "tower retry, budget" => {
            let service = tower::retry::Retry::new(TowerPolicy::new(true), inner::<PENDING, _>());
            drive(service, calls, plain).await;
        }
        "retry" => drive(builder.layer(retry).service(inner::<PENDING, _>()), calls, plain).await,
        "fallback to a value" => {
            let value = FallbackLayer::plain().value(|_| 0_u64);
            drive(builder.layer(value).service(inner::<PENDING, _>()), calls, plain).await;
        }
        "fallback to a service" => {
            drive(builder.layer(to_service).service(inner::<PENDING, _>()), calls, plain).await;
        }
        "fallback + retry" => {
            let service = builder.layer(to_service).layer(retry).service(inner::<PENDING, _>());
            drive(service, calls, plain).await;
        }
        "breaker" => {
            drive(builder.layer(breaker).service(inner::<PENDING, _>()), calls, plain).await;
        }
        "breaker, after 750 calls" | "breaker, after 6000 calls" => {
            let rule = FailureRatio::percent::<50>();
            let layer = breaker.trip_on(rule.within(std::time::Duration::from_secs(3_600)));
            let before = if case.contains("750") { 750 } else { 6_000 };
            drive(layer.layer(inner::<PENDING, _>()), before, plain).await;
            drive(layer.layer(inner::<PENDING, _>()), calls, plain).await;
        }
        "hedge" => {
            drive(HedgeLayer::plain().layer(inner::<PENDING, _>()), calls, plain).await;
        }
        "breaker, slow rule" => {
            let rule = SlowRatio::slower_than(std::time::Duration::from_secs(1));
            let service = breaker.trip_on(rule).layer(inner::<PENDING, _>());
            drive(service, calls, plain).await;
        }
        "tower timeout" => {
            let service = builder.timeout(std::time::Duration::from_secs(1));
            drive(service.service(inner::<PENDING, _>()), calls, plain).await;
        }
        "fallback + retry + breaker + timeout" => {
            let stack = builder
                .layer(FallbackLayer::plain().value(|_| 0_u64))
                .layer(retry)
                .layer(breaker)
                .timeout(std::time::Duration::from_secs(1));
            drive(stack.service(inner::<PENDING, _>()), calls, plain).await;
        }
        "tower hedge" => {
            let second = std::time::Duration::from_secs(1);
            let hedge = tower::hedge::Hedge::new(inner::<PENDING, _>(), Always, 10, 0.95, second);
            drive(hedge, calls, plain).await;
        }
        "http: breaker" => {
            let service = CircuitBreakerLayer::http().layer(http_inner::<PENDING, _>());
            drive(service, calls, http).await;
        }
        "http: retry" => {
            let service = builder.layer(RetryLayer::http()).service(http_inner::<PENDING, _>());
            drive(service, calls, http).await;
        }
        "http: retry, reader" => {
            let service = Reader(http_inner::<PENDING, _>());
            let service = builder.layer(RetryLayer::http()).service(service);
            drive(service, calls, http).await;
        }
        frames if frames.starts_with("frames") => frames::run::<PENDING>(frames, calls).await,
        other => endpoints::run::<PENDING>(other, calls).await,
    }
}

fn run_blocking(case: &str, pending: bool, calls: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    match pending {
        false => runtime.block_on(run::<false>(case, calls)),
        true => runtime.block_on(run::<true>(case, calls)),
    }
}

/// Instructions and clock reads of one run.
fn callgrind(case: &str, pending: bool, calls: u64) -> (f64, f64) {
    let file = env::temp_dir().join(format!("cost-{}.callgrind", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-line=no"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe().unwrap())
        .args(["run", case, &pending.to_string(), &calls.to_string()])
        .output()
        .expect("valgrind is installed");
    let log = String::from_utf8_lossy(&output.stderr);
    let (_, total) = log.split_once("Collected : ").unwrap_or_else(|| panic!("{log}"));
    let total = total.lines().next().unwrap().trim().parse().unwrap();
    let clocks = clock_reads(&fs::read_to_string(&file).unwrap());
    fs::remove_file(file).unwrap();
    (total, clocks)
}

/// Adds up the looks at the clock in callgrind's output, where names are given once and then go by number.
/// The look that tokio's driver takes each time it turns while any timer is set is the runtime's own.
fn clock_reads(profile: &str) -> f64 {
    let mut names = HashMap::new();
    let (mut reads, mut of_runtime, mut of_clock) = (0.0, false, false);
    for line in profile.lines() {
        if let Some(function) = line.strip_prefix("fn=").or(line.strip_prefix("cfn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            let name = names.entry(number).or_insert(name);
            if line.starts_with("fn=") {
                of_runtime = name.contains("tokio::runtime::time::Driver");
            } else {
                of_clock = name.contains("Timespec") && name.ends_with("::now") && !of_runtime;
            }
        } else if let Some(calls) = line.strip_prefix("calls=").filter(|_| of_clock) {
            reads += calls.split(' ').next().unwrap().parse::<f64>().unwrap();
            of_clock = false;
        }
    }
    reads
}

/// Instructions and clock reads of one call.
fn per_call(case: &str, pending: bool) -> (f64, f64) {
    let (few, many) = (callgrind(case, pending, FEW), callgrind(case, pending, MANY));
    let calls = (MANY - FEW) as f64;
    ((many.0 - few.0) / calls, (many.1 - few.1) / calls)
}

fn allocations(case: &str, pending: bool) -> f64 {
    // what a thread makes once, as its source of random numbers, is not the cost of a call
    run_blocking(case, pending, FEW);
    let count = |calls| {
        allocation_counter::measure(|| run_blocking(case, pending, calls)).count_total as f64
    };
    (count(MANY) - count(FEW)) / (MANY - FEW) as f64
}

/// What one case costs above bare: instructions, clock reads, allocations.
fn above_bare(case: &str, pending: bool) -> [f64; 3] {
    let bare = match case.split_once(": ") {
        Some(("http", _)) => "http: bare",
        Some(("frames", _)) => "frames: bare",
        _ => "bare",
    };
    let (instructions, clocks) = per_call(case, pending);
    let (own, own_clocks) = per_call(bare, pending);
    let allocations = allocations(case, pending) - allocations(bare, pending);
    [instructions - own, clocks - own_clocks, allocations]
}

fn table(wanted: &str) {
    let mut over = Vec::new();
    let mut measured = HashMap::new();
    for pending in [false, true] {
        println!("\nabove the bare service, {}:\n", if pending { "pending once" } else { "ready" });
        println!("| {:<36} | instructions | limit | clock reads | allocations |", "");
        println!("|{:-<38}|-------------:|------:|------------:|------------:|", "");
        for case in CASES.iter().filter(|case| case.name.contains(wanted)) {
            let name = case.name;
            let [instructions, clocks, allocations] = above_bare(name, pending);
            let limit = case.instructions[usize::from(pending)];
            println!(
                "| {name:<36} | {instructions:>12.1} | {:>5} | {clocks:>11.2} | {allocations:>11.2} |",
                limit.map_or(String::new(), |limit| format!("{limit:.0}")),
            );
            let ours = limit.is_some();
            if limit.is_some_and(|limit| instructions > limit)
                || clocks > case.clock_reads[usize::from(pending)]
                || ours && allocations > 0.0
            {
                over.push(name);
            }
            measured.insert((name, pending), instructions);
        }
    }
    let after = |calls| measured.get(&(calls, false));
    if let (Some(few), Some(many)) =
        (after("breaker, after 750 calls"), after("breaker, after 6000 calls"))
    {
        println!("\n6000 calls in the window cost {:.3} of 750", many / few);
        assert!(many / few <= 1.05, "the cost grows with the calls in the window");
    }
    endpoints::print(wanted, |count| measured.get(&(count, false)).copied());
    for (name, ratio) in threads(wanted) {
        println!("two threads make {ratio:.2} times the calls of one: {name}");
    }
    assert!(over.is_empty(), "over a limit of instructions, clock reads or allocations: {over:?}");
}

/// How many more calls two threads make than one, each with its own clone.
fn threads(wanted: &str) -> Vec<(&'static str, f64)> {
    const CALLS: u64 = 2_000_000;
    #[expect(clippy::disallowed_methods, reason = "the machine's own time is measured")]
    fn run(name: &str, threads: u64) -> f64 {
        let start = std::time::Instant::now();
        shared_by(name, threads, CALLS);
        (threads * CALLS) as f64 / start.elapsed().as_secs_f64()
    }
    let names = ["breaker", "fallback + retry + breaker + timeout"];
    let names = names.into_iter().filter(|name| name.contains(wanted));
    // the best of several: other programs only take time away
    let best = |name, threads| (0..7).map(|_| run(name, threads)).fold(0.0, f64::max);
    names.map(|name| (name, best(name, 2) / best(name, 1))).collect()
}

/// Calls clones of one service from so many threads.
fn shared_by(name: &str, threads: u64, calls: u64) {
    fn each<S>(service: &S, threads: u64, calls: u64)
    where
        S: Service<u64, Response = u64, Error: fmt::Debug> + Clone + Send,
    {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let service = service.clone();
                scope.spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_time().build();
                    runtime.unwrap().block_on(drive(service, calls, |call| call));
                });
            }
        });
    }
    let inner = tower::service_fn(answer::<false, u64>);
    let breaker = CircuitBreakerLayer::plain();
    match name {
        "breaker" => each(&ServiceBuilder::new().layer(breaker).service(inner), threads, calls),
        _ => {
            let stack = ServiceBuilder::new()
                .layer(FallbackLayer::plain().value(|_| 0_u64))
                .layer(RetryLayer::plain())
                .layer(breaker)
                .timeout(std::time::Duration::from_secs(1));
            each(&stack.service(inner), threads, calls);
        }
    }
}

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", case, pending, calls] => {
            run_blocking(case, pending.parse().unwrap(), calls.parse().unwrap());
        }
        [wanted] => table(wanted),
        _ => table(""),
    }
}
