//! Many endpoints fail at once, or there is none.

use super::world::*;
use crate::kit::{ms, now, secs, sleep, timed};
use std::time::Duration;
use tower::Layer;
use tower_failover::Ratio;
use tower_failover::balance::{BalanceLayer, Endpoint, EndpointInfo, EndpointState};

/// J3, J11
#[tokio::test(start_paused = true)]
async fn with_five_of_six_dead_the_last_one_carries_on() {
    for tasks in [1, 10] {
        let world = World::new(6);
        let balance = world.balance();
        load(&balance, tasks, secs(2)).await;
        world.do_all(1..6, DEAD);
        let first = load(&balance, tasks, secs(1)).await;
        let then = load(&balance, tasks, secs(10)).await;
        let ejected = (1..6).filter(|at| world.seen(*at).ejections > 0).count();
        // of calls one after another, few go to what failed once, and none needs to be ejected
        assert_eq!(ejected, if tasks > 1 { 3 } else { 0 }, "at most half of them: {world:?}");
        assert!(first.failed() < 0.5 && then.failed() < 0.1, "{first:?} {then:?}, {tasks} tasks");
        world.do_all(1..6, GOOD);
        load(&balance, tasks, secs(8)).await;
        world.forget();
        assert_eq!(load(&balance, tasks, secs(10)).await.bad, 0);
        assert!(world.shares().iter().all(|share| *share > 0.1), "{:?}", world.counts());
    }
}

/// J3, J11
#[tokio::test(start_paused = true)]
async fn where_all_are_dead_the_callers_get_their_errors_and_then_all_come_back() {
    for count in [1, 2, 3, 6] {
        let world = World::new(count);
        world.do_all(0..count, DEAD);
        let balance = world.balance();
        for _ in 0..500 {
            assert_eq!(get(&balance).await, Gets::Status(500), "of {count}");
        }
        let serving = (0..count).filter(|at| world.state(*at) == EndpointState::Available).count();
        assert!(serving >= count.div_ceil(2), "{serving} of {count}");
        world.do_all(0..count, GOOD);
        load(&balance, 1, ms(200)).await;
        assert_eq!(load(&balance, 1, secs(10)).await.bad, 0, "of {count}");
        world.forget();
        load(&balance, 1, secs(5)).await;
        let share = 0.5 / count as f64;
        assert!(world.shares().iter().all(|of| *of > share), "{:?}", world.counts());
    }
}

/// J3: trials only, one for each of them at a time, and they are lost
#[tokio::test(start_paused = true)]
async fn dead_primaries_get_trials_only_where_backups_serve() {
    for (primaries, backups) in [(8, 2), (3, 1)] {
        for tasks in [1, 10] {
            let world = World::tiers([primaries, backups]);
            world.do_all(0..primaries, DEAD);
            let balance = world.balance();
            load(&balance, tasks, secs(1)).await;
            let ejected = (0..primaries).all(|at| world.state(at) == EndpointState::Ejected);
            assert!(ejected, "{world:?}");
            world.forget();
            let tally = load(&balance, tasks, secs(10)).await;
            let counts = world.counts();
            let trials: usize = counts[..primaries].iter().sum();
            assert_eq!(tally.bad, trials);
            assert!(trials <= 12 * primaries, "{counts:?}");
            assert_eq!(tally.good, counts[primaries..].iter().sum::<usize>());
            // before the next trial nothing goes to them
            let next = (0..primaries).filter_map(|at| world.seen(at).out_for).min().unwrap();
            world.forget();
            load(&balance, tasks, next.saturating_sub(ms(5))).await;
            assert_eq!(world.counts()[..primaries], vec![0; primaries], "{tasks} tasks");
        }
    }
}

/// J3, J11: those that rest since they asked to are not held against the one that is dead
#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_beside_many_that_cool_down_gets_trials_only() {
    let world = World::new(10);
    let balance = world.balance();
    load(&balance, 10, secs(1)).await;
    world.do_all(0..6, Does::answer(429, ms(1)).hint("30"));
    world.do_all([6], DEAD);
    load(&balance, 10, secs(2)).await;
    assert!((0..6).all(|at| world.state(at) == EndpointState::Cooling), "{world:?}");
    assert_eq!(world.state(6), EndpointState::Ejected);
    world.forget();
    let tally = load(&balance, 10, secs(10)).await;
    assert_eq!(tally.bad, world.counts()[6]);
    assert!(tally.bad <= 10, "{:?}", world.counts());
    assert_eq!(world.counts()[..6], [0; 6]);
}

/// H1, M12, J3
#[tokio::test(start_paused = true)]
async fn no_hint_makes_an_outage() {
    let world = World::new(3);
    world.do_all(0..3, Does::answer(429, ms(1)).hint("1000000000000000000"));
    let balance = world.balance();
    for _ in 0..3 {
        assert_eq!(get(&balance).await, Gets::Status(429));
    }
    assert!((0..3).all(|at| world.state(at) == EndpointState::Cooling), "{world:?}");
    assert!((0..3).all(|at| world.seen(at).out_for.unwrap() <= secs(61)), "{world:?}");
    world.do_all(0..3, GOOD);
    let began = now();
    // one call a second sees whether it still holds
    let mut served = Vec::new();
    while began.elapsed() < secs(10) {
        match get(&balance).await {
            OK => served.push(began.elapsed()),
            Gets::NoEndpoint(after) => assert!(after.unwrap() <= secs(1), "{after:?}"),
            got => panic!("{got:?}"),
        }
        sleep(ms(20)).await;
    }
    assert!(served[0] < secs(2), "{served:?}");
    assert!(served.len() >= 9, "{served:?}");
    load(&balance, 1, secs(60).saturating_sub(began.elapsed())).await;
    assert_eq!(load(&balance, 10, secs(5)).await.bad, 0, "{world:?}");
}

/// J4
#[tokio::test(start_paused = true)]
async fn without_an_endpoint_a_call_ends_at_once_or_when_its_wait_is_over() {
    let world = World::new(0);
    assert_eq!(timed(get(&world.balance())).await, (Gets::NoEndpoint(None), Duration::ZERO));
    let patient = world.under(BalanceLayer::http().wait_for(secs(60)));
    let ((got, polls), took) = timed(polls(get(&patient))).await;
    assert_eq!(got, Gets::NoEndpoint(None));
    assert!((secs(60)..=ms(60_002)).contains(&took), "{took:?}");
    assert!(polls <= 3, "{polls} polls");
}

/// J4
#[tokio::test(start_paused = true)]
async fn where_all_rest_a_call_is_told_when_to_come_back() {
    let world = World::new(2);
    world.do_all(0..2, Does::answer(429, ms(1)).hint("30"));
    let balance = world.balance();
    // two that are asked, and one more that is asked although it rests
    for _ in 0..3 {
        assert_eq!(get(&balance).await, Gets::Status(429));
    }
    let (got, took) = timed(get(&balance)).await;
    let Gets::NoEndpoint(Some(after)) = got else { panic!("{got:?}") };
    assert!((ms(900)..=secs(1)).contains(&after), "{after:?}");
    assert_eq!(took, Duration::ZERO);
    sleep(after).await;
    assert_eq!(get(&balance).await, Gets::Status(429), "at the time that it was told");
}

/// C4, J4
#[tokio::test(start_paused = true)]
async fn one_that_waits_for_what_rests_is_polled_when_that_may_be_over() {
    let world = World::new(1);
    world.do_all([0], Does::answer(429, ms(1)).hint("2"));
    let balance = world.under(BalanceLayer::http().wait_for(secs(10)));
    assert_eq!(get(&balance).await, Gets::Status(429));
    // the call that is made although it rests
    assert_eq!(get(&balance).await, Gets::Status(429));
    world.do_all([0], GOOD);
    let ((got, polls), took) = timed(polls(get(&balance))).await;
    assert_eq!(got, OK);
    assert!(took <= ms(2_300), "{took:?}");
    assert!(polls <= 8, "{polls} polls");
}

/// C4, J4
#[tokio::test(start_paused = true)]
async fn a_wait_that_is_in_vain_is_over_in_time_and_does_not_spin() {
    let world = World::new(2);
    let nobody = |_: &Call, _: &EndpointInfo| false;
    let balance = BalanceLayer::http().wait_for(secs(5)).allow(nobody).layer(world.set.clone());
    let ((got, polls), took) = timed(polls(get(&balance))).await;
    assert_eq!(got, Gets::NoEndpoint(None));
    assert!((secs(5)..=ms(5_002)).contains(&took), "{took:?}");
    assert!(polls <= 3, "{polls} polls");
}

/// J4, J7
#[tokio::test(start_paused = true)]
async fn a_set_that_fills_again_serves_the_next_call_and_those_that_wait() {
    let world = World::new(1);
    let (balance, patient) =
        (world.balance(), world.under(BalanceLayer::http().wait_for(secs(60))));
    assert_eq!(get(&balance).await, OK);
    assert!(world.set.remove("0"));
    assert!(!world.set.remove("0"));
    assert_eq!(get(&balance).await, Gets::NoEndpoint(None));
    let waiting = tokio::spawn(async move { timed(get(&patient)).await });
    sleep(secs(3)).await;
    let server = Server::new(5);
    world.set.insert(Endpoint::new("new", server.clone()));
    let (got, took) = timed(get(&balance)).await;
    assert_eq!((got, took), (OK, ms(10)));
    let (got, took) = waiting.await.unwrap();
    assert_eq!(got, OK);
    assert!(took <= ms(3_020), "{took:?}");
    assert_eq!(server.count(), 2);
}

/// J11: half of them, rounded down, but one of two; and the only one never
#[tokio::test(start_paused = true)]
async fn so_many_are_ejected_at_most() {
    let half = Ratio::percent::<50>();
    let cases = [(1, half, 0), (2, half, 1), (3, half, 1), (5, half, 2), (6, half, 3)];
    let whole = Ratio::percent::<100>();
    let none = Ratio::percent::<0>();
    for (count, share, most) in
        cases.into_iter().chain([(4, whole, 3), (4, none, 0), (1, whole, 0)])
    {
        let world = World::new(count);
        world.do_all(0..count, DEAD);
        let balance = world.under(BalanceLayer::http().max_ejected(share));
        for _ in 0..300 {
            get(&balance).await;
        }
        let ejected = (0..count).filter(|at| world.seen(*at).ejections > 0).count();
        assert_eq!(ejected, most, "of {count} with {share:?}");
    }
}
