//! What retries cost a budget.

use super::{Upstream, account, answer, down, every, request, upstream};
use crate::kit::settings::Watch as _;
use crate::kit::{Scripted, ms, now, secs, sleep};
use std::collections::HashSet;
use std::time::Duration;
use tower::{Layer, Service, ServiceExt};
use tower_failover::retry::RetryLayer;
use tower_failover::{Budget, Outcome, Ratio};

/// Asserts that no span `t` sees more calls at these times than `(t + 1 s) × per_second`.
fn bounded(times: &[Duration], per_second: u128) {
    for (from, start) in times.iter().enumerate() {
        for (to, end) in times.iter().enumerate().skip(from) {
            let (calls, span) = (to - from + 1, *end - *start);
            // in thousand millionths of a call, which are whole numbers
            let allowed = (span + secs(1)).as_nanos() * per_second;
            assert!(calls as u128 * 1_000_000_000 <= allowed, "{calls} calls in {span:?}");
        }
    }
}

/// A total outage of 20 s behind two layers that share a budget, after some healthy time; returns the
/// times of extra calls.
async fn outage(healthy: Duration, requests_per_second: u32, budget: Budget) -> Vec<Duration> {
    let until = now() + healthy;
    let inner = upstream(move |_| Ok(answer(if now() < until { 200 } else { 503 }, [])));
    let inner = inner.taking(ms(5));
    let layer = RetryLayer::http().max_retries(2).budget(budget).backoff(every(Duration::ZERO));
    let service = layer.layer(layer.layer(inner.clone()));
    let mut calls = Vec::new();
    for id in 0.. {
        if now() >= until + secs(20) {
            break;
        }
        let mut request = request("GET");
        *request.uri_mut() = format!("/{id}").parse().unwrap();
        calls.push(tokio::spawn(service.clone().oneshot(request)));
        sleep(secs(1) / requests_per_second).await;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    extra(&inner)
}

fn extra(inner: &Upstream) -> Vec<Duration> {
    let mut seen = HashSet::new();
    let calls = inner.times().into_iter().zip(inner.notes());
    calls.filter(|(_, head)| !seen.insert(head.uri().clone())).map(|(at, _)| at).collect()
}

/// G2, G4
#[tokio::test(start_paused = true)]
async fn an_outage_costs_a_fifth_more_in_every_span() {
    for healthy in [secs(0), secs(5)] {
        let times = outage(healthy, 200, Budget::new()).await;
        bounded(&times, 40);
        assert!(times.len() >= 800, "only {}: the budget is there to be used", times.len());
    }
}

/// G3, G4
#[tokio::test(start_paused = true)]
async fn a_quiet_service_has_its_minimum() {
    let times = outage(secs(0), 20, Budget::new()).await;
    bounded(&times, 10);
    assert!(times.len() >= 200, "only {}", times.len());
}

#[tokio::test(start_paused = true)]
async fn nested_layers_that_share_a_budget_deposit_once() {
    let budget = Budget::new().ratio(Ratio::percent::<100>()).min_per_second(0);
    let layer = RetryLayer::http().budget(budget.clone());
    let inner = upstream(|_| Ok(answer(200, [])));
    let service = layer.layer(layer.layer(layer.layer(inner)));
    for _ in 0..10 {
        service.clone().oneshot(request("GET")).await.unwrap();
    }
    assert_eq!(budget.balance(), 10);
}

/// G4
#[tokio::test(start_paused = true)]
async fn retries_deposit_nothing() {
    let budget = Budget::new().ratio(Ratio::percent::<100>()).min_per_second(0);
    let layer = RetryLayer::plain().max_retries(9).budget(budget.clone());
    let inner = Scripted::new(|_| down::<()>());
    let layer = layer.backoff(every(Duration::ZERO));
    assert!(layer.layer(inner.clone()).oneshot(1).await.is_err());
    assert_eq!(inner.count(), 2, "one deposit is one retry");
    assert_eq!(budget.balance(), 0);
    assert_eq!(layer.handle().snapshot().out_of_budget, 1);
}

/// G5
#[tokio::test(start_paused = true)]
async fn sixty_four_tasks_on_a_hundred_make_a_hundred_retries() {
    let budget = Budget::new().min_per_second(100).ratio(Ratio::percent::<0>());
    assert_eq!(budget.balance(), 100);
    // each task lets the others in before it fails
    let inner = tower::service_fn(|_: u32| async {
        tokio::task::yield_now().await;
        down::<()>()
    });
    let layer = RetryLayer::plain().budget(budget.clone()).backoff(every(Duration::ZERO));
    let service = layer.layer(inner);
    let tasks = (0..64).map(|task| tokio::spawn(service.clone().oneshot(task)));
    for task in tasks.collect::<Vec<_>>() {
        assert!(task.await.unwrap().is_err());
    }
    let counts = layer.handle().snapshot();
    assert_eq!((counts.retries, budget.balance()), (100, 0));
    assert_eq!(counts.out_of_retries + counts.out_of_budget, 64);
}

#[tokio::test(start_paused = true)]
async fn the_services_of_one_layer_share_its_budget() {
    let layer = RetryLayer::plain().budget(account(3)).backoff(every(Duration::ZERO));
    let inner = Scripted::new(|_| down::<()>());
    let (one, other) = (layer.layer(inner.clone()), layer.clone().layer(inner.clone()));
    assert!(one.oneshot(1).await.is_err());
    assert!(other.oneshot(2).await.is_err());
    assert_eq!(inner.notes(), [1, 1, 1, 2, 2]);
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.retries, snapshot.out_of_retries, snapshot.out_of_budget), (3, 1, 1));
}

/// G18: what was withdrawn goes back where the retry is given up after all
#[tokio::test(start_paused = true)]
async fn a_retry_that_is_given_up_costs_nothing() {
    let told = Outcome::Throttled { retry_after: Some(secs(61)) };
    for (deadline, outcome) in [(ms(1), Outcome::Failure), (secs(99), told)] {
        let budget = account(3);
        let layer = RetryLayer::plain().deadline(deadline).budget(budget.clone()).classify_fn(
            move |result: Result<&(), &tower_failover::BoxError>| match result {
                Ok(()) => Outcome::Success,
                Err(_) => outcome,
            },
        );
        let inner = Scripted::new(|_| down::<()>());
        assert!(layer.layer(inner.clone()).oneshot(1).await.is_err());
        assert_eq!((inner.count(), budget.balance()), (1, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_every_request_gets_its_retries() {
    let inner = Scripted::new(|_| down::<()>());
    let layer = RetryLayer::plain().no_budget().backoff(every(Duration::ZERO));
    let mut service = layer.layer(inner.clone());
    for request in 0..1_000 {
        assert!(service.ready().await.unwrap().call(request).await.is_err());
    }
    assert_eq!(inner.count(), 3_000);
    assert_eq!(layer.handle().snapshot().retries, 2_000);
}

/// D5, E6
#[tokio::test(start_paused = true)]
async fn a_budget_of_nothing_allows_nothing() {
    let budget = Budget::new().ratio(Ratio::percent::<0>()).min_per_second(0);
    for budget in [budget.clone(), budget.bank(Duration::MAX)] {
        let inner = Scripted::new(|_| down::<()>());
        let layer = RetryLayer::plain().budget(budget);
        assert!(layer.layer(inner.clone()).oneshot(1).await.is_err());
        assert_eq!((inner.count(), layer.handle().snapshot().out_of_budget), (1, 1));
    }
}

/// M9
#[tokio::test(start_paused = true)]
async fn the_counts_of_a_handle_add_up() {
    let inner = Scripted::new(|call| if call % 3 == 0 { Ok(()) } else { down() });
    let layer = RetryLayer::plain().max_retries(1).no_budget().backoff(every(Duration::ZERO));
    let handle = layer.handle();
    let mut service = layer.layer(inner.clone());
    let (mut good, mut bad) = (0, 0);
    for request in 0..100 {
        match service.ready().await.unwrap().call(request).await {
            Ok(()) => good += 1,
            Err(_) => bad += 1,
        }
    }
    assert_eq!(good + bad, 100);
    let snapshot = handle.snapshot();
    assert_eq!(inner.count() as u64, 100 + snapshot.retries);
    assert_eq!(bad, snapshot.out_of_retries);
    assert_eq!(format!("{handle:?}"), format!("{snapshot:?}"));
}
