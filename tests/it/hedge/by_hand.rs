//! Calls that are polled by hand: what is held between two polls, and after the last one.

use super::{FAILS, NEVER, OK, Stage, account, by_number, staged};
use crate::kit::settings::Watch as _;
use crate::kit::{Gauge, ms, secs};
use futures_util::FutureExt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use tokio::time::advance;
use tokio_test::task::spawn;
use tower::{BoxError, Layer, Service, ServiceExt};
use tower_failover::Outcome;
use tower_failover::classify::ErrorsOnly;
use tower_failover::hedge::{Hedge, HedgeLayer};
use tower_failover::replay::Plain;

type Hedged = Hedge<Stage, ErrorsOnly, Plain>;

/// Hedges after 50 ms, without a bound.
fn hedged(stage: &Stage, hedges: u32) -> Hedged {
    let layer = HedgeLayer::plain().delay(ms(50)).max_hedges(hedges).no_budget();
    layer.layer(stage.clone())
}

/// A7
#[tokio::test(start_paused = true)]
async fn losers_are_dropped_in_the_poll_that_gives_the_answer() {
    for (first, hedge, after) in [(900, 5, 6), (70, 900, 21)] {
        let stage = staged([(first, OK), (hedge, OK)]);
        let mut call = spawn(hedged(&stage, 1).oneshot(0));
        assert!(call.poll().is_pending());
        advance(ms(51)).await;
        assert!(call.poll().is_pending());
        assert_eq!(stage.running(), 2);
        advance(ms(after)).await;
        assert!(call.poll().is_ready());
        assert_eq!(stage.running(), 0, "and the call is still held");
    }
}

/// A failed answer may hold a connection: it goes as soon as it is known that nobody gets it.
#[tokio::test(start_paused = true)]
async fn an_answer_that_did_not_win_is_not_kept_after_the_answer() {
    let (gauge, calls) = (Gauge::new(), Arc::new(AtomicUsize::new(0)));
    let own = gauge.clone();
    let inner = tower::service_fn(move |()| {
        let answer = (calls.fetch_add(1, SeqCst), own.clone());
        async { Ok::<_, BoxError>(answer) }
    });
    let judge = |result: Result<&(usize, Gauge), &BoxError>| match result {
        Ok((0, _)) => Outcome::Failure,
        _ => Outcome::Success,
    };
    let mut service = HedgeLayer::plain().delay(ms(50)).classify_fn(judge).no_budget().layer(inner);
    service.ready().now_or_never().expect("it is ready").unwrap();
    let mut call = spawn(service.call(()));
    let before = gauge.held();
    let Poll::Ready(Ok((number, answer))) = call.poll() else { panic!("no answer") };
    assert_eq!(number, 1);
    drop(answer);
    // an answer less, that of the first attempt
    assert_eq!(gauge.held(), before - 1);
}

/// A6
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_takes_all_its_attempts_along() {
    let stage = staged([]);
    let mut call = spawn(hedged(&stage, 2).oneshot(0));
    for _ in 0..4 {
        assert!(call.poll().is_pending());
        advance(ms(51)).await;
    }
    assert_eq!(stage.running(), 3);
    drop(call);
    assert_eq!(stage.running(), 0);
}

/// A1, A2, G18
#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_any_number_of_polls_leaves_nothing() {
    for parts in [[(120, OK), (20, FAILS)], [(60, FAILS), (40, OK)], [(0, FAILS), (9, FAILS)]] {
        let mut polls = 0;
        loop {
            let (stage, budget) = (staged(parts), account(9));
            let layer =
                HedgeLayer::plain().delay(ms(50)).classify_fn(by_number).budget(budget.clone());
            let mut call = spawn(layer.layer(stage.clone()).oneshot(0));
            let mut done = false;
            for _ in 0..polls {
                done = call.poll().is_ready();
                assert!(!done || stage.running() == 0);
                advance(ms(3)).await;
                if done {
                    break;
                }
            }
            drop(call);
            assert_eq!(stage.running(), 0, "{parts:?}, {polls} polls");
            let hedges = stage.made().len().saturating_sub(1) as u64;
            assert_eq!(budget.balance(), 9 - hedges, "{parts:?}, {polls} polls");
            assert_eq!(layer.handle().snapshot().hedges, hedges);
            if done {
                break;
            }
            polls += 1;
        }
        assert!(polls > 3);
    }
}

/// A15
#[tokio::test(start_paused = true)]
async fn polls_without_a_reason_change_nothing() {
    let stage = staged([(300, OK), (300, OK)]);
    let mut call = spawn(hedged(&stage, 1).oneshot(0));
    for at in 0..100 {
        for _ in 0..10 {
            assert!(call.poll().is_pending());
            assert!(!call.is_woken(), "it wakes itself");
        }
        assert_eq!(stage.made().len(), if at < 50 { 1 } else { 2 }, "after {at} ms");
        advance(ms(1)).await;
    }
    assert_eq!(stage.made(), [0, 50]);
}

/// A13
#[tokio::test(start_paused = true)]
async fn a_call_wakes_the_task_that_polled_it_last() {
    let stage = staged([(900, OK), (30, OK)]);
    let mut call = Box::pin(hedged(&stage, 1).oneshot(0));
    let mut before = spawn(std::future::pending::<()>());
    for step in [51, 30] {
        let polled = before.enter(|cx, _| call.as_mut().poll(cx));
        assert!(polled.is_pending());
        let mut after = spawn(std::future::pending::<()>());
        assert!(after.enter(|cx, _| call.as_mut().poll(cx)).is_pending());
        advance(ms(step)).await;
        assert!(after.is_woken() && !before.is_woken(), "at the step of {step} ms");
        before = after;
    }
    assert_eq!(call.await.unwrap(), 200);
}

/// A14
#[tokio::test(start_paused = true)]
async fn a_call_polled_after_its_end_answers_and_sends_nothing_more() {
    let races = [
        ([(900, OK), (5, OK)], 1),
        ([(0, FAILS), (5, OK)], 1),
        ([(60, FAILS), (30, FAILS)], 1),
        ([(900, OK), (5, NEVER)], 1),
    ];
    for (parts, hedges) in races {
        let stage = staged(parts);
        let mut service = hedged(&stage, hedges);
        service.ready().now_or_never().expect("it is ready").unwrap();
        let mut call = spawn(service.call(0));
        while call.poll().is_pending() {
            advance(ms(10)).await;
        }
        let made = stage.made().len();
        for _ in 0..100 {
            assert!(call.poll().is_pending(), "{parts:?}");
            advance(ms(10)).await;
        }
        assert_eq!((stage.made().len(), stage.running()), (made, 0), "{parts:?}");
    }
}

/// A14: also where the service inside takes it well
#[tokio::test(start_paused = true)]
async fn a_call_without_a_race_polled_after_its_end_sends_nothing() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let inner = tower::service_fn(move |()| {
        let mut answers = (counted.fetch_add(1, SeqCst) == 0).then_some(());
        std::future::poll_fn(move |_| match answers.take() {
            Some(()) => Poll::Ready(Ok::<_, BoxError>(())),
            None => Poll::Pending,
        })
    });
    let mut service = HedgeLayer::plain().delay(ms(50)).no_budget().layer(inner);
    service.ready().now_or_never().expect("it is ready").unwrap();
    let mut call = spawn(service.call(()));
    assert!(call.poll().is_ready());
    for _ in 0..100 {
        assert!(call.poll().is_pending());
        advance(ms(10)).await;
    }
    assert_eq!(calls.load(SeqCst), 1);
}

/// A16
#[test]
fn a_runtime_that_ends_in_the_midst_of_a_race_panics_nowhere() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let stage = runtime.block_on(async {
        let stage = staged([]);
        tokio::spawn(hedged(&stage, 1).oneshot(0));
        tokio::spawn(hedged(&stage, 3).oneshot(0));
        crate::kit::sleep(secs(1)).await;
        assert_eq!(stage.running(), 2 + 4);
        stage
    });
    drop(runtime);
    assert_eq!(stage.running(), 0);
}
