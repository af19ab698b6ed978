//! The tower contract: whom a retry calls, and what it does while that is not ready.

use super::{account, answer, down, every, request, upstream};
use crate::kit::settings::Watch as _;
use crate::kit::{Gate, Hostile, Scripted, ms, secs, timed};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_failover::BoxError;
use tower_failover::classify::ErrorsOnly;
use tower_failover::replay::Plain;
use tower_failover::retry::RetryLayer;

fn at_once() -> RetryLayer<ErrorsOnly, Plain> {
    RetryLayer::plain().backoff(every(Duration::ZERO))
}

/// C1, C2
#[tokio::test(start_paused = true)]
async fn no_attempt_calls_a_mock_unready() {
    let (mock, mut server) = tower_test::mock::pair::<&str, &str>();
    server.allow(1);
    let mut call = tokio_test::task::spawn(at_once().layer(mock).oneshot("question"));
    for attempt in 1..=3 {
        assert!(call.poll().is_pending());
        let (request, respond) = server.next_request().await.unwrap();
        assert_eq!(request, "question");
        if attempt == 3 {
            respond.send_response("answer");
            break;
        }
        respond.send_error("down");
        assert!(call.poll().is_pending());
        tokio_test::assert_pending!(tokio_test::task::spawn(server.next_request()).poll());
        server.allow(1);
    }
    assert_eq!(call.await.unwrap(), "answer");
}

/// C1, C2, C6
#[tokio::test(start_paused = true)]
async fn clones_that_panic_when_called_unready_are_not_called() {
    let inner = Scripted::new(|_| down::<()>());
    let mut service = at_once().no_budget().layer(Hostile::new(inner.clone()));
    for request in 0..3 {
        assert!(service.ready().await.unwrap().call(request).await.is_err());
        assert!(service.clone().oneshot(request).await.is_err());
    }
    assert_eq!(inner.count(), 18);
}

/// C1, C2, C6
#[tokio::test(start_paused = true)]
async fn http_attempts_call_only_what_is_ready() {
    let inner = upstream(|_| Ok(answer(503, [])));
    let layer = RetryLayer::http();
    let service = layer.layer(layer.layer(Hostile::new(inner.clone())));
    service.oneshot(request("GET")).await.unwrap();
    assert_eq!(inner.count(), 3);
}

/// C2, C7, G14: an attempt is dropped, with what it holds, before the next one starts
#[tokio::test(start_paused = true)]
async fn the_only_permit_of_a_limit_is_enough_for_three_attempts() {
    let inner = Scripted::new(|_| down::<()>()).taking(ms(10));
    let builder = ServiceBuilder::new().layer(at_once()).concurrency_limit(1);
    let mut service = builder.service(Hostile::new(inner.clone()));
    let calls = async {
        for request in 0..3 {
            assert!(service.ready().await.unwrap().call(request).await.is_err());
        }
    };
    tokio::time::timeout(secs(60), calls).await.expect("it does not wait for itself");
    assert_eq!(inner.count(), 9);
}

/// C3
#[tokio::test(start_paused = true)]
async fn many_polls_for_readiness_make_one_reservation() {
    let permits = Arc::new(Semaphore::new(4));
    let limit = GlobalConcurrencyLimitLayer::with_semaphore(permits.clone());
    let inner = Scripted::new(Ok::<_, BoxError>);
    let mut service = at_once().layer(limit.layer(inner));
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..9 {
        assert!(Service::<u32>::poll_ready(&mut service, &mut cx).is_ready());
    }
    assert_eq!(permits.available_permits(), 3);
    let idle = service.clone();
    assert_eq!(permits.available_permits(), 3, "a clone reserves nothing");
    drop(service);
    assert_eq!(permits.available_permits(), 4, "and what was reserved goes back");
    drop(idle);
}

/// C9
#[tokio::test(start_paused = true)]
async fn limits_hold_over_all_clones() {
    let answer = |fail: bool, _| std::future::ready(if fail { down() } else { Ok(()) });
    let inner = Scripted::doing(answer).taking(ms(5));
    let layer = RetryLayer::plain().no_budget().max_retries(3);
    let service = ServiceBuilder::new().layer(layer).concurrency_limit(4).service(inner.clone());
    let calls = (0..64).map(|call| tokio::spawn(service.clone().oneshot(call % 2 == 0)));
    for call in calls.collect::<Vec<_>>() {
        let _ = call.await.unwrap();
    }
    assert_eq!((inner.running(), inner.most()), (0, 4));
}

/// C10
#[tokio::test(start_paused = true)]
async fn a_request_in_its_delay_holds_nobody_up() {
    let inner = Scripted::new(|call| if call == 1 { down() } else { Ok(()) });
    let layer = RetryLayer::plain().backoff(every(secs(9)));
    let service = ServiceBuilder::new().layer(layer).concurrency_limit(1).service(inner.clone());
    let mut waiting = tokio_test::task::spawn(service.clone().oneshot(1));
    assert!(waiting.poll().is_pending());
    let (answer, took) = timed(service.oneshot(2)).await;
    assert!(answer.is_ok());
    assert_eq!((inner.notes(), took), (vec![1, 2], Duration::ZERO));
    waiting.await.unwrap();
}

/// Answers with an error, until it was polled ready more often than twice.
fn healing(ready: fn(usize) -> Gate) -> Scripted<u32, &'static str> {
    let polls = Arc::<AtomicUsize>::default();
    let polled = polls.clone();
    let answers = move |_| if polls.load(Relaxed) > 2 { Ok("healed") } else { down() };
    Scripted::new(answers).gates(move |poll| {
        polled.store(poll, Relaxed);
        ready(poll)
    })
}

/// C5, G18
#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_is_judged_like_that_of_an_attempt() {
    let inner = healing(|poll| match poll {
        2 => Gate::Broken("not now"),
        _ => Gate::Open,
    });
    let (budget, layer) = (account(1), at_once());
    let layer = layer.budget(budget.clone());
    assert_eq!(layer.layer(inner).oneshot(1).await.unwrap(), "healed");
    assert_eq!(
        budget.balance(),
        0,
        "the retry that did not start gave back what the next one took"
    );
    assert_eq!(layer.handle().snapshot().retries, 1);
}

/// C5, G18
#[tokio::test(start_paused = true)]
async fn errors_of_readiness_use_up_the_retries() {
    let inner = healing(|poll| match poll {
        1 => Gate::Open,
        _ => Gate::Broken("never again"),
    });
    let budget = account(5);
    let layer = at_once().max_retries(7).budget(budget.clone());
    let error = layer.layer(inner.clone()).oneshot(1).await.unwrap_err();
    assert_eq!(error.to_string(), "never again");
    assert_eq!((inner.polls(), budget.balance()), (8, 5));
    assert_eq!(layer.handle().snapshot().out_of_retries, 1);
}

/// C5: the first readiness is the caller's own
#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_before_the_call_is_passed_on() {
    let inner = healing(|_| Gate::Broken("closed"));
    let mut service = at_once().layer(inner.clone());
    assert_eq!(service.ready().await.err().unwrap().to_string(), "closed");
    assert_eq!(inner.polls(), 1);
}

/// C7: the retry is committed; a timeout outside is what ends it
#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_readiness_until_a_timeout_ends_it() {
    let inner = healing(|poll| if poll == 1 { Gate::Open } else { Gate::Shut });
    let budget = account(5);
    let layer = at_once().deadline(secs(1)).budget(budget.clone());
    let service = ServiceBuilder::new().timeout(secs(3)).layer(layer).service(inner.clone());
    let (answer, took) = timed(service.oneshot(1)).await;
    assert!(answer.unwrap_err().is::<tower::timeout::error::Elapsed>());
    assert_eq!((took, budget.balance()), (secs(3), 5));
}

/// C4, A15
#[tokio::test(start_paused = true)]
async fn a_saturated_service_is_not_polled_in_circles() {
    let inner = healing(|poll| if poll == 1 { Gate::Open } else { Gate::Shut });
    let mut call = tokio_test::task::spawn(at_once().layer(inner.clone()).oneshot(1));
    for polls in 2..1_000 {
        assert!(call.poll().is_pending());
        assert!(!call.is_woken(), "it wakes itself");
        assert_eq!(inner.polls(), polls);
    }
}

/// C11
#[tokio::test(start_paused = true)]
async fn services_need_be_neither_send_nor_sync() {
    let calls = Rc::new(Cell::new(0));
    let inner = tower::service_fn(|_: u32| async {
        calls.set(calls.get() + 1);
        if calls.get() < 3 { Err(Rc::new("an error that is not `Send`")) } else { Ok(Rc::new(1)) }
    });
    assert_eq!(*at_once().layer(inner).oneshot(1).await.unwrap(), 1);
}

/// C11
#[tokio::test(start_paused = true)]
async fn a_boxed_service_can_be_retried() {
    let inner = Scripted::list([down(), Ok(())]);
    let boxed = tower::util::BoxCloneService::new(inner.clone());
    at_once().layer(boxed).oneshot(1).await.unwrap();
    assert_eq!(inner.count(), 2);
}
