//! How many hedges there are, and what they never wait for.

use super::{FAILS, NEVER, OK, Stage, account, by_number, staged};
use crate::kit::settings::Watch as _;
use crate::kit::{Gate, Hostile, Scripted, ms, now, secs, sleep, timed};
use crate::retry::{answer, request, upstream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_failover::hedge::{HedgeHandle, HedgeLayer};
use tower_failover::retry::RetryLayer;
use tower_failover::{Budget, Ratio};

/// D4, I6
#[tokio::test(start_paused = true)]
async fn without_a_delay_all_are_sent_at_once_and_with_an_endless_one_none() {
    let parts = [(900, OK), (900, OK), (5, OK)];
    for (delay, made) in [(Duration::ZERO, vec![0, 0, 0]), (Duration::MAX, vec![0])] {
        let stage = staged(parts);
        let layer = HedgeLayer::plain().delay(delay).max_hedges(2).no_budget();
        layer.layer(stage.clone()).oneshot(0).await.unwrap();
        assert_eq!(stage.made(), made);
        assert_eq!(layer.handle().snapshot().delay, Some(delay));
    }
}

/// D4, I8: a failure is no matter of time
#[tokio::test(start_paused = true)]
async fn an_endless_delay_still_hedges_what_fails() {
    let stage = staged([(30, FAILS), (5, OK)]);
    let layer = HedgeLayer::plain().delay(Duration::MAX).classify_fn(by_number).no_budget();
    layer.layer(stage.clone()).oneshot(0).await.unwrap();
    assert_eq!(stage.made(), [0, 30]);
}

/// D5
#[tokio::test(start_paused = true)]
async fn no_hedges_are_one_attempt() {
    let stage = staged([(90, FAILS)]);
    let layer = HedgeLayer::plain().delay(ms(50)).max_hedges(0).no_budget();
    assert!(layer.layer(stage.clone()).oneshot(0).await.is_err());
    assert_eq!(stage.made(), [0]);
}

/// D4, D5, L3: others get their turn between, so that an answer can come
#[tokio::test(start_paused = true)]
async fn countless_hedges_without_a_delay_let_others_run() {
    let open = Arc::new(AtomicBool::new(false));
    let gate = open.clone();
    let inner = service_fn(move |_: ()| {
        let gate = gate.clone();
        std::future::poll_fn(move |cx| {
            cx.waker().wake_by_ref();
            if gate.load(SeqCst) {
                std::task::Poll::Ready(Ok::<_, BoxError>(()))
            } else {
                std::task::Poll::Pending
            }
        })
    });
    let layer = HedgeLayer::plain().delay(Duration::ZERO).max_hedges(u32::MAX).no_budget();
    let call = tokio::spawn(layer.layer(inner).oneshot(()));
    for _ in 0..2 {
        tokio::task::yield_now().await;
    }
    open.store(true, SeqCst);
    call.await.unwrap().unwrap();
    assert!((32..10_000).contains(&layer.handle().snapshot().hedges), "{:?}", layer.handle());
}

/// L3
#[tokio::test(start_paused = true)]
async fn ten_thousand_attempts_that_fail_at_once_need_no_stack() {
    let inner = Scripted::new(|call| if call <= 10_000 { Err("down".into()) } else { Ok(call) });
    let layer = HedgeLayer::plain().delay(ms(50)).max_hedges(u32::MAX).no_budget();
    let (answer, took) = timed(layer.layer(inner).oneshot(())).await;
    assert_eq!((answer.unwrap(), took), (10_001, Duration::ZERO));
}

/// So many in any second, in the order of time.
fn most_in_a_second(times: &[Duration]) -> usize {
    (0..times.len())
        .map(|from| times[from..].iter().take_while(|at| **at < times[from] + secs(1)).count())
        .max()
        .unwrap_or(0)
}

/// I4: with 200 requests a second and the 5 % of the layer, ten hedges a second and ten that were saved
#[tokio::test(start_paused = true)]
async fn when_all_answers_slow_tenfold_the_hedges_of_each_second_stay_within_the_budget() {
    let layer = HedgeLayer::plain();
    let began = now();
    let inner = service_fn(move |_: u32| async move {
        let slow = began.elapsed() > secs(10);
        sleep(ms(if slow { 100 } else { 10 })).await;
        Ok::<_, BoxError>(())
    });
    let handle = layer.handle();
    let service = layer.layer(inner);
    let (mut calls, mut hedges, mut seen) = (Vec::new(), Vec::new(), 0);
    for call in 0..200 * 30 {
        calls.push(tokio::spawn(service.clone().oneshot(call)));
        sleep(ms(5)).await;
        let sent = handle.snapshot().hedges;
        hedges.extend((seen..sent).map(|_| began.elapsed()));
        seen = sent;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let slow: Vec<_> = hedges.iter().copied().filter(|at| *at > secs(10)).collect();
    assert!(slow.len() > 10, "{} hedges", slow.len());
    assert!(most_in_a_second(&slow) <= 20, "{} in a second", most_in_a_second(&slow));
    let all = slow.len() as f64 / 20.0;
    assert!(all <= 10.0 + 0.5, "{all} a second");
    assert!(handle.snapshot().out_of_budget > 0);
}

/// A request pays once, where its record tells both layers so.
#[tokio::test(start_paused = true)]
async fn a_budget_shared_with_retry_is_one_budget() {
    let budget = Budget::new().ratio(Ratio::percent::<100>()).min_per_second(0);
    let inner = upstream(|_| Ok(answer(200, [])));
    let hedge = HedgeLayer::http().budget(budget.clone());
    let retry = RetryLayer::http().budget(budget.clone());
    retry.layer(hedge.layer(inner.clone())).oneshot(request("GET")).await.unwrap();
    assert_eq!(budget.balance(), 1, "retry outside");
    let budget = Budget::new().ratio(Ratio::percent::<100>()).min_per_second(0);
    let hedge = HedgeLayer::http().budget(budget.clone());
    let retry = RetryLayer::http().budget(budget.clone());
    hedge.layer(retry.layer(inner)).oneshot(request("GET")).await.unwrap();
    assert_eq!(budget.balance(), 1, "hedge outside");
}

#[tokio::test(start_paused = true)]
async fn what_hedges_take_is_missing_to_retries() {
    let budget = account(1);
    let inner = upstream(|_| Ok(answer(503, []))).taking(ms(60));
    let hedge = HedgeLayer::http().delay(ms(50)).budget(budget.clone());
    let retry = RetryLayer::http().budget(budget.clone());
    let service = retry.layer(hedge.layer(inner.clone()));
    service.oneshot(request("GET")).await.unwrap();
    assert_eq!((inner.count(), budget.balance()), (2, 0));
    assert_eq!(hedge.handle().snapshot().hedges, 1);
    assert_eq!(retry.handle().snapshot().out_of_budget, 1);
}

/// I4
#[tokio::test(start_paused = true)]
async fn an_empty_budget_means_no_hedge() {
    let stage = staged([(90, OK), (0, OK)]);
    let none = Budget::new().min_per_second(0).ratio(Ratio::percent::<0>());
    let layer = HedgeLayer::plain().delay(ms(50)).budget(none);
    layer.layer(stage.clone()).oneshot(0).await.unwrap();
    assert_eq!((stage.made(), layer.handle().snapshot().out_of_budget), (vec![0], 1));
}

fn limited(inner: Stage, permits: &Arc<Semaphore>) -> tower::limit::ConcurrencyLimit<Stage> {
    GlobalConcurrencyLimitLayer::with_semaphore(permits.clone()).layer(inner)
}

/// C10, G18: a hedge that is not sent costs nothing, and stands in no queue
#[tokio::test(start_paused = true)]
async fn a_hedge_never_waits_for_readiness_and_holds_no_place_in_a_queue() {
    let (stage, permits, budget) =
        (staged([(100, OK), (10, OK)]), Arc::new(Semaphore::new(1)), account(5));
    let layer = HedgeLayer::plain().delay(ms(50)).budget(budget.clone());
    let inner = limited(stage.clone(), &permits);
    let call = tokio::spawn(layer.layer(inner.clone()).oneshot(0));
    sleep(ms(60)).await;
    let other = tokio::spawn(inner.oneshot(0));
    sleep(ms(39)).await;
    assert_eq!(stage.made(), [0]);
    sleep(ms(2)).await;
    assert_eq!(
        stage.made(),
        [0, 100],
        "the other call had to wait for more than the first attempt"
    );
    call.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    assert_eq!((permits.available_permits(), budget.balance()), (1, 5));
    assert_eq!(layer.handle().snapshot().not_ready, 1);
}

/// C1, C2: clones of it are never ready at once
#[tokio::test(start_paused = true)]
async fn a_service_whose_clones_are_not_ready_is_not_hedged() {
    let stage = staged([(90, FAILS), (10, OK)]);
    let layer = HedgeLayer::plain().delay(ms(50)).classify_fn(by_number).no_budget();
    let service = layer.layer(Hostile::new(stage.clone()));
    assert!(service.oneshot(0).await.is_err());
    assert_eq!((stage.made(), layer.handle().snapshot().not_ready), (vec![0], 1));
    let prompt = layer.layer(Hostile::new(staged([(90, OK), (5, OK)])).prompt());
    assert_eq!(prompt.oneshot(0).await.unwrap(), 200);
}

/// C3, C5
#[tokio::test(start_paused = true)]
async fn a_service_that_breaks_in_the_midst_is_not_hedged() {
    let stage = staged([(90, OK)]);
    let layer = HedgeLayer::plain().delay(ms(50)).no_budget();
    let call = tokio::spawn(layer.layer(stage.clone()).oneshot(0));
    sleep(ms(10)).await;
    stage.gate(Gate::Broken("broken"));
    assert_eq!(call.await.unwrap().unwrap(), 200);
    assert_eq!((stage.made(), layer.handle().snapshot().not_ready), (vec![0], 1));
}

/// D14, D15
#[tokio::test(start_paused = true)]
async fn a_deadline_that_leaves_no_time_for_a_hedge_makes_none() {
    let run = |left: Duration| async move {
        let inner = upstream(|_| Ok(answer(200, []))).taking(ms(100));
        let layer = HedgeLayer::http().delay(ms(50)).no_budget();
        let mut request = request("GET");
        request.extensions_mut().insert(tower_failover::Deadline::within(left));
        layer.layer(inner.clone()).oneshot(request).await.unwrap();
        inner.count()
    };
    assert_eq!(run(ms(0)).await, 1);
    assert_eq!(run(ms(59)).await, 1);
    assert_eq!(run(ms(70)).await, 2);
}

/// M9
#[tokio::test(start_paused = true)]
async fn the_counts_add_up() {
    let seen = |handle: HedgeHandle| handle.snapshot();
    let layer =
        HedgeLayer::plain().delay(ms(50)).classify_fn(by_number).max_hedges(3).budget(account(2));
    let stage = staged([(900, OK), (900, NEVER), (900, NEVER)]);
    layer.layer(stage.clone()).oneshot(0).await.unwrap();
    let counts = seen(layer.handle());
    assert_eq!((counts.hedges, counts.won, counts.out_of_budget), (2, 0, 1));
    let layer = HedgeLayer::plain().delay(ms(50)).classify_fn(by_number).no_budget();
    let stage = staged([(60, FAILS), (30, OK)]);
    layer.layer(stage.clone()).oneshot(0).await.unwrap();
    assert_eq!((seen(layer.handle()).hedges, seen(layer.handle()).won), (1, 1));
}
