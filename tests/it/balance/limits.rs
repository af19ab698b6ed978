//! Limits of calls in flight, rules of ejection, and the share of what is new.

use super::world::*;
use crate::kit::settings::nonzero;
use crate::kit::{ms, now, secs, sleep, timed};
use http::Method;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_failover::balance::{BalanceLayer, Endpoint, EndpointInfo, EndpointState, Endpoints};
use tower_failover::trip::{Consecutive, EjectRule, FailureRatio, Failures, SlowRatio};

fn slots(calls: u32) -> Layered {
    BalanceLayer::http().max_in_flight(nonzero(calls))
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_at_its_limit_is_passed_over() {
    let world = World::with(
        2,
        |at, endpoint| {
            if at == 0 { endpoint.max_in_flight(nonzero(2)) } else { endpoint }
        },
    );
    let running = tokio::spawn({
        let balance = world.under(slots(6));
        async move { calls(&balance, 12, 12).await }
    });
    sleep(ms(5)).await;
    assert_eq!((world.servers[0].running(), world.servers[1].running()), (2, 6));
    let tally = running.await.unwrap();
    assert_eq!(tally, Tally { good: 8, bad: 4 }, "four found no endpoint");
}

#[tokio::test(start_paused = true)]
async fn a_tier_at_its_limits_spills_over_to_the_next() {
    let world = World::tiers([2, 2]);
    let running = tokio::spawn({
        let balance = world.under(slots(3));
        async move { calls(&balance, 8, 800).await }
    });
    sleep(ms(5)).await;
    let open: Vec<_> = world.servers.iter().map(|server| server.running()).collect();
    assert_eq!((open[0], open[1], open[2] + open[3]), (3, 3, 2));
    assert_eq!(running.await.unwrap().bad, 0);
}

/// C4
#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_woken_when_a_call_ends() {
    let world = World::new(1);
    let balance = world.under(slots(1).wait_for(secs(60)));
    let first = tokio::spawn({
        let balance = balance.clone();
        async move { get(&balance).await }
    });
    sleep(ms(1)).await;
    let ((got, polls), took) = timed(polls(get(&balance))).await;
    assert_eq!((got, took), (OK, ms(19)), "9 ms of waiting, 10 ms of work");
    assert!(polls <= 5, "{polls} polls");
    assert_eq!(first.await.unwrap(), OK);
}

/// A2, A9, J14: room is made by whatever ends a call
#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_however_its_call_ends() {
    let ends = [Ends::Well, Ends::Broken, Ends::Never, Ends::Headless];
    for end in ends {
        for status in [200, 404, 500] {
            let world = World::new(1);
            world.do_all([0], Does::answer(status, ms(10)).end(end));
            let balance = world.under(slots(1).wait_for(secs(60)));
            let mut holder = balance.clone();
            let ready = ServiceExt::<Call>::ready(&mut holder).await.unwrap();
            let call = ready.call(request(Method::GET));
            let holder = tokio::spawn(async move {
                let answer = call.await;
                sleep(ms(100)).await;
                drop(answer);
            });
            sleep(ms(1)).await;
            world.do_all([0], GOOD);
            let (got, took) = timed(get(&balance)).await;
            assert_eq!(got, OK, "{end:?} {status}");
            assert!(took <= ms(120), "{took:?} after {end:?} {status}");
            holder.await.unwrap();
        }
    }
}

/// 200 callers and room for two: nobody is forgotten.
#[tokio::test(start_paused = true)]
async fn all_that_wait_for_room_are_served_in_the_end() {
    let world = World::new(2);
    let balance = world.under(slots(1).wait_for(secs(60)));
    let (tally, took) = timed(calls(&balance, 200, 200)).await;
    assert_eq!(tally, Tally { good: 200, bad: 0 });
    assert_eq!(took, secs(1), "no place was left empty");
}

fn to(call: &Call, endpoint: &EndpointInfo) -> bool {
    call.headers().get("to").is_none_or(|to| to == endpoint.name())
}

fn request_to(at: u32) -> Call {
    let mut call = request(Method::GET);
    call.headers_mut().insert("to", at.into());
    call
}

/// F2, J1: neither what went well nor what failed
#[tokio::test(start_paused = true)]
async fn an_answer_to_a_call_from_before_an_ejection_changes_nothing() {
    for late in [200, 500] {
        let world = World::new(3);
        let balance = BalanceLayer::http().allow(to).layer(world.set.clone());
        world.do_all([0], Does::answer(late, ms(50)));
        let running: Vec<_> = (0..5)
            .map(|_| {
                let balance = balance.clone();
                tokio::spawn(async move { send(&balance, request_to(0)).await })
            })
            .collect();
        sleep(ms(1)).await;
        world.do_all([0], DEAD);
        for _ in 0..3 {
            send(&balance, request_to(0)).await;
        }
        let before = world.seen(0);
        assert_eq!((before.state, before.ejections), (EndpointState::Ejected, 1));
        let began = now();
        for call in running {
            call.await.unwrap();
        }
        let after = world.seen(0);
        assert_eq!((after.state, after.ejections), (EndpointState::Ejected, 1));
        assert_eq!(after.latency, before.latency);
        let passed = began.elapsed() + ms(1);
        assert!(after.out_for.unwrap() + passed >= before.out_for.unwrap(), "{after:?}");
        assert!(after.health - before.health < 0.05, "{before:?} {after:?}");
        assert!(after.health >= before.health, "{before:?} {after:?}");
    }
}

/// J1, F2: the endpoint has come back meanwhile
#[tokio::test(start_paused = true)]
async fn an_answer_to_a_call_from_before_an_ejection_does_not_count_after_it_either() {
    let world = World::new(3);
    let balance = BalanceLayer::http().allow(to).no_hang_after().layer(world.set.clone());
    world.do_all([0], Does::answer(500, secs(5)));
    let running: Vec<_> = (0..5)
        .map(|_| {
            let balance = balance.clone();
            tokio::spawn(async move { send(&balance, request_to(0)).await })
        })
        .collect();
    sleep(ms(1)).await;
    world.do_all([0], DEAD);
    for _ in 0..3 {
        send(&balance, request_to(0)).await;
    }
    world.do_all([0], GOOD);
    load(&balance, 3, ms(4_900)).await;
    assert_eq!(world.state(0), EndpointState::Available);
    for call in running {
        call.await.unwrap();
    }
    let seen = world.seen(0);
    assert_eq!((seen.state, seen.ejections, seen.in_flight), (EndpointState::Available, 1, 0));
    assert!(seen.health > 0.9, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rule_about_a_share_takes_the_place_of_the_default() {
    let rule = FailureRatio::percent::<50>().within(secs(10)).min_calls(10);
    let world = World::new(3);
    let layer = BalanceLayer::http().eject_on(rule).allow(to);
    let balance = layer.layer(world.set.clone());
    world.servers[0].follows(|call| Does::answer(if call > 5 { 500 } else { 200 }, ms(10)));
    for call in 1..=10 {
        assert_eq!(world.state(0), EndpointState::Available, "before call {call}");
        send(&balance, request_to(0)).await;
    }
    assert_eq!(world.state(0), EndpointState::Ejected, "five of ten have failed");
    // it comes back as by the default
    world.do_all([0], GOOD);
    load(&balance, 3, secs(3)).await;
    assert_eq!(world.state(0), EndpointState::Available);
}

#[tokio::test(start_paused = true)]
async fn a_rule_about_slow_calls_ejects_what_is_slow() {
    let slow = SlowRatio::slower_than(ms(100)).percent::<50>().min_calls(10);
    let world = World::new(3);
    let balance = BalanceLayer::http().eject_on(slow).allow(to).layer(world.set.clone());
    world.do_all([0], Does::answer(200, ms(200)));
    for _ in 0..10 {
        send(&balance, request_to(0)).await;
    }
    assert_eq!(world.state(0), EndpointState::Ejected);
    // a trial that is slow is no way back
    load(&balance, 3, secs(5)).await;
    assert_eq!(world.state(0), EndpointState::Ejected);
    assert!(world.counts()[0] > 10);
    world.do_all([0], GOOD);
    load(&balance, 3, secs(5)).await;
    assert_eq!(world.state(0), EndpointState::Available);
}

#[tokio::test(start_paused = true)]
async fn every_rule_that_opens_a_circuit_ejects_an_endpoint() {
    let rules: [EjectRule; 4] = [
        FailureRatio::percent::<50>().min_calls(3).into(),
        SlowRatio::slower_than(ms(100)).min_calls(3).into(),
        Failures::count::<3>().into(),
        Consecutive::count::<3>().into(),
    ];
    for rule in rules {
        let world = World::new(3);
        let balance = BalanceLayer::http().eject_on(rule).allow(to).layer(world.set.clone());
        // slow and failed
        world.do_all([0], Does::answer(500, ms(200)));
        for call in 1..=3 {
            assert_eq!(world.state(0), EndpointState::Available, "before call {call}: {rule:?}");
            send(&balance, request_to(0)).await;
        }
        assert_eq!(world.state(0), EndpointState::Ejected, "{rule:?}");
    }
}

/// J9
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_new_in_a_warm_set_starts_slowly() {
    for tasks in [4, 10] {
        let world = World::new(2);
        let balance = world.balance();
        load(&balance, tasks, secs(1)).await;
        let new = Server::new(2);
        world.set.insert(Endpoint::new("2", new.clone()));
        assert_eq!(world.state(2), EndpointState::Ramp);
        // the share that it would have, were it not for its ramp, is a third
        let mut shares = Vec::new();
        for _ in 0..6 {
            world.forget();
            new.forget();
            load(&balance, tasks, ms(2_000)).await;
            let others: usize = world.counts().iter().sum();
            shares.push(3.0 * new.count() as f64 / (new.count() + others) as f64);
        }
        assert!((0.03..0.3).contains(&shares[0]), "{shares:.2?}, {tasks} tasks");
        assert!(shares[4] > 0.5 && shares[5] > 0.75, "{shares:.2?}, {tasks} tasks");
        assert!(shares.windows(2).all(|pair| pair[1] > pair[0] - 0.25), "{shares:.2?}");
        assert_eq!(world.state(2), EndpointState::Available);
    }
}

/// J9
#[tokio::test(start_paused = true)]
async fn in_a_cold_set_nobody_starts_slowly() {
    let world = World::new(2);
    world.set.insert(Endpoint::new("2", Server::new(2)));
    assert_eq!(world.state(2), EndpointState::Available);
    // a tier that has not answered yet is cold as well
    let balance = world.balance();
    load(&balance, 2, secs(1)).await;
    world.set.insert(Endpoint::new("3", Server::new(3)).tier(1));
    assert_eq!(world.state(3), EndpointState::Available);
}

#[tokio::test(start_paused = true)]
async fn a_slow_start_of_no_time_is_none() {
    let world = World::new(2);
    let balance = world.under(BalanceLayer::http().slow_start(Duration::ZERO));
    load(&balance, 2, secs(1)).await;
    world.set.insert(Endpoint::new("2", Server::new(2)));
    assert_eq!(world.state(2), EndpointState::Available);
}

/// J3: neither a trial nor the call that is made although all rest goes beyond the limit
#[tokio::test(start_paused = true)]
async fn an_endpoint_at_its_limit_gets_no_trial_either() {
    for does in [DEAD, Does::answer(429, ms(1)).hint("30")] {
        let world = World::new(1);
        world.set.insert(Endpoint::new("spare", Server::new(9)).tier(1));
        let balance = BalanceLayer::http().allow(to).max_in_flight(nonzero(1));
        let balance = balance.layer(world.set.clone());
        world.do_all([0], does);
        for _ in 0..3 {
            send(&balance, request_to(0)).await;
        }
        assert_ne!(world.state(0), EndpointState::Available);
        world.do_all([0], GOOD.end(Ends::Never));
        let mut streams = Vec::new();
        for _ in 0..30 {
            sleep(secs(1)).await;
            streams.extend(balance.clone().oneshot(request_to(0)).await.ok());
            assert!(world.seen(0).in_flight <= 1, "{world:?}");
        }
        assert_eq!(streams.len(), 1, "it was asked");
    }
}

/// The most calls that are under way at once, of a service that is called from several threads.
#[test]
fn a_limit_holds_where_threads_choose_at_once() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now_running, found) = (running.clone(), most.clone());
    let service = service_fn(move |(): ()| {
        let running = now_running.clone();
        found.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
        async move {
            tokio::task::yield_now().await;
            running.fetch_sub(1, SeqCst);
            Ok::<_, Infallible>(())
        }
    });
    let set: Endpoints<_> = [Endpoint::new("a", service)].into_iter().collect();
    let balance = BalanceLayer::plain().max_in_flight(nonzero(1)).layer(set.clone());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let balance = balance.clone();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    for _ in 0..5_000 {
                        let _ = balance.clone().oneshot(()).await;
                    }
                });
            });
        }
    });
    assert_eq!(most.load(SeqCst), 1);
    assert_eq!(set.snapshot()[0].in_flight, 0);
}

/// Who has just been served comes after those that wait.
#[tokio::test(start_paused = true)]
async fn callers_in_a_loop_leave_room_to_those_that_wait() {
    let world = World::new(1);
    let balance = world.under(slots(1).wait_for(secs(2)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let balance = balance.clone();
            tokio::spawn(async move {
                let (mut served, end) = (0, now() + secs(20));
                while now() < end {
                    assert_eq!(get(&balance).await, OK);
                    served += 1;
                }
                served
            })
        })
        .collect();
    for caller in callers {
        let served = caller.await.unwrap();
        assert!((490..=510).contains(&served), "{served} of 2 000");
    }
    assert_eq!(world.seen(0).in_flight, 0);
}
