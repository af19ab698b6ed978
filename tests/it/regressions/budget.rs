//! An account holds what it says.

use super::*;
use crate::kit::settings::Watch as _;
use crate::kit::sleep;
use tower_failover::{Budget, Ratio};

/// G18: clients that leave in their delays bring no more back than one second's worth.
#[tokio::test(start_paused = true)]
async fn retries_given_back_together_are_no_more_than_the_bank() {
    let budget = Budget::new().ratio(Ratio::percent::<0>()).min_per_second(10);
    let layer = || RetryLayer::http().budget(budget.clone()).max_retries(1);
    let down = upstream(|_| status(503));

    let slow = layer().backoff(every(secs(1_000)));
    let mut waiting = Vec::new();
    for _ in 0..100 {
        sleep(ms(100)).await;
        let mut call = Box::pin(slow.layer(down.clone()).oneshot(request("GET")));
        assert!(call.as_mut().now_or_never().is_none());
        waiting.push(call);
    }
    assert_eq!(slow.handle().snapshot().out_of_budget, 0, "each of them holds one");
    drop(waiting);

    let fast = layer().backoff(every(Duration::ZERO));
    for _ in 0..200 {
        fast.layer(down.clone()).oneshot(request("GET")).await.unwrap();
    }
    assert_eq!(fast.handle().snapshot().retries, 10);
}

/// How many of a hundred requests a backup behind a retry layer answers, at half an attempt each.
async fn answered_by_half(shared: bool) -> u64 {
    let budget = Budget::new().ratio(Ratio::percent::<50>()).min_per_second(0).bank(secs(1_000));
    let own = if shared { budget.clone() } else { Budget::new() };
    let backup = RetryLayer::http().budget(own).layer(upstream(|_| status(200)));
    let layer = FallbackLayer::http().service(backup).budget(budget);
    let service = layer.layer(upstream(|_| status(503)));
    for _ in 0..100 {
        service.clone().oneshot(request("GET")).await.unwrap();
    }
    layer.handle().snapshot().answered
}

/// G4: also where only the backup reads the record.
#[tokio::test(start_paused = true)]
async fn a_request_pays_once_into_what_a_fallback_and_its_backup_share() {
    assert_eq!(answered_by_half(false).await, 50);
    assert_eq!(answered_by_half(true).await, 50);
}
