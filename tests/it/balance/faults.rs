//! Endpoints that fail: how fast the traffic goes elsewhere, and how it comes back.

use super::world::*;
use crate::kit::{Dice, ms, now, secs};
use tower_failover::balance::EndpointState;

/// What the first of three gets, which does this, of 1 000 calls after the first 50.
async fn after_fifty(does: Does, tasks: usize) -> (World, f64) {
    let world = World::new(3);
    world.do_all([0], does);
    let balance = world.balance();
    calls(&balance, tasks, 50).await;
    world.forget();
    calls(&balance, tasks, 1_000).await;
    let share = world.share([0]);
    (world, share)
}

/// J10
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_in_a_millisecond_gets_next_to_nothing() {
    for tasks in [1, 10, 50] {
        let (world, share) = after_fifty(DEAD, tasks).await;
        assert!(share < 0.02, "{share}, {tasks} tasks");
        // of calls one after another, few go to what failed once, and it needs not be ejected
        if tasks > 1 {
            assert_eq!(world.state(0), EndpointState::Ejected, "{tasks} tasks");
        }
    }
}

/// J10, J3
#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_is_tried_now_and_then_and_comes_back_slowly() {
    for tasks in [10, 30] {
        let world = World::new(3);
        world.do_all([0], DEAD);
        let balance = world.balance();
        load(&balance, tasks, secs(1)).await;
        world.forget();
        load(&balance, tasks, secs(9)).await;
        let trials = world.counts()[0];
        assert!((3..=12).contains(&trials), "{trials} trials in 9 s, {tasks} tasks");

        world.do_all([0], GOOD);
        let healed = now();
        while world.state(0) != EndpointState::Ramp {
            load(&balance, tasks, ms(20)).await;
            assert!(healed.elapsed() < secs(5), "{world:?}");
        }
        world.forget();
        load(&balance, tasks, ms(300)).await;
        let early = world.share([0]);
        assert!(early < 0.25, "{early} at the beginning of its ramp, {tasks} tasks");
        assert!(early > 0.01 || tasks == 1, "{early} at the beginning of its ramp");
        load(&balance, tasks, secs(2)).await;
        assert_eq!(world.state(0), EndpointState::Available);
        // where nobody else is busy, it has its share when its failures are forgiven
        load(&balance, tasks, secs(4)).await;
        world.forget();
        load(&balance, tasks, secs(10)).await;
        let late = world.share([0]);
        assert!((0.28..0.38).contains(&late), "{late} after its ramp, {tasks} tasks");
    }
}

#[tokio::test(start_paused = true)]
async fn a_healed_endpoint_has_half_its_share_within_5_s() {
    for outage in [1, 3, 6, 8] {
        let world = World::new(3);
        let balance = world.balance();
        load(&balance, 10, secs(5)).await;
        world.do_all([0], DEAD);
        load(&balance, 10, secs(outage)).await;
        world.do_all([0], GOOD);
        load(&balance, 10, secs(4)).await;
        world.forget();
        load(&balance, 10, secs(1)).await;
        assert!(world.share([0]) > 1.0 / 6.0, "{:?} after {outage} s", world.counts());
    }
}

/// J17
#[tokio::test(start_paused = true)]
async fn one_that_fails_now_and_then_costs_its_callers_little() {
    for tasks in [1, 10] {
        let world = World::new(3);
        let mut chance = Dice::new(1);
        world.servers[0]
            .follows(move |_| Does::answer(if chance.share() < 0.3 { 500 } else { 200 }, ms(10)));
        let tally = calls(&world.balance(), tasks, 30_000).await;
        assert!(tally.failed() < 0.005, "{tally:?}, {tasks} tasks, {:?}", world.counts());
    }
}

/// J10
#[tokio::test(start_paused = true)]
async fn one_that_throttles_in_a_millisecond_without_a_hint_gets_next_to_nothing() {
    for tasks in [1, 10] {
        let (_, share) = after_fifty(Does::answer(429, ms(1)), tasks).await;
        assert!(share < 0.02, "{share}, {tasks} tasks");
    }
}

/// J10: of calls that come one after another. Where many come at once, it gains by being done sooner.
#[tokio::test(start_paused = true)]
async fn one_that_finds_nothing_in_a_millisecond_does_not_gain_traffic() {
    let does = Does::answer(404, ms(1));
    let (world, share) = after_fifty(does, 1).await;
    assert!(share < 0.38, "{share}: {world:?}");

    let world = World::new(3);
    let balance = world.balance();
    calls(&balance, 1, 1_000).await;
    world.do_all([0], does);
    world.forget();
    calls(&balance, 1, 1_000).await;
    assert!(world.share([0]) < 0.38, "also where it was as slow as others: {:?}", world.counts());
}

/// J10
#[tokio::test(start_paused = true)]
async fn one_that_finds_nothing_gains_no_traffic_of_many_callers() {
    for tasks in [3, 10, 50] {
        let (world, share) = after_fifty(Does::answer(404, ms(1)), tasks).await;
        assert!(share < 0.38, "{share}, {tasks} tasks: {world:?}");
    }
}
