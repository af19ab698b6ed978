//! The delay that follows the latencies.

use crate::kit::settings::Watch as _;
use crate::kit::{ms, secs, sleep};
use std::time::Duration;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_failover::classify::ErrorsOnly;
use tower_failover::hedge::{HedgeLayer, Percentile};
use tower_failover::replay::Plain;
use tower_failover::{Outcome, Ratio};

/// What a request asks for: how long each attempt takes, and whether it goes well.
type Ask = (u64, bool);

fn service(
    layer: &HedgeLayer<ErrorsOnly, Plain>,
) -> impl Service<Ask, Response = (), Error = BoxError, Future: Send> + Clone + use<> {
    layer.layer(service_fn(|(takes, good): Ask| async move {
        if takes > 0 {
            sleep(ms(takes)).await;
        }
        if good { Ok(()) } else { Err("down".into()) }
    }))
}

/// So many calls after another.
async fn calls(layer: &HedgeLayer<ErrorsOnly, Plain>, count: usize, ask: Ask) {
    for _ in 0..count {
        let _ = service(layer).oneshot(ask).await;
    }
}

/// Lets the time pass after which the percentile is taken anew.
async fn look() {
    sleep(ms(250)).await;
}

fn delay(layer: &HedgeLayer<ErrorsOnly, Plain>) -> Option<Duration> {
    layer.handle().snapshot().delay
}

fn about(expected: Duration) -> impl Fn(Option<Duration>) -> bool {
    move |delay| delay.is_some_and(|delay| delay > expected * 7 / 8 && delay <= expected * 9 / 8)
}

/// I5
#[tokio::test(start_paused = true)]
async fn there_is_no_hedge_before_a_hundred_answers() {
    let layer = HedgeLayer::plain().no_budget();
    calls(&layer, 99, (20, true)).await;
    look().await;
    assert_eq!(delay(&layer), None);
    calls(&layer, 1, (900, true)).await;
    assert_eq!(layer.handle().snapshot().hedges, 0, "of ninety-nine nothing is known");
    look().await;
    assert!(about(ms(20))(delay(&layer)), "{:?}", delay(&layer));
    calls(&layer, 1, (900, true)).await;
    assert_eq!(layer.handle().snapshot().hedges, 1);
}

#[tokio::test(start_paused = true)]
async fn the_delay_is_the_time_that_one_in_twenty_exceeds() {
    let layer = HedgeLayer::plain().max_hedges(0);
    let service = service(&layer);
    let mut calls = Vec::new();
    for takes in 1..=1_000 {
        calls.push(tokio::spawn(service.clone().oneshot((takes, true))));
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    look().await;
    // the floor and the ceiling are out of the way
    assert!(about(ms(950))(delay(&layer)), "{:?}", delay(&layer));
}

#[tokio::test(start_paused = true)]
async fn the_delay_has_a_floor_and_a_ceiling() {
    for (takes, expected) in [(1, ms(5)), (3_000, secs(1))] {
        let layer = HedgeLayer::plain().max_hedges(0);
        let service = service(&layer);
        let calls: Vec<_> =
            (0..100).map(|_| tokio::spawn(service.clone().oneshot((takes, true)))).collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        look().await;
        assert_eq!(delay(&layer), Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn the_share_the_bounds_and_the_number_can_be_set() {
    let percentile = Percentile::new(Ratio::percent::<50>()).floor(ms(1)).ceiling(ms(8));
    let layer = HedgeLayer::plain().delay(percentile.min_samples(4)).max_hedges(0);
    calls(&layer, 3, (2, true)).await;
    look().await;
    assert_eq!(delay(&layer), None);
    calls(&layer, 1, (4, true)).await;
    look().await;
    assert!(about(ms(2))(delay(&layer)), "{:?}", delay(&layer));
    calls(&layer, 40, (20, true)).await;
    look().await;
    assert_eq!(delay(&layer), Some(ms(8)));
    // a floor above the ceiling is what holds
    let both = Percentile::default().floor(ms(30)).ceiling(ms(8)).min_samples(0);
    let layer = HedgeLayer::plain().delay(both).max_hedges(0);
    look().await;
    assert_eq!(delay(&layer), None, "zero answers tell nothing");
    calls(&layer, 1, (2, true)).await;
    look().await;
    assert_eq!(delay(&layer), Some(ms(30)));
}

/// I5
#[tokio::test(start_paused = true)]
async fn failures_and_answers_that_were_there_at_once_are_no_samples() {
    let layer = HedgeLayer::plain().max_hedges(0);
    calls(&layer, 200, (0, true)).await;
    calls(&layer, 200, (20, false)).await;
    look().await;
    assert_eq!(delay(&layer), None);
}

#[tokio::test(start_paused = true)]
async fn neutral_answers_are_no_samples() {
    let judge = |_: Result<&(), &BoxError>| Outcome::Neutral;
    let layer = HedgeLayer::plain().classify_fn(judge).max_hedges(0);
    let service = layer.layer(service_fn(|_: ()| async {
        sleep(ms(2)).await;
        Ok::<_, BoxError>(())
    }));
    for _ in 0..200 {
        service.clone().oneshot(()).await.unwrap();
    }
    look().await;
    assert_eq!(layer.handle().snapshot().delay, None);
}

/// I5: half of the attempts take long; a hedge makes good for them, and the delay stays
#[tokio::test(start_paused = true)]
async fn what_a_hedge_has_made_faster_does_not_shorten_the_delay() {
    let layer = HedgeLayer::plain().no_budget();
    calls(&layer, 200, (40, true)).await;
    look().await;
    let before = delay(&layer);
    let inner = {
        let number = std::sync::atomic::AtomicUsize::new(0);
        let number = std::sync::Arc::new(number);
        service_fn(move |_: ()| {
            let number = number.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move {
                sleep(ms(if number % 2 == 0 { 5_000 } else { 10 })).await;
                Ok::<_, BoxError>(())
            }
        })
    };
    let service = layer.layer(inner);
    for _ in 0..300 {
        service.clone().oneshot(()).await.unwrap();
    }
    look().await;
    assert_eq!(layer.handle().snapshot().won, 300);
    assert!(delay(&layer) >= before, "{:?} after {before:?}", delay(&layer));
}

/// D12
#[tokio::test(start_paused = true)]
async fn what_is_half_a_minute_old_is_forgotten() {
    let layer = HedgeLayer::plain().max_hedges(0);
    calls(&layer, 100, (20, true)).await;
    sleep(secs(20)).await;
    assert!(delay(&layer).is_some());
    sleep(secs(11)).await;
    assert_eq!(delay(&layer), None);
    sleep(secs(10 * 365 * 86_400)).await;
    calls(&layer, 100, (10, true)).await;
    look().await;
    assert!(about(ms(10))(delay(&layer)), "{:?}", delay(&layer));
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_share_what_they_have_seen() {
    let layer = HedgeLayer::plain().max_hedges(0);
    let other = layer.clone();
    calls(&layer, 50, (20, true)).await;
    calls(&other, 50, (20, true)).await;
    look().await;
    assert!(delay(&layer).is_some());
    assert_eq!(delay(&layer), delay(&other));
    // a delay that is set begins anew
    assert_eq!(delay(&layer.delay(Percentile::default())), None);
}
