//! Calls that are given up, in every place where they can be.

use crate::kit::settings::nonzero;
use crate::kit::{Act, Actor, Gate, Gauge, cast, in_flight, look, ms, secs};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use std::future::ready;
use std::task::Poll;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_err};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_failover::BoxError;
use tower_failover::balance::{
    BalanceLayer, Endpoint, EndpointState, Endpoints, NoEndpoint, OutcomeCounts,
};

/// Ejects an endpoint by calls to it, while another one serves.
async fn eject(set: &Endpoints<Actor>, name: &str, actor: &Actor) {
    let only = name.to_owned();
    let layer = BalanceLayer::plain().allow(move |(): &(), endpoint| endpoint.name() == only);
    let balance = layer.layer(set.clone());
    actor.act(Act::Fails);
    for _ in 0..3 {
        balance.clone().oneshot(()).await.unwrap_err();
    }
    actor.act(Act::Answers);
    assert_eq!(look(set, name).state, EndpointState::Ejected);
}

/// A1
#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_polled_leaves_nothing_behind() {
    let ([a], set) = cast();
    let mut balance = BalanceLayer::plain().layer(set.clone());
    for _ in 0..100 {
        drop(balance.call(()));
    }
    assert_eq!((a.count(), a.polls(), in_flight(&set)), (0, 0, 0));
    assert_eq!(look(&set, "a").counts, OutcomeCounts::default(), "no call ended, since none began");
}

/// A2, A15: the n-th poll is the last one, in a life with every kind of wait
#[tokio::test(start_paused = true)]
async fn a_call_can_be_given_up_at_every_poll() {
    for most in 0..=5 {
        let ([a, b], set) = cast::<2>();
        [&a, &b].into_iter().for_each(|actor| actor.gate(Gate::Shut));
        [&a, &b].into_iter().for_each(|actor| actor.act(Act::AnswersAfter(ms(10))));
        set.drain("a");
        set.drain("b");
        let mut balance = BalanceLayer::plain().wait_for(secs(1)).layer(set.clone());
        let mut call = spawn(balance.call(()));
        let steps: [&dyn Fn(); 5] = [
            &|| (),
            &|| assert!(set.undrain("a")),
            &|| assert!(set.undrain("b")),
            &|| a.gate(Gate::Open),
            &|| (),
        ];
        let mut ends = None;
        for (at, step) in steps.iter().enumerate().take(most) {
            step();
            if at == 4 {
                tokio::time::advance(ms(11)).await;
            }
            match call.poll() {
                Poll::Ready(answer) => ends = Some(answer.unwrap()),
                Poll::Pending => assert_eq!(in_flight(&set), u32::from(at >= 1), "poll {at}"),
            }
        }
        assert_eq!(ends.is_some(), most == 5);
        drop(call);
        assert_eq!((in_flight(&set), a.running(), b.running()), (0, 0, 0), "{most} polls");
        [&a, &b].into_iter().for_each(|actor| actor.gate(Gate::Open));
        set.undrain("a");
        set.undrain("b");
        let mut next = spawn(balance.call(()));
        assert_pending!(next.poll());
        tokio::time::advance(ms(11)).await;
        assert_ready!(next.poll()).unwrap();
    }
}

/// A2: the future of the endpoint goes with the call
#[tokio::test(start_paused = true)]
async fn the_endpoints_future_is_dropped_with_the_call() {
    let ([a], set) = cast();
    a.act(Act::Hangs);
    let mut call = spawn(BalanceLayer::plain().layer(set.clone()).call(()));
    assert_pending!(call.poll());
    assert_eq!((a.running(), in_flight(&set)), (1, 1));
    drop(call);
    assert_eq!((a.running(), in_flight(&set)), (0, 0));
    assert_eq!(look(&set, "a").counts.neutral, 1, "it was given up early");
}

/// J13: a stopped process still accepts
#[tokio::test(start_paused = true)]
async fn calls_that_hang_and_are_given_up_count_as_failed() {
    let ([a, _b], set) = cast();
    a.act(Act::Hangs);
    let mut balance = BalanceLayer::plain().layer(set.clone());
    for _ in 0..20 {
        let mut call = spawn(balance.call(()));
        if call.poll().is_pending() {
            tokio::time::advance(ms(600)).await;
        }
    }
    let found = look(&set, "a");
    assert!(found.counts.failures >= 1 && found.counts.neutral == 0, "{found:?}");
    assert!(a.count() < 5, "others get the calls");
}

/// A4
#[tokio::test(start_paused = true)]
async fn a_trial_that_is_given_up_early_gives_its_permit_back() {
    for polls in [0, 1] {
        let ([a, _b], set) = cast();
        eject(&set, "a", &a).await;
        tokio::time::advance(ms(700)).await;
        a.act(Act::Hangs);
        let mut balance = BalanceLayer::plain().layer(set.clone());
        let mut trial = spawn(balance.call(()));
        (0..polls).for_each(|_| assert_pending!(trial.poll()));
        assert_eq!(look(&set, "a").state, EndpointState::Trial);
        assert_eq!(look(&set, "a").in_flight, 1);
        drop(trial);
        a.act(Act::Answers);
        assert_eq!(balance.oneshot(()).await.unwrap(), "a", "the next call is the trial, at once");
        assert_eq!(look(&set, "a").state, EndpointState::Ramp);
        assert_eq!(in_flight(&set), 0);
    }
}

/// A11
#[tokio::test(start_paused = true)]
async fn a_trial_that_is_forgotten_does_not_keep_the_endpoint_out_for_ever() {
    let ([a, _b], set) = cast();
    eject(&set, "a", &a).await;
    tokio::time::advance(ms(700)).await;
    let balance = BalanceLayer::plain().layer(set.clone());
    std::mem::forget(balance.clone().call(()));
    assert_eq!(look(&set, "a").state, EndpointState::Trial);
    let mut seconds = 0;
    while look(&set, "a").state != EndpointState::Ramp {
        balance.clone().oneshot(()).await.unwrap();
        tokio::time::advance(ms(100)).await;
        seconds += 1;
        assert!(seconds < 200, "{:?}", look(&set, "a"));
    }
}

/// A12
#[tokio::test(start_paused = true)]
async fn a_trial_that_hangs_does_not_keep_the_endpoint_out_for_ever() {
    let ([a, _b], set) = cast();
    eject(&set, "a", &a).await;
    a.act(Act::Hangs);
    tokio::time::advance(ms(700)).await;
    let balance = BalanceLayer::plain().layer(set.clone());
    let mut hangs = spawn(balance.clone().call(()));
    assert_pending!(hangs.poll());
    for _ in 0..20 {
        assert_eq!(balance.clone().oneshot(()).await.unwrap(), "b", "one trial at a time");
    }
    a.act(Act::Answers);
    let mut steps = 0;
    while look(&set, "a").state != EndpointState::Ramp {
        balance.clone().oneshot(()).await.unwrap();
        tokio::time::advance(ms(100)).await;
        steps += 1;
        assert!(steps < 200, "{:?}", look(&set, "a"));
    }
    drop(hangs);
    assert_eq!(look(&set, "a").state, EndpointState::Ramp, "its end is too late to matter");
    assert_eq!(in_flight(&set), 0);
}

/// The trial of an endpoint whose answers take seconds is given seconds.
#[tokio::test(start_paused = true)]
async fn an_endpoint_whose_answers_take_long_comes_back_through_a_trial() {
    let ([a, b], set) = cast();
    [&a, &b].into_iter().for_each(|actor| actor.act(Act::AnswersAfter(secs(3))));
    let balance = BalanceLayer::plain().slow_start(ms(0)).layer(set.clone());
    for _ in 0..10 {
        balance.clone().oneshot(()).await.unwrap();
    }
    a.act(Act::Fails);
    while look(&set, "a").state != EndpointState::Ejected {
        let _ = balance.clone().oneshot(()).await;
    }
    a.act(Act::AnswersAfter(secs(3)));
    let mut calls = 0;
    while look(&set, "a").state == EndpointState::Ejected {
        balance.clone().oneshot(()).await.unwrap();
        calls += 1;
        assert!(calls < 20, "{:?}", look(&set, "a"));
    }
}

/// A2, A17: who waits for an endpoint and leaves is forgotten
#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_and_leaves_is_forgotten() {
    let set = Endpoints::<Actor>::new();
    let balance = BalanceLayer::plain().wait_for(secs(10)).layer(set.clone());
    let mut calls: Vec<_> = (0..100).map(|_| spawn(balance.clone().call(()))).collect();
    calls.iter_mut().for_each(|call| assert_pending!(call.poll()));
    let stays = calls.pop().unwrap();
    drop(calls);
    let a = Actor::new("a");
    set.insert(Endpoint::new("a", a.clone()));
    let mut stays = stays;
    assert!(stays.is_woken());
    assert_ready!(stays.poll()).unwrap();
    assert_eq!((a.count(), in_flight(&set)), (1, 0));
}

/// J4, C4, A15
#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_is_polled_when_there_is_reason_to() {
    let ([a], set) = cast();
    a.act(Act::Hangs);
    let layer = BalanceLayer::plain().max_in_flight(nonzero(1)).wait_for(secs(10));
    let mut balance = layer.layer(set.clone());
    let mut holds = spawn(balance.call(()));
    assert_pending!(holds.poll());
    let mut waits = spawn(balance.call(()));
    assert_pending!(waits.poll());
    tokio::time::advance(secs(9)).await;
    assert!(!waits.is_woken(), "nothing has happened");
    a.act(Act::Answers);
    drop(holds);
    assert!(waits.is_woken(), "a place is free");
    assert_ready!(waits.poll()).unwrap();

    a.act(Act::Hangs);
    let mut holds = spawn(balance.call(()));
    assert_pending!(holds.poll());
    let mut waits = spawn(balance.call(()));
    assert_pending!(waits.poll());
    tokio::time::advance(ms(10_001)).await;
    assert!(assert_ready_err!(waits.poll()).is::<NoEndpoint>(), "the time is up");
}

/// A5: readied, never called
#[tokio::test(start_paused = true)]
async fn a_balancer_that_is_polled_ready_and_dropped_leaves_nothing_behind() {
    let ([a], set) = cast();
    for _ in 0..10 {
        let mut balance = BalanceLayer::plain().layer(set.clone());
        ServiceExt::<()>::ready(&mut balance).await.unwrap();
    }
    assert_eq!((a.polls(), in_flight(&set)), (0, 0));
}

type Body = http_body_util::combinators::BoxBody<Bytes, BoxError>;

/// Answers with frames, and an error at the end if that is said.
fn streaming(
    breaks: bool,
) -> Endpoints<
    impl Service<Request<()>, Response = Response<Body>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + Sync,
> {
    let service = service_fn(move |_: Request<()>| {
        let good = ["one", "two"].map(|part| Ok(http_body::Frame::data(Bytes::from(part))));
        let end = breaks.then(|| Err(BoxError::from("cut off")));
        let frames = futures_util::stream::iter(good.into_iter().chain(end));
        ready(Ok::<_, BoxError>(Response::new(http_body_util::StreamBody::new(frames).boxed())))
    });
    [Endpoint::new("a", service)].into_iter().collect()
}

/// A9, A10, J14
#[tokio::test(start_paused = true)]
async fn a_call_is_in_flight_up_to_the_end_of_its_body_however_that_comes() {
    for (breaks, frames, successes, failures, neutral) in [
        (false, 3, 1, 0, 0),
        (false, 1, 0, 0, 1),
        (false, 0, 0, 0, 1),
        (true, 3, 0, 1, 0),
        (true, 2, 0, 0, 1),
    ] {
        let set = streaming(breaks);
        let mut balance = BalanceLayer::http().layer(set.clone());
        let mut answer = balance.call(Request::new(())).await.unwrap();
        assert_eq!(in_flight(&set), 1);
        for frame in 0..frames {
            assert_eq!(in_flight(&set), 1, "before frame {frame}");
            let _ = answer.body_mut().frame().await;
        }
        drop(answer);
        let found = look(&set, "a");
        let counts = (found.counts.successes, found.counts.failures, found.counts.neutral);
        assert_eq!((found.in_flight, counts), (0, (successes, failures, neutral)));
    }
}

/// A16
#[test]
fn a_runtime_can_go_down_with_calls_in_every_state() {
    let ([a, b], set) = cast();
    a.act(Act::Hangs);
    b.gate(Gate::Shut);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let empty = BalanceLayer::plain().wait_for(secs(10)).layer(Endpoints::<Actor>::new());
    let balance = BalanceLayer::plain().layer(set.clone());
    for _ in 0..20 {
        runtime.spawn(balance.clone().oneshot(()));
        runtime.spawn(empty.clone().oneshot(()));
    }
    runtime.block_on(tokio::task::yield_now());
    assert!(in_flight(&set) > 0);
    drop(runtime);
    assert_eq!((in_flight(&set), a.running()), (0, 0));
}

/// A17
#[tokio::test(start_paused = true)]
async fn nothing_is_kept_alive_by_what_was_dropped() {
    let gauge = Gauge::new();
    let kept = gauge.clone();
    let service = service_fn(move |(): ()| {
        let _kept = &kept;
        ready(Ok::<_, BoxError>(()))
    });
    let set: Endpoints<_> = [Endpoint::new("a", service)].into_iter().collect();
    let mut balance = BalanceLayer::plain().layer(set.clone());
    let unpolled = balance.call(());
    balance.clone().oneshot(()).await.unwrap();
    drop(set);
    drop(balance);
    assert!(gauge.held() > 0, "the call that was not made yet holds its endpoint");
    drop(unpolled);
    assert_eq!(gauge.held(), 0);
}

/// A11, A16: made here, used there
#[test]
fn a_set_that_is_made_outside_of_a_runtime_serves_in_several() {
    let ([a], set) = cast();
    let balance = BalanceLayer::plain().layer(set.clone());
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(balance.clone().oneshot(())).unwrap(), "a");
    }
    assert_eq!((a.count(), in_flight(&set)), (2, 0));
}
