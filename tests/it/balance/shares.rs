//! Who gets how much where all are well.

use super::world::*;
use crate::kit::ms;
use std::time::Duration;
use tower_failover::balance::{Endpoint, EndpointState};

const CALLS: usize = 100_000;
const MEDIAN: Duration = ms(20);

fn weighted(weights: &[f64]) -> World {
    World::with(weights.len(), |at, endpoint| endpoint.weight(weights[at]).unwrap())
}

/// The shares that endpoints of these weights get are theirs to 2 percentage points.
async fn follow(weights: &[f64], tasks: usize, does: Does) {
    let world = weighted(weights);
    world.do_all(0..weights.len(), does);
    let tally = calls(&world.balance(), tasks, CALLS).await;
    assert_eq!(tally, Tally { good: CALLS, bad: 0 });
    let sum: f64 = weights.iter().sum();
    let shares = world.shares();
    for (share, weight) in shares.iter().zip(weights) {
        assert!((share - weight / sum).abs() < 0.02, "{shares:.3?} for {weights:?}, {tasks} tasks");
    }
}

const FEW: [f64; 4] = [1.0, 2.0, 3.0, 4.0];
/// More than are looked at at once.
const MANY: [f64; 12] = [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0];

/// J16
#[tokio::test(start_paused = true)]
async fn shares_follow_the_weights_where_all_are_equally_fast() {
    let does = Does::answer(200, MEDIAN);
    for weights in [&FEW[..], &MANY] {
        follow(weights, 1, does).await;
        follow(weights, 64, does).await;
    }
    follow(&[9.0, 1.0], 64, does).await;
}

/// J16
#[tokio::test(start_paused = true)]
async fn shares_follow_the_weights_where_latencies_vary_alike() {
    for weights in [&FEW[..], &MANY, &[9.0, 1.0]] {
        follow(weights, 64, GOOD.vary(MEDIAN, 0.5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn equal_endpoints_share_equally() {
    follow(&[1.0; 3], 10, GOOD).await;
    follow(&[1.0; 20], 64, GOOD.vary(MEDIAN, 0.5)).await;
}

/// What a canary gets that has a hundredth of the weight and is 5 % slower.
async fn canary(others: usize, tasks: usize) {
    let mut weights = vec![99.0 / others as f64; others];
    weights.push(1.0);
    let world = weighted(&weights);
    world.do_all(0..others, Does::answer(200, ms(100)));
    world.do_all([others], Does::answer(200, ms(105)));
    calls(&world.balance(), tasks, 40_000).await;
    let share = world.share([others]);
    assert!((0.005..0.015).contains(&share), "{share} beside {others}, {tasks} tasks");
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_a_little_slower_keeps_its_share() {
    for others in [1, 3, 7, 8] {
        for tasks in [1, 10, 64] {
            canary(others, tasks).await;
        }
    }
}

/// J5, D8
#[tokio::test(start_paused = true)]
async fn a_weight_that_is_none_is_refused() {
    let world = World::new(2);
    let subnormal = f64::from_bits(1);
    for weight in [0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, subnormal, 1e300] {
        assert!(Endpoint::new("x", ()).weight(weight).is_err(), "{weight}");
        let error = world.set.reweight("0", weight).unwrap_err();
        assert!(error.to_string().contains("weight"), "{error}");
        assert_eq!(world.seen(0).weight, 1.0, "{weight}");
    }
    for weight in [1e-6, 1e6] {
        assert!(world.set.reweight("0", weight).unwrap());
    }
    assert!(!world.set.reweight("nobody", 1.0).unwrap());
}

#[tokio::test(start_paused = true)]
async fn another_weight_counts_from_the_next_call_on() {
    let world = World::new(2);
    let balance = world.balance();
    calls(&balance, 4, 1_000).await;
    world.set.reweight("0", 9.0).unwrap();
    world.forget();
    calls(&balance, 4, 20_000).await;
    let share = world.share([0]);
    assert!((0.88..0.92).contains(&share), "{share}");
}

#[tokio::test(start_paused = true)]
async fn a_drained_endpoint_gets_no_new_call_and_finishes_those_it_has() {
    let world = World::new(2);
    let balance = world.balance();
    let running = tokio::spawn({
        let balance = balance.clone();
        async move { calls(&balance, 20, 20).await }
    });
    tokio::time::advance(ms(5)).await;
    tokio::task::yield_now().await;
    assert_eq!(world.servers[0].running() + world.servers[1].running(), 20);
    assert!(world.set.drain("0"));
    assert!(!world.set.drain("0"), "it is already");
    assert_eq!(world.state(0), EndpointState::Draining);
    assert_eq!(running.await.unwrap(), Tally { good: 20, bad: 0 });
    world.forget();
    assert_eq!(calls(&balance, 10, 1_000).await.bad, 0);
    assert_eq!(world.counts(), [0, 1_000]);
    assert_eq!(world.seen(0).in_flight, 0);

    assert!(world.set.undrain("0"));
    assert!(!world.set.undrain("0"));
    world.forget();
    calls(&balance, 10, 10_000).await;
    assert!((0.45..0.55).contains(&world.share([0])), "{:?}", world.counts());
}

#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_gets_what_its_cost_says() {
    let world = World::new(3);
    world.do_all([0, 1], Does::answer(200, ms(20)));
    world.do_all([2], Does::answer(200, ms(200)));
    let balance = world.balance();
    // where nobody waits for the fast ones, the slow one is only asked how it is
    calls(&balance, 1, 5_000).await;
    assert!(world.share([2]) < 0.02, "{:?}", world.counts());
    world.forget();
    // with ten times the latency it has a tenth of the calls in flight: a hundredth of the calls
    calls(&balance, 64, 50_000).await;
    let share = world.share([2]);
    assert!((0.002..0.02).contains(&share), "{:?}", world.counts());
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_endpoint_leaves_is_shared_by_all_the_others() {
    for count in [3, 6, 12] {
        let world = World::new(count);
        world.do_all([1], Does::answer(200, ms(500)));
        let balance = world.balance();
        calls(&balance, 1, 100).await;
        world.forget();
        calls(&balance, 1, 20_000).await;
        let fair = 1.0 / (count - 1) as f64;
        for at in (0..count).filter(|at| *at != 1) {
            assert!((world.share([at]) - fair).abs() < 0.02, "{:?} {world:?}", world.counts());
        }
    }
}

/// J8: also beside a single other one, and where nobody waits for that
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_was_slow_is_tried_again() {
    for (count, tasks) in [(2, 1), (2, 4), (3, 1), (3, 6)] {
        let world = World::new(count);
        world.do_all([1], Does::answer(200, ms(400)));
        let balance = world.balance();
        load(&balance, tasks, ms(2_000)).await;
        world.do_all([1], GOOD);
        load(&balance, tasks, ms(15_000)).await;
        world.forget();
        load(&balance, tasks, ms(5_000)).await;
        let share = 0.75 / count as f64;
        assert!(world.share([1]) > share, "{:?}, {tasks} tasks", world.counts());
    }
}

/// J6, J8
#[tokio::test(start_paused = true)]
async fn an_endpoint_of_which_nothing_is_known_is_tried() {
    for slow in [0, 1, 2] {
        let world = World::new(3);
        world.do_all([slow], Does::answer(200, ms(500)));
        calls(&world.balance(), 1, 200).await;
        let others = (0..3).filter(|at| *at != slow);
        assert!(
            others.map(|at| world.counts()[at]).all(|count| count > 50),
            "{:?}",
            world.counts()
        );
    }
}

/// J6: that nothing takes any time is no reason to prefer one of them
#[tokio::test(start_paused = true)]
async fn answers_that_take_no_time_are_shared_as_well() {
    let world = World::new(3);
    world.do_all(0..3, Does::answer(200, Duration::ZERO));
    calls(&world.balance(), 8, 30_000).await;
    for share in world.shares() {
        assert!((share - 1.0 / 3.0).abs() < 0.02, "{:?}", world.counts());
    }
}
