//! Endpoints that are not ready, or fail to become so.

use crate::kit::{Act, Actor, Gate, Hostile, cast, in_flight, look, ms, timed};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_err};
use tower::{Layer, Service, ServiceExt};
use tower_failover::balance::{BalanceLayer, Endpoint, EndpointState, Endpoints, NoEndpoint};

/// J12
#[tokio::test(start_paused = true)]
async fn a_pending_endpoint_never_blocks_the_others() {
    let ([a, b], set) = cast();
    a.gate(Gate::Shut);
    let balance = BalanceLayer::plain().layer(set.clone());
    for _ in 0..100 {
        let (answer, took) = timed(balance.clone().oneshot(())).await;
        assert_eq!((answer.unwrap(), took), ("b".to_owned(), ms(0)));
    }
    assert!(a.polls() > 0 && a.count() == 0, "a was chosen, and given back");
    assert_eq!((b.count(), in_flight(&set)), (100, 0));
    assert_eq!(look(&set, "a").state, EndpointState::Available, "to be busy is no failure");
}

/// J12, A13, C4
#[tokio::test(start_paused = true)]
async fn of_two_pending_endpoints_the_first_to_be_ready_is_called() {
    for (opens, name) in [(0, "a"), (1, "b")] {
        let (actors, set) = cast::<2>();
        actors.iter().for_each(|actor| actor.gate(Gate::Shut));
        let mut call = spawn(BalanceLayer::plain().layer(set.clone()).call(()));
        assert_pending!(call.poll());
        assert_eq!(in_flight(&set), 2, "both hold a place");
        assert!(!call.is_woken(), "it does not wake itself");
        actors[opens].gate(Gate::Open);
        assert!(call.is_woken());
        assert_eq!(assert_ready!(call.poll()).unwrap(), name);
        assert_eq!(actors[1 - opens].count(), 0);
        assert_eq!(in_flight(&set), 0);
    }
}

/// The place of the one that lost the race is free while the call to the other one runs.
#[tokio::test(start_paused = true)]
async fn the_loser_of_two_gets_its_place_back_before_the_call() {
    let ([a, b], set) = cast();
    [&a, &b].into_iter().for_each(|actor| actor.gate(Gate::Shut));
    [&a, &b].into_iter().for_each(|actor| actor.act(Act::Hangs));
    let mut call = spawn(BalanceLayer::plain().layer(set.clone()).call(()));
    assert_pending!(call.poll());
    b.gate(Gate::Open);
    assert_pending!(call.poll());
    assert_eq!((look(&set, "a").in_flight, look(&set, "b").in_flight), (0, 1));
    assert_eq!(look(&set, "a").counts, Default::default(), "it got no call");
}

/// A15, C4
#[tokio::test(start_paused = true)]
async fn spurious_polls_bring_no_call_and_no_wake() {
    let ([a, b, c], set) = cast();
    [&a, &b, &c].into_iter().for_each(|actor| actor.gate(Gate::Shut));
    let mut call = spawn(BalanceLayer::plain().layer(set.clone()).call(()));
    for _ in 0..1_000 {
        assert_pending!(call.poll());
        assert!(!call.is_woken());
    }
    let polls: usize = [&a, &b, &c].map(|actor| actor.polls()).iter().sum();
    assert!(polls <= 2 * 1_000 + 4, "{polls} polls of two endpoints");
    assert_eq!(in_flight(&set), 2, "two are looked at, not all");
    drop(call);
    assert_eq!(in_flight(&set), 0);
}

/// A13
#[tokio::test(start_paused = true)]
async fn the_task_that_polled_last_is_woken() {
    let ([a, b], set) = cast();
    [&a, &b].into_iter().for_each(|actor| actor.gate(Gate::Shut));
    let mut first = spawn(BalanceLayer::plain().layer(set).call(()));
    assert_pending!(first.poll());
    let future = first.into_inner();
    let mut second = spawn(future);
    assert_pending!(second.poll());
    a.gate(Gate::Open);
    assert!(second.is_woken());
    assert_eq!(assert_ready!(second.poll()).unwrap(), "a");
}

/// A13
#[tokio::test(start_paused = true)]
async fn the_task_that_waits_for_an_endpoint_is_the_one_that_polled_last() {
    let set = Endpoints::new();
    let mut balance = BalanceLayer::plain().wait_for(ms(500)).layer(set.clone());
    let mut first = spawn(balance.call(()));
    assert_pending!(first.poll());
    let mut second = spawn(first.into_inner());
    assert_pending!(second.poll());
    set.insert(Endpoint::new("a", Actor::new("a")));
    assert!(second.is_woken());
    assert_eq!(assert_ready!(second.poll()).unwrap(), "a");
}

/// C5
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_to_become_ready_is_charged_and_another_one_takes_the_request() {
    let ([a, b], set) = cast();
    a.gate(Gate::Broken("broken"));
    // however much slower the other one is
    b.act(Act::AnswersAfter(ms(300)));
    let balance = BalanceLayer::plain().slow_start(ms(0)).layer(set.clone());
    for _ in 0..200 {
        assert_eq!(balance.clone().oneshot(()).await.unwrap(), "b");
    }
    let counts = look(&set, "a").counts;
    assert!(counts.failures >= 3, "{counts:?}");
    assert!(look(&set, "a").ejections >= 1);
    assert_eq!((a.count(), b.count()), (0, 200));
    assert_eq!(in_flight(&set), 0);
}

/// C5, J2
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_failed_to_become_ready_is_not_lost() {
    let ([a, b], set) = cast();
    a.gate(Gate::Broken("broken"));
    let balance = BalanceLayer::plain().layer(set.clone());
    while look(&set, "a").state != EndpointState::Ejected {
        assert_eq!(balance.clone().oneshot(()).await.unwrap(), "b");
        tokio::time::advance(ms(100)).await;
    }
    a.gate(Gate::Open);
    b.gate(Gate::Broken("broken"));
    tokio::time::advance(ms(700)).await;
    assert_eq!(balance.clone().oneshot(()).await.unwrap(), "a", "a trial");
    for _ in 0..20 {
        assert_eq!(balance.clone().oneshot(()).await.unwrap(), "a");
    }
}

/// The error is that of the endpoint, and it is asked once for a request.
#[tokio::test(start_paused = true)]
async fn without_another_endpoint_the_caller_gets_the_error() {
    let ([a], set) = cast();
    a.gate(Gate::Broken("broken"));
    let mut call = spawn(BalanceLayer::plain().layer(set.clone()).call(()));
    let error = assert_ready_err!(call.poll());
    assert_eq!(error.to_string(), "broken");
    assert_eq!(look(&set, "a").counts.failures, 1);
    assert_eq!(in_flight(&set), 0);
    assert_pending!(call.poll(), "polled again after its end");
    assert_eq!(look(&set, "a").counts.failures, 1);
}

/// A14
#[tokio::test(start_paused = true)]
async fn polled_again_after_its_end_a_call_is_pending_and_sends_nothing() {
    let set = Endpoints::new();
    let mut balance = BalanceLayer::plain().wait_for(ms(100)).layer(set.clone());
    let mut call = spawn(balance.call(()));
    assert_pending!(call.poll());
    tokio::time::advance(ms(101)).await;
    assert!(assert_ready_err!(call.poll()).is::<NoEndpoint>());
    let a = Actor::new("a");
    set.insert(Endpoint::new("a", a.clone()));
    assert_pending!(call.poll());
    assert_eq!((a.count(), in_flight(&set)), (0, 0));

    let mut call = spawn(balance.call(()));
    assert_ready!(call.poll()).unwrap();
    assert_pending!(call.poll());
    assert_eq!((a.count(), in_flight(&set), look(&set, "a").counts.successes), (1, 0, 1));
}

/// C1, C2: services that are pending once, and whose clones are never ready
#[tokio::test(start_paused = true)]
async fn endpoints_that_are_pending_once_are_called_when_they_are_ready() {
    let actors = [Actor::new("a"), Actor::new("b")];
    let set: Endpoints<_> = actors
        .iter()
        .zip(["a", "b"])
        .map(|(actor, name)| Endpoint::new(name, Hostile::new(actor.clone())))
        .collect();
    let balance = BalanceLayer::plain().seed(1).layer(set.clone());
    for _ in 0..100 {
        balance.clone().oneshot(()).await.unwrap();
    }
    assert_eq!(actors[0].count() + actors[1].count(), 100);
    assert!(actors.iter().all(|actor| actor.count() > 20), "both serve");
    assert_eq!(in_flight(&set), 0);
}
