//! The cases over sets of endpoints: ours, and tower's `p2c`, which needs no more than this but a `Buffer`
//! where it is to be cloned.

use crate::services::{drive, inner};
use std::fmt;
use std::hint::black_box;
use std::time::Duration;
use tower::balance::p2c;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PeakEwma};
use tower::{Layer, Service};
use tower_failover::balance::{Balance, BalanceLayer, Endpoint, Endpoints};
use tower_failover::classify::ErrorsOnly;
use tower_failover::replay::Plain;
use tower_failover::track::TrackLayer;

fn set<S>(count: usize, service: impl Fn() -> S) -> Endpoints<S> {
    (0..count).map(|index| Endpoint::new(index.to_string(), service())).collect()
}

pub(super) fn balance<S>(count: usize, service: impl Fn() -> S) -> Balance<S, ErrorsOnly, Plain> {
    BalanceLayer::plain().seed(1).layer(set(count, service))
}

fn count(case: &str) -> usize {
    case.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a case ends with a number")
}

/// Drives a case whose name begins with `balance` or `tower p2c`, and ends with a number of endpoints.
pub(super) async fn run<const PENDING: bool>(case: &str, calls: u64) {
    match case {
        "tracked" => {
            let service = TrackLayer::plain().layer(inner::<PENDING, u64>());
            return drive(service, calls, |call| call).await;
        }
        "two looks at the clock" => {
            return drive(tower::service_fn(looks_twice::<PENDING>), calls, |call| call).await;
        }
        _ => {}
    }
    let count = count(case);
    if case.starts_with("balance") {
        drive(balance(count, inner::<PENDING, u64>), calls, |call| call).await;
    } else {
        drive(p2c::<PENDING>(count), calls, |call| call).await;
    }
}

fn p2c<const PENDING: bool>(count: usize) -> impl Service<u64, Response = u64, Error: fmt::Debug> {
    let load = |_| {
        let (rtt, decay) = (Duration::from_millis(30), Duration::from_secs(10).as_nanos() as f64);
        PeakEwma::new(inner::<PENDING, u64>(), rtt, decay, CompleteOnResponse::default())
    };
    p2c::Balance::new(ServiceList::new::<u64>((0..count).map(load).collect::<Vec<_>>()))
}

/// Where the instructions of a call go, what a larger set costs, and what an endpoint takes of memory.
pub(super) fn print(wanted: &str, instructions: impl Fn(&'static str) -> Option<f64>) {
    if !["", "balance"].contains(&wanted) {
        return;
    }
    let cost = |name| instructions(name).unwrap_or(f64::NAN);
    let larger = |name| cost(name) / cost("balance, 10");
    println!(
        "\na call costs, of one over 10 endpoints: {:.3} over 1000, {:.3} over 100000",
        larger("balance, 1000"),
        larger("balance, 100000"),
    );
    assert!(larger("balance, 100000") <= 2.0, "the cost grows with a large set");
    assert!(cost("balance, 1000") <= cost("balance, 10") * 1.1, "the cost grows with the set");
    assert!(cost("balance, 2") <= cost("balance, 10"), "a small set costs more");
    // a tracked service records as a balancer does, and picks nothing; each of both reads the clock twice
    if let (Some(tracked), Some(clock)) =
        (instructions("tracked"), instructions("two looks at the clock"))
    {
        let all = cost("balance, 10");
        println!(
            "of {all:.0}: picking {:.0}, recording {:.0}, the clock {clock:.0}",
            all - tracked,
            tracked - clock,
        );
    }
    for count in [10, 1_000, 100_000] {
        let mut kept = None;
        let info = allocation_counter::measure(|| kept = Some(set(count, inner::<false, u64>)));
        println!("{:.0} bytes an endpoint, of {count}", info.bytes_current as f64 / count as f64);
        assert!(
            count < 1_000 || info.bytes_current <= 160 * count as i64,
            "an endpoint takes too much"
        );
        drop(kept);
    }
    // the best of several: other programs only take time away
    let best = |workers| (0..7).map(|_| calls_a_second(workers)).fold(0.0, f64::max);
    let ratio = best(2) / best(1);
    println!("64 tasks on two workers make {ratio:.2} times the calls of one: balance, 10");
}

/// How many calls 64 tasks make, each with its own clone, whose endpoints are pending once.
fn calls_a_second(workers: usize) -> f64 {
    const TASKS: u64 = 64;
    const CALLS: u64 = 20_000;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(workers).enable_time().build().unwrap();
    let balance = balance(10, || tower::service_fn(crate::services::answer::<true, u64>));
    #[expect(clippy::disallowed_methods, reason = "the machine's own time is measured")]
    let start = std::time::Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> =
            (0..TASKS).map(|_| tokio::spawn(drive(balance.clone(), CALLS, |call| call))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    (TASKS * CALLS) as f64 / start.elapsed().as_secs_f64()
}

/// Does nothing but look at the clock, when it is called and when it answers.
async fn looks_twice<const PENDING: bool>(request: u64) -> Result<u64, crate::services::Fail> {
    #[expect(clippy::disallowed_methods, reason = "that is what is measured")]
    let look = tokio::time::Instant::now;
    black_box(look());
    let answer = crate::services::answer::<PENDING, u64>(request).await;
    black_box(look());
    answer
}
