//! Many threads beside one.

use crate::services::{answer, drive};
use std::fmt;
use tower::{Service, ServiceBuilder};
use tower_failover::circuit_breaker::CircuitBreakerLayer;
use tower_failover::fallback::FallbackLayer;
use tower_failover::retry::RetryLayer;

/// How many more calls two threads make than one, each with its own clone.
pub(crate) fn threads(wanted: &str) -> Vec<(&'static str, f64)> {
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
