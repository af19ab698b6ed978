//! Requests, answers, errors and futures of all kinds.

use crate::kit::settings::Watch as _;
use crate::kit::{ms, sleep};
use futures_util::FutureExt;
use std::cell::Cell;
use std::marker::{PhantomData, PhantomPinned};
use std::rc::Rc;
use std::time::Duration;
use tower::{Layer, ServiceExt, service_fn};
use tower_failover::BoxError;
use tower_failover::hedge::HedgeLayer;
use tower_failover::replay::CopyWith;

fn sent<T: Send>(value: T) -> T {
    value
}

/// C11, C12: the answer is not `Sync`, the error is not `Clone`, the future is not `Unpin`
#[tokio::test(start_paused = true)]
async fn answers_that_are_not_sync_and_errors_that_are_not_clone_are_raced() {
    #[derive(Debug)]
    struct Unique;
    type Answer = (u32, PhantomData<Cell<()>>);

    let inner = service_fn(|request: u32| async move {
        let pinned = PhantomPinned;
        sleep(ms(100)).await;
        let _ = pinned;
        if request == 0 { Err(Unique) } else { Ok::<Answer, _>((request, PhantomData)) }
    });
    let service = HedgeLayer::plain().delay(ms(50)).no_budget().layer(inner);
    assert_eq!(sent(service.clone().oneshot(7)).await.unwrap().0, 7);
    let Unique = sent(service.oneshot(0)).await.unwrap_err();
}

/// C11, L8
#[tokio::test(start_paused = true)]
async fn what_stays_on_its_thread_is_raced_there() {
    tokio::task::LocalSet::new()
        .run_until(async {
            let calls = Rc::new(Cell::new(0));
            let counted = calls.clone();
            let inner = service_fn(move |request: Rc<str>| {
                let calls = counted.clone();
                calls.set(calls.get() + 1);
                let slow = calls.get() == 1;
                async move {
                    sleep(ms(if slow { 900 } else { 5 })).await;
                    if slow { Err(calls) } else { Ok(request) }
                }
            });
            let service = HedgeLayer::plain().delay(ms(50)).no_budget().layer(inner);
            let answer =
                tokio::task::spawn_local(service.oneshot(Rc::from("here")).map(|answer| {
                    assert_eq!(&*answer.unwrap(), "here");
                }));
            answer.await.unwrap();
            assert_eq!(calls.get(), 2);
        })
        .await;
}

/// I9
#[tokio::test(start_paused = true)]
async fn a_request_that_can_not_be_copied_is_sent_once() {
    struct Unique;
    let inner = service_fn(|_: Unique| async {
        sleep(ms(900)).await;
        Ok::<_, BoxError>(())
    });
    let layer = HedgeLayer::plain().kind(CopyWith::new(|_: &Unique| None)).delay(ms(50));
    layer.layer(inner).oneshot(Unique).await.unwrap();
    assert_eq!(layer.handle().snapshot().hedges, 0);
    assert_eq!(layer.handle().snapshot().not_replayable, 1);
}

/// L5
#[test]
fn layers_and_services_need_no_runtime_until_they_wait() {
    let inner =
        service_fn(
            |fail: bool| async move { if fail { Err(BoxError::from("down")) } else { Ok(()) } },
        );
    let layer = HedgeLayer::plain().max_hedges(3).delay(Duration::ZERO).no_budget();
    let service = layer.layer(inner);
    assert!(service.clone().oneshot(false).now_or_never().unwrap().is_ok());
    assert!(service.clone().oneshot(true).now_or_never().unwrap().is_err());
    assert_eq!(layer.handle().snapshot().hedges, 3);
    drop((service, layer));
}
