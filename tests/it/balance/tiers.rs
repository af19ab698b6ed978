//! Tiers, zones, and who may have what.

use super::world::*;
use crate::kit::{ms, now, secs};
use http::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tower::Layer;
use tower_failover::balance::{BalanceLayer, EndpointInfo, EndpointState};

#[tokio::test(start_paused = true)]
async fn a_backup_gets_nothing_while_its_primaries_are_well() {
    let world = World::tiers([2, 2, 1]);
    calls(&world.balance(), 64, 10_000).await;
    let counts = world.counts();
    assert_eq!(counts[2..], [0, 0, 0]);
    assert!(counts[0] > 4_000 && counts[1] > 4_000, "{counts:?}");
}

/// What tier 0 of ten gets while so many of them rest.
async fn load_of(dead: usize) -> f64 {
    let world = World::tiers([10, 10]);
    world.do_all(0..dead, DEAD);
    let balance = world.balance();
    load(&balance, 10, secs(5)).await;
    assert!((0..dead).all(|at| world.seen(at).ejections > 0), "{world:?}");
    world.forget();
    load(&balance, 10, secs(20)).await;
    world.share(0..10)
}

/// Envoy's documentation of priority levels, with an overprovisioning of 1.4.
#[tokio::test(start_paused = true)]
async fn the_load_of_a_tier_follows_what_is_left_of_it() {
    for (dead, expected) in [(0, 1.0), (2, 1.0), (3, 0.98), (5, 0.7), (8, 0.28), (10, 0.0)] {
        let share = load_of(dead).await;
        assert!((share - expected).abs() < 0.02, "{share:.3} with {dead} dead");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tier_that_recovers_gets_its_traffic_back() {
    for tasks in [1, 10] {
        let world = World::tiers([3, 2]);
        let balance = world.balance();
        load(&balance, tasks, secs(1)).await;
        world.do_all(0..3, DEAD);
        load(&balance, tasks, secs(1)).await;
        world.forget();
        load(&balance, tasks, secs(4)).await;
        assert!(world.share(3..5) > 0.97, "{:?}", world.counts());
        world.do_all(0..3, GOOD);
        let healed = now();
        load(&balance, tasks, secs(5)).await;
        assert!((0..3).all(|at| world.state(at) != EndpointState::Ejected), "{world:?}");
        world.forget();
        load(&balance, tasks, secs(5)).await;
        let counts = world.counts();
        assert_eq!(counts[3..], [0, 0], "{:?} after they healed", healed.elapsed());
        assert!(world.shares()[..3].iter().all(|share| *share > 0.2), "{counts:?}");
    }
}

fn zoned() -> World {
    let zones = ["far", "near", "near", "next", "nowhere"];
    World::with(5, |at, endpoint| if at < 4 { endpoint.zone(zones[at]) } else { endpoint })
}

#[tokio::test(start_paused = true)]
async fn the_nearest_zone_that_serves_is_chosen() {
    let world = zoned();
    let balance = world.under(BalanceLayer::http().zones(["near", "next"]));
    calls(&balance, 10, 2_000).await;
    let counts = world.counts();
    assert_eq!((counts[0], counts[3], counts[4]), (0, 0, 0));
    assert!(counts[1] > 800 && counts[2] > 800, "{counts:?}");

    assert!(world.set.drain("1") && world.set.drain("2"));
    world.forget();
    calls(&balance, 10, 2_000).await;
    assert_eq!(world.counts(), [0, 0, 0, 2_000, 0]);

    assert!(world.set.drain("3"));
    world.forget();
    calls(&balance, 10, 2_000).await;
    let counts = world.counts();
    assert_eq!(counts[1..4], [0, 0, 0]);
    assert!(counts[0] > 800 && counts[4] > 800, "all others are equally far: {counts:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_word_about_zones_all_are_equally_near() {
    let world = zoned();
    calls(&world.balance(), 10, 10_000).await;
    assert!(world.shares().iter().all(|share| (share - 0.2).abs() < 0.03), "{:?}", world.counts());
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_fails_spills_over_to_the_next() {
    let world = zoned();
    let balance = world.under(BalanceLayer::http().zones(["near", "next"]));
    load(&balance, 10, secs(1)).await;
    world.do_all([1, 2], Does::answer(429, ms(1)).hint("30"));
    load(&balance, 10, secs(1)).await;
    world.forget();
    assert_eq!(load(&balance, 10, secs(5)).await.bad, 0);
    let counts = world.counts();
    assert_eq!((counts[0], counts[1], counts[2], counts[4]), (0, 0, 0, 0), "{counts:?}");
    assert!(counts[3] > 1_000);
}

/// Requests to a path may be taken by the endpoints with this label, also where all of them are dead.
#[tokio::test(start_paused = true)]
async fn a_filter_holds_also_in_a_panic() {
    let world = World::with(6, |at, endpoint| {
        endpoint.label("model", if at < 3 { "small" } else { "large" })
    });
    let allow = |call: &Call, endpoint: &EndpointInfo| {
        call.headers()
            .get("model")
            .is_none_or(|model| Some(model.to_str().unwrap()) == endpoint.label("model"))
    };
    let balance = BalanceLayer::http().allow(allow).layer(world.set.clone());
    let small = || {
        let mut call = request(Method::GET);
        call.headers_mut().insert("model", "small".parse().unwrap());
        call
    };
    for dead in [false, true] {
        if dead {
            world.do_all(0..6, DEAD);
            calls(&balance, 10, 500).await;
        }
        world.forget();
        for _ in 0..500 {
            let expected = if dead { 500 } else { 200 };
            assert_eq!(send(&balance, small()).await, Gets::Status(expected));
        }
        let counts = world.counts();
        assert_eq!(counts[3..], [0, 0, 0], "{dead}");
        assert_eq!(counts[..3].iter().sum::<usize>(), 500);
    }
}

/// Where the filter allows none of the tier whose turn it is, the next one serves.
#[tokio::test(start_paused = true)]
async fn a_filter_leads_to_another_tier_where_it_has_to() {
    let world = World::tiers([2, 1]);
    let backups = |_: &Call, endpoint: &EndpointInfo| endpoint.tier() > 0;
    let balance = BalanceLayer::http().allow(backups).layer(world.set.clone());
    assert_eq!(calls(&balance, 4, 100).await.good, 100);
    assert_eq!(world.counts(), [0, 0, 100]);
}

/// J18: also where that is in vain
#[tokio::test(start_paused = true)]
async fn a_filter_is_asked_a_few_times_about_each_endpoint() {
    let world = World::new(200);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let nobody = move |_: &Call, _: &EndpointInfo| count.fetch_add(1, SeqCst) == usize::MAX;
    let balance = BalanceLayer::http().allow(nobody).layer(world.set.clone());
    assert_eq!(get(&balance).await, Gets::NoEndpoint(None));
    let asked = asked.load(SeqCst);
    assert!(asked <= 4 * 200, "{asked}");
}
