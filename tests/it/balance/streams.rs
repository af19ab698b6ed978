//! Answers that go on after their heads.

use super::world::*;
use crate::kit::{Dice, ms, sleep};
use futures_util::FutureExt;
use http::Method;
use http_body_util::BodyExt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tower::{Service, ServiceExt};
use tower_failover::Ratio;
use tower_failover::balance::BalanceLayer;

/// J14
#[tokio::test(start_paused = true)]
async fn new_calls_avoid_the_endpoint_whose_streams_are_open() {
    let world = World::new(2);
    let balance = world.balance();
    assert!(world.set.drain("1"));
    world.do_all([0], GOOD.end(Ends::Never));
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(balance.clone().oneshot(request(Method::GET)).await.unwrap());
    }
    assert_eq!(world.seen(0).in_flight, 100);
    world.do_all([0], GOOD);
    world.set.undrain("1");
    world.forget();
    calls(&balance, 1, 1_000).await;
    calls(&balance, 10, 1_000).await;
    assert_eq!(world.counts(), [0, 2_000]);

    streams.truncate(1);
    assert_eq!(world.seen(0).in_flight, 1);
    streams.clear();
    assert_eq!(world.seen(0).in_flight, 0);
    calls(&balance, 10, 1_000).await;
    assert!(world.counts()[0] > 300, "{:?}", world.counts());
}

/// J14, A9, A10
#[tokio::test(start_paused = true)]
async fn a_call_is_in_flight_up_to_the_end_of_its_body() {
    for (end, frames) in [(Ends::WithHead, 0), (Ends::Well, 1), (Ends::Broken, 1)] {
        let world = World::new(1);
        world.do_all([0], GOOD.end(end));
        let answer = world.balance().oneshot(request(Method::GET)).await.unwrap();
        assert_eq!(world.seen(0).in_flight, frames);
        let mut body = answer.into_body();
        while let Some(Ok(_)) = body.frame().await {}
        assert_eq!(world.seen(0).in_flight, 0, "{end:?}");
        drop(body);
        assert_eq!(world.seen(0).in_flight, 0, "{end:?}");
        let counts = world.seen(0).counts;
        let broke = u64::from(end == Ends::Broken);
        assert_eq!((counts.successes, counts.failures), (1 - broke, broke), "{end:?}");
    }
}

/// A1, A2, A9, A10, B1, B2, E2
#[tokio::test(start_paused = true)]
async fn nothing_is_in_flight_after_any_mix_of_endings() {
    let world = World::new(3);
    // nobody rests, so that all endings meet all endpoints
    let balance = world.under(BalanceLayer::http().max_ejected(Ratio::percent::<0>()));
    let ends =
        [Ends::WithHead, Ends::Well, Ends::Broken, Ends::Never, Ends::Headless, Ends::InPanic];
    for (seed, server) in (0..).zip(&world.servers) {
        let mut draws = Dice::new(seed);
        server.follows(move |_| {
            let end = draws.one_of(&ends);
            let status = draws.one_of(&[200, 500, 404]);
            Does::answer(status, ms(draws.roll(20) as u64)).end(end)
        });
    }
    let mut chance = Dice::new(99);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10_000 {
        let mut balance = balance.clone();
        let (given_up, patience) = (chance.share(), ms((chance.share() * 25.0) as u64));
        calls.spawn(async move {
            let ready = ServiceExt::<Call>::ready(&mut balance).await.unwrap();
            let future = ready.call(request(Method::GET));
            if given_up < 0.05 {
                return;
            }
            let work = async {
                let Ok(answer) = future.await else { return };
                if given_up < 0.3 {
                    return;
                }
                let _ = answer.into_body().collect().await;
            };
            let caught = AssertUnwindSafe(work).catch_unwind();
            let _ = tokio::time::timeout(patience, caught).await;
        });
        if chance.share() < 0.2 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    calls.join_all().await;
    let mut ended = 0;
    for at in 0..3 {
        let seen = world.seen(at);
        let counts = seen.counts;
        ended += counts.successes + counts.failures + counts.throttled + counts.neutral;
        assert_eq!(seen.in_flight, 0, "{seen:?}");
        assert!(counts.failures > 0 && counts.neutral > 0 && counts.successes > 0, "{seen:?}");
    }
    // those that found an endpoint have ended once
    let arrived: usize = world.counts().iter().sum();
    assert!(ended >= arrived as u64 && ended <= 10_000, "{ended} of {arrived}");
}
