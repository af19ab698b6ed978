//! Endpoints that ask for less, and whose calls are spent on trying.

use super::world::*;
use crate::kit::{ms, now, secs, sleep};
use http::Method;
use std::time::Duration;
use tower::ServiceBuilder;
use tower_failover::balance::{BalanceLayer, EndpointState};
use tower_failover::retry::RetryLayer;

const THROTTLES: Does = Does::answer(429, ms(1)).hint("2");

/// For how long the first server of a world gets nothing, from its only throttling answer on.
async fn rests(world: &World, balance: &Balanced) -> Duration {
    load(balance, 1, ms(200)).await;
    world.do_all([0], THROTTLES);
    world.forget();
    while world.counts()[0] == 0 {
        get(balance).await;
    }
    world.do_all([0], GOOD);
    let began = now();
    world.servers[0].forget();
    while world.counts()[0] == 0 {
        get(balance).await;
    }
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_hint_is_kept_to_and_little_more() {
    for _ in 0..5 {
        let world = World::new(3);
        let rests = rests(&world, &world.balance()).await;
        assert!((secs(2)..ms(2_400)).contains(&rests), "{rests:?}");
    }
}

/// A scope is an account: what one of its endpoints is told, holds for all.
#[tokio::test(start_paused = true)]
async fn endpoints_of_a_scope_cool_down_together() {
    let world =
        World::with(4, |at, endpoint| if at < 2 { endpoint.account("account") } else { endpoint });
    let balance = world.balance();
    load(&balance, 1, ms(200)).await;
    world.do_all([0], THROTTLES);
    world.forget();
    while world.counts()[0] == 0 {
        get(&balance).await;
    }
    assert_eq!(world.state(0), EndpointState::Cooling);
    assert_eq!(world.state(1), EndpointState::Cooling);
    assert_eq!(world.state(2), EndpointState::Available);
    world.forget();
    load(&balance, 4, ms(1_950)).await;
    assert_eq!(world.counts()[..2], [0, 0]);
    world.do_all([0], GOOD);
    load(&balance, 4, secs(2)).await;
    assert!(world.counts()[0] > 0 && world.counts()[1] > 0, "{:?}", world.counts());
    // one that comes into the scope later shares it as well
    world
        .set
        .insert(tower_failover::balance::Endpoint::new("4", Server::new(4)).account("account"));
    world.do_all([1], THROTTLES);
    world.forget();
    while world.counts()[1] == 0 {
        get(&balance).await;
    }
    assert!([0, 1, 4].iter().all(|at| world.state(*at) == EndpointState::Cooling), "{world:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rest_is_only_ever_made_longer() {
    let world = World::new(2);
    let balance = world.balance();
    let hints = ["10", "1", "0", "12"];
    world.do_all([1], Does::answer(200, ms(500)));
    let began = now();
    // they begin together, so none of them finds the endpoint at rest
    world.servers[0].follows(move |call| {
        let hint = hints.get(call - 1).copied().unwrap_or("0");
        Does::answer(429, ms(10 * call as u64)).hint(hint)
    });
    let running = tokio::spawn({
        let balance = balance.clone();
        async move { calls(&balance, 8, 8).await }
    });
    sleep(ms(12)).await;
    let mut ends = vec![];
    for _ in 0..3 {
        ends.push(began.elapsed() + world.seen(0).out_for.unwrap());
        sleep(ms(10)).await;
    }
    assert!(ends[0] >= ms(9_990), "{ends:?}");
    assert!(ends.windows(2).all(|pair| pair[1] + ms(11) >= pair[0]), "{ends:?}");
    running.await.unwrap();
    assert!(world.seen(0).out_for.unwrap() > secs(11), "{world:?}");
}

/// How many calls arrive at once at the end of a rest, of so many that wait for it, and when the first
/// and the last do.
async fn crowd(count: usize) -> (usize, Duration, Duration) {
    let world = World::new(1);
    let balance = world.under(BalanceLayer::http().wait_for(secs(10)));
    world.do_all([0], THROTTLES);
    let began = now();
    assert_eq!(get(&balance).await, Gets::Status(429));
    assert_eq!(get(&balance).await, Gets::Status(429), "although it rests");
    world.do_all([0], GOOD);
    world.forget();
    assert_eq!(calls(&balance, count, count).await, Tally { good: count, bad: 0 });
    let times = world.servers[0].times_since(began);
    let together = times
        .iter()
        .map(|at| times.iter().filter(|other| **other >= *at && **other < *at + ms(10)).count());
    (together.max().unwrap(), times[0], times[times.len() - 1])
}

/// F6
#[tokio::test(start_paused = true)]
async fn those_that_wait_for_a_rest_do_not_arrive_together() {
    let (together, first, last) = crowd(100).await;
    assert!(first >= ms(950), "{first:?}");
    assert!(last < secs(4), "{last:?}");
    assert!(together <= 30, "{together} within 10 ms, from {first:?} to {last:?}");
}

/// From the second throttling answer in a row on, one call sees whether the rest was long enough.
#[tokio::test(start_paused = true)]
async fn one_that_throttles_again_comes_back_by_one_trial() {
    let world = World::new(3);
    let balance = world.balance();
    world.do_all([0], Does::answer(429, ms(50)));
    load(&balance, 10, secs(5)).await;
    world.forget();
    let open = |world: &World| world.servers[0].running();
    let end = now() + secs(20);
    let driven = tokio::spawn({
        let balance = balance.clone();
        async move { load(&balance, 10, secs(20)).await }
    });
    while now() < end {
        assert!(open(&world) <= 1, "{world:?}");
        sleep(ms(7)).await;
    }
    driven.await.unwrap();
    let asked = world.counts()[0];
    assert!((1..=6).contains(&asked), "{asked} times in 20 s");
}

/// The methods that a dead endpoint of three was asked with, while these came in turn, and when.
async fn trials(methods: &'static [Method], time: Duration) -> Vec<(Duration, Method)> {
    let world = World::new(3);
    let service = ServiceBuilder::new()
        .layer(RetryLayer::http().no_budget())
        .layer(BalanceLayer::http())
        .service(world.set.clone());
    world.do_all([0], DEAD);
    while world.state(0) != EndpointState::Ejected {
        assert_eq!(get(&service).await, OK, "a retry goes elsewhere");
    }
    world.forget();
    let began = now();
    for method in methods.iter().cycle() {
        if began.elapsed() >= time {
            break;
        }
        send(&service, request(method.clone())).await;
    }
    let server = &world.servers[0];
    let methods = server.notes().into_iter().map(|head| head.method().clone());
    server.times_since(began).into_iter().zip(methods).collect()
}

#[tokio::test(start_paused = true)]
async fn trials_are_made_with_requests_that_can_be_repeated() {
    const MIXED: &[Method] = &[Method::POST, Method::POST, Method::POST, Method::GET];
    let trials = trials(MIXED, secs(20)).await;
    assert!(trials.len() >= 5, "{trials:?}");
    assert!(trials.iter().all(|(_, method)| method == Method::GET), "{trials:?}");
    assert!(trials[0].0 < ms(700), "{trials:?}");
}

#[tokio::test(start_paused = true)]
async fn where_no_request_can_be_repeated_others_serve_after_ten_pauses() {
    let trials = trials(&[Method::POST], secs(30)).await;
    let times: Vec<_> = trials.iter().map(|(at, _)| *at).collect();
    assert!((ms(3_900)..ms(6_100)).contains(&times[0]), "{times:?}");
    let next = times[1] - times[0];
    assert!((ms(7_900)..ms(12_100)).contains(&next), "{times:?}");
}

/// Without a layer that could send it again, nobody knows better, and trials are made with all.
#[tokio::test(start_paused = true)]
async fn without_retries_every_request_may_be_a_trial() {
    let world = World::new(3);
    world.do_all([0], DEAD);
    let balance = world.balance();
    load(&balance, 10, ms(100)).await;
    assert_eq!(world.state(0), EndpointState::Ejected);
    world.forget();
    let began = now();
    while began.elapsed() < secs(8) {
        send(&balance, request(Method::POST)).await;
    }
    assert!(world.counts()[0] >= 4, "{:?}", world.counts());
}

/// J10: where nobody cools down, to throttle fast is still no way to more traffic
#[tokio::test(start_paused = true)]
async fn one_that_throttles_and_may_not_rest_does_not_gain_traffic() {
    for tasks in [1, 3, 10, 50] {
        let world = World::new(3);
        world.do_all([0], Does::answer(429, ms(1)));
        let balance = world.under(BalanceLayer::http().max_cool_down(Duration::ZERO));
        calls(&balance, tasks, 200).await;
        world.forget();
        calls(&balance, tasks, 2_000).await;
        assert!(world.share([0]) < 0.38, "{:?}, {tasks} tasks", world.counts());
    }
}
