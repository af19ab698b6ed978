//! The limits of a backup: its time and its budget.

use super::*;
use crate::kit::settings::Watch as _;
use tower::Layer;
use tower_failover::fallback::{BackupTimeout, FallbackFailed, FallbackLayer};
use tower_failover::retry::RetryLayer;
use tower_failover::{Budget, Ratio, Refusal};

async fn broken(_: u64) -> Result<u64, BoxError> {
    Err("broken".into())
}

fn primary() -> Scripted<u64, u64> {
    Scripted::new(|_| Err("broken".into()))
}

/// A backup that takes this long.
fn slow(time: Duration) -> Scripted<u64, u64> {
    Scripted::new(|_| Ok(9)).taking(time)
}

fn timed_out(error: &BoxError) -> bool {
    error
        .downcast_ref::<FallbackFailed>()
        .is_some_and(|failed| failed.error().is::<BackupTimeout>())
}

#[tokio::test(start_paused = true)]
async fn a_backup_has_two_seconds_unless_told_otherwise() {
    let layer = FallbackLayer::plain().service(slow(ms(1_900)));
    assert_eq!(layer.layer(primary()).oneshot(1).await.unwrap(), 9);

    let watch = now();
    let layer = FallbackLayer::plain().service(slow(ms(2_100)));
    let handle = layer.handle();
    assert!(timed_out(&layer.layer(primary()).oneshot(1).await.unwrap_err()));
    assert!((ms(2_000)..ms(2_010)).contains(&watch.elapsed()));
    assert_eq!((handle.snapshot().failed, handle.snapshot().answered), (1, 0));
}

/// D16
#[tokio::test(start_paused = true)]
async fn an_answer_in_the_same_tick_as_its_limit_wins() {
    for _ in 0..20 {
        let layer = FallbackLayer::plain().service(slow(ms(250))).within(ms(250));
        assert_eq!(layer.layer(primary()).oneshot(1).await.unwrap(), 9);
    }
}

/// D4, D5
#[tokio::test(start_paused = true)]
async fn the_limit_may_be_zero_or_without_end() {
    let at_once = Scripted::doing(|_: u64, _| async { Ok::<_, BoxError>(9) });
    let layer = FallbackLayer::plain().service(at_once).within(Duration::ZERO);
    assert_eq!(layer.layer(primary()).oneshot(1).await.unwrap(), 9);
    let layer = FallbackLayer::plain().service(slow(ms(50))).within(Duration::ZERO);
    assert!(timed_out(&layer.layer(primary()).oneshot(1).await.unwrap_err()));
    let layer = FallbackLayer::plain().service(slow(ms(1_000_000))).within(Duration::MAX);
    assert_eq!(layer.layer(primary()).oneshot(1).await.unwrap(), 9);
}

#[tokio::test(start_paused = true)]
async fn the_limit_counts_from_the_backups_readiness_on_and_not_the_first_call() {
    let first = Scripted::doing(|request: u64, _| async move {
        sleep(ms(10_000)).await;
        broken(request).await
    });
    let semaphore = Arc::new(tokio::sync::Semaphore::new(1));
    let held = semaphore.clone().acquire_owned().await.unwrap();
    let backup = tower::limit::ConcurrencyLimit::with_semaphore(slow(ms(100)), semaphore);
    let service = FallbackLayer::plain().service(backup).within(ms(300)).layer(first);
    let watch = now();
    assert!(timed_out(&ask(&service, 1).await.unwrap_err()), "it never was ready");
    assert!((ms(10_300)..ms(10_310)).contains(&watch.elapsed()));

    let (answer, ()) = tokio::join!(ask(&service, 1), async {
        sleep(ms(10_150)).await;
        drop(held);
    });
    assert_eq!(answer.unwrap(), 9);
}

#[tokio::test(start_paused = true)]
async fn the_call_that_ran_out_of_time_is_dropped_before_its_error_is_told() {
    let gauge = Gauge::new();
    let held = gauge.clone();
    let backup = Scripted::doing(move |_: u64, _| {
        let held = held.clone();
        async move {
            let _held = held;
            std::future::pending::<Result<u64, BoxError>>().await
        }
    });
    let service = FallbackLayer::plain().service(backup).layer(primary());
    let mut call = std::pin::pin!(service.oneshot(1));
    assert!(timed_out(&call.as_mut().await.unwrap_err()));
    // the prototype in the layer, which is shared
    assert_eq!(gauge.held(), 1);
}

/// An account of exactly one, which grows by one a second.
fn one() -> Budget {
    Budget::new().ratio(Ratio::percent::<0>()).min_per_second(1)
}

#[tokio::test(start_paused = true)]
async fn a_backup_is_paid_for_and_left_alone_when_the_budget_is_used_up() {
    let budget = one();
    let layer = FallbackLayer::plain().service(slow(Duration::ZERO)).budget(budget.clone());
    let handle = layer.handle();
    let service = layer.layer(primary());
    assert_eq!(budget.balance(), 1);
    assert_eq!(ask(&service, 1).await.unwrap(), 9);
    assert_eq!(budget.balance(), 0);
    assert_eq!(ask(&service, 1).await.unwrap_err().to_string(), "broken", "as it came");
    let counts = handle.snapshot();
    assert_eq!((counts.failure, counts.answered, counts.withheld), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_backup_is_free_without_a_budget() {
    let service = FallbackLayer::plain().service(slow(Duration::ZERO)).layer(primary());
    for _ in 0..1_000 {
        assert_eq!(ask(&service, 1).await.unwrap(), 9);
    }
}

/// G4: an account of deposits alone, which are whole attempts
#[tokio::test(start_paused = true)]
async fn a_request_deposits_once_however_many_layers_see_it() {
    let budget = Budget::new().ratio(Ratio::percent::<100>()).min_per_second(0);
    let retry = RetryLayer::http().budget(budget.clone());
    let stack = |code| {
        let backup = retry.layer(always(200));
        let fallback = FallbackLayer::http().service(backup).budget(budget.clone());
        fallback.layer(retry.layer(always(code)))
    };
    for request in 1..=10 {
        ask(&stack(200), get()).await.unwrap();
        assert_eq!(budget.balance(), request);
    }
    // now the backup's layer sees them too, and its call is paid for
    for _ in 0..10 {
        assert_eq!(ask(&stack(501), get()).await.unwrap().status(), 200);
        assert_eq!(budget.balance(), 10);
    }
}

/// G18
#[tokio::test(start_paused = true)]
async fn a_backup_that_was_not_called_gives_back_what_was_paid() {
    let budget = one();
    let semaphore = Arc::new(tokio::sync::Semaphore::new(0));
    let backup = tower::limit::ConcurrencyLimit::with_semaphore(slow(ms(100)), semaphore);
    let service = FallbackLayer::plain().service(backup).budget(budget.clone()).layer(primary());
    let mut call = tokio_test::task::spawn(ask(&service, 1));
    tokio_test::assert_pending!(call.poll());
    assert_eq!(budget.balance(), 0);
    drop(call);
    assert_eq!(budget.balance(), 1, "dropped in its readiness");
    assert!(timed_out(&ask(&service, 1).await.unwrap_err()));
    assert_eq!(budget.balance(), 1, "timed out in its readiness");
}

#[tokio::test(start_paused = true)]
async fn a_local_refusal_sends_to_the_backup_for_nothing() {
    let budget = one();
    let refusing =
        Scripted::doing(|_: u64, _| async { Err::<u64, _>(BoxError::from(Refusal::new())) });
    let service =
        FallbackLayer::plain().service(slow(Duration::ZERO)).budget(budget.clone()).layer(refusing);
    for _ in 0..5 {
        assert_eq!(ask(&service, 1).await.unwrap(), 9);
    }
    assert_eq!(budget.balance(), 1);
}
