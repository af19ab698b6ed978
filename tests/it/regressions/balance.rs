//! What a balancer made of its endpoints.

use crate::kit::{ms, now, secs, sleep};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use tower::{Layer, ServiceExt, service_fn};
use tower_failover::BoxError;
use tower_failover::balance::{BalanceLayer, Endpoint, EndpointState, Endpoints};

/// J8: a server that was stopped answers what came while it was, late and well. That was taken for its
/// latency, and so it got nothing for many seconds more.
#[tokio::test(start_paused = true)]
async fn a_trial_that_is_answered_late_does_not_make_its_endpoint_slow() {
    let calls = [0, 1].map(|_| Arc::<AtomicU32>::default());
    let endpoint = |index: usize| {
        let calls = calls[index].clone();
        let service = service_fn(move |()| {
            let call = calls.fetch_add(1, SeqCst) + 1;
            async move {
                // the first one fails at once, after some calls, and then answers its trial late
                let (time, fails) = match (index, call) {
                    (0, 6..9) => (ms(1), true),
                    (0, 9) => (ms(450), false),
                    _ => (ms(10), false),
                };
                sleep(time).await;
                if fails { Err(BoxError::from("broken")) } else { Ok(()) }
            }
        });
        Endpoint::new(index.to_string(), service)
    };
    let set: Endpoints<_> = [endpoint(0), endpoint(1)].into_iter().collect();
    let balance = BalanceLayer::plain().seed(1).layer(set.clone());
    let call = async || {
        let _ = balance.clone().oneshot(()).await;
    };
    while calls[0].load(SeqCst) < 9 || set.snapshot()[0].state == EndpointState::Trial {
        call().await;
    }
    let returned = now();
    while returned.elapsed() < secs(8) {
        call().await;
    }
    let before = calls.each_ref().map(|calls| calls.load(SeqCst));
    for _ in 0..100 {
        call().await;
    }
    let share = calls[0].load(SeqCst) - before[0];
    assert!(share >= 25, "{share} of 100 calls");
}
