//! What every layer keeps, alone and in any order, with tower's own layers between.

#[macro_use]
mod stacks;

use self::stacks::*;
use crate::kit::{ms, secs, sleep};
use std::fmt;
use std::future::Future;
use std::time::Duration;
use tower::layer::layer_fn;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_failover::circuit_breaker::CircuitOpen;
use tower_failover::fallback::{Failed, FallbackLayer};

/// Runs the test for every stack over services that fail never, sometimes and always.
async fn over_all_stacks<F: Future<Output = ()>>(test: impl Fn(World, Build, Case) -> F) {
    for &(name, alone, build) in STACKS {
        for (how, fails) in [("never", NEVER), ("twice", TWICE_OF_THREE), ("always", ALWAYS)] {
            let case = Case { name, how, alone };
            // clones have to be ready at once, or there is no hedge
            let prompt = name.contains("shed") || name.contains("hedge");
            test(World::new(fails, prompt), build, case).await;
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Case {
    name: &'static str,
    how: &'static str,
    alone: bool,
}

impl Case {
    fn may_refuse(self) -> bool {
        self.how != "never" && (self.name.contains("touchy") || self.name.contains("breaker"))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over services that fail {}", self.name, self.how)
    }
}

/// Waits until nothing is at work any more: a buffer's task may have something to drop.
async fn settle(world: &World, case: Case) {
    sleep(secs(1)).await;
    assert_eq!(world.gauge.held(), 0, "{case}: a request is held");
    assert_eq!(world.free_permits(), [1, 1], "{case}: a permit is held");
}

/// C1, C2, C13: the services inside panic when they are called unready
#[tokio::test(start_paused = true)]
async fn no_service_is_called_unready_and_every_call_gets_its_own_answer() {
    over_all_stacks(|world, build, case| async move {
        let mut service = build(&world);
        for id in 1..=4 {
            let mut other = service.clone();
            for service in [&mut service, &mut other] {
                let call = async { service.ready().await.unwrap().call(world.job(id)).await };
                let answer = tokio::time::timeout(secs(3_600), call).await;
                match answer.unwrap_or_else(|_| panic!("{case}: it hangs")) {
                    Ok(answer) => assert!(answer == id || answer == INSTEAD, "{case}: {answer}"),
                    Err(_) => assert_ne!(case.how, "never", "{case}"),
                }
            }
        }
        // a circuit may refuse where something failed before
        let least = if case.may_refuse() { 1 } else { 8 };
        let (jobs, calls) = (8, world.first.count());
        assert!(calls >= least && calls <= 9 * jobs, "{case}: {calls} calls");
        drop(service);
        settle(&world, case).await;
    })
    .await;
}

/// C6, C9, C13
#[tokio::test(start_paused = true)]
async fn many_calls_side_by_side_all_end() {
    over_all_stacks(|world, build, case| async move {
        let service = build(&world);
        let calls: Vec<_> =
            (1..=20).map(|id| tokio::spawn(service.clone().oneshot(world.job(id)))).collect();
        for (id, call) in (1..).zip(calls) {
            let call = tokio::time::timeout(secs(3_600), call).await;
            match call.unwrap_or_else(|_| panic!("{case}: it hangs")).unwrap() {
                Ok(answer) => {
                    assert!(answer == id || answer == INSTEAD, "{case}: {answer} to {id}");
                }
                Err(error) => {
                    assert!(!error.is::<CircuitOpen>() || case.may_refuse(), "{case}: {error}");
                }
            }
        }
        drop(service);
        settle(&world, case).await;
    })
    .await;
}

/// A1, A2, A5, G18: the next call works, and what was taken is back
#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_any_number_of_polls_leaves_nothing() {
    over_all_stacks(|world, build, case| async move {
        let mut polls = 0;
        loop {
            let service = build(&world);
            let (balance, before) = (world.budget.balance(), world.first.count());
            let mut call = tokio_test::task::spawn(service.clone().oneshot(world.job(7)));
            let mut done = false;
            for _ in 0..polls {
                done = call.poll().is_ready();
                tokio::time::advance(ms(1)).await;
                if done {
                    break;
                }
            }
            drop(call);
            if case.alone {
                assert_eq!(world.gauge.held(), 0, "{case}, {polls} polls");
                assert_eq!(world.free_permits(), [1, 1], "{case}, {polls} polls");
                let extra = world.first.count().saturating_sub(before + 1) as u64;
                // a retry that a circuit refuses has begun too, and is the last one
                let extra = extra + u64::from(case.may_refuse());
                let spent = balance - world.budget.balance().min(balance);
                assert!(spent <= extra, "{case}, {polls} polls: {spent} for {extra}");
            }
            let next = tokio::time::timeout(secs(3_600), service.oneshot(world.job(8))).await;
            assert!(next.is_ok(), "{case}, {polls} polls: the next call hangs");
            settle(&world, case).await;
            if done {
                break;
            }
            polls += 1;
        }
        assert!(polls > 3, "{case}: {polls} polls met hardly anything");
    })
    .await;
}

/// C3, C10
#[tokio::test(start_paused = true)]
async fn many_polls_for_readiness_make_one_reservation_which_goes_back() {
    over_all_stacks(|world, build, case| async move {
        let mut service = build(&world);
        for _ in 0..9 {
            service.ready().await.unwrap();
        }
        drop(service);
        settle(&world, case).await;
    })
    .await;
}

/// A15, D11
#[tokio::test(start_paused = true)]
async fn no_call_wakes_itself_in_circles() {
    over_all_stacks(|world, build, case| async move {
        let mut call = tokio_test::task::spawn(build(&world).oneshot(world.job(1)));
        let (mut polls, mut moments) = (0, 0);
        while moments < 60 {
            // whatever is to be done in this moment is done in a few polls
            polls += 1;
            if call.poll().is_ready() {
                break;
            }
            if !call.is_woken() {
                moments += 1;
                tokio::time::advance(ms(1)).await;
            }
            assert!(polls <= 10 * (moments + 1), "{case}: {polls} polls in {moments} ms");
        }
        assert!(moments < 60, "{case}: no answer");
    })
    .await;
}

/// C4: a stack is not ready while its service is not, and is woken when that changes
#[tokio::test(start_paused = true)]
async fn a_stack_waits_for_the_service_inside() {
    over_all_stacks(|world, build, case| async move {
        let permit = world.permits[0].clone().acquire_owned().await.unwrap();
        let call = tokio::spawn(build(&world).oneshot(world.job(1)));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.first.count(), 0, "{case}");
        drop(permit);
        let _ = tokio::time::timeout(secs(60), call).await.unwrap_or_else(|_| panic!("{case}"));
        settle(&world, case).await;
    })
    .await;
}

/// C13: layers of ours take layers made by hand
#[tokio::test(start_paused = true)]
async fn a_layer_made_of_a_function_fits_between() {
    let world = World::new(TWICE_OF_THREE, false);
    let layers = ServiceBuilder::new()
        .layer(value!())
        .layer(layer_fn(|inner| inner))
        .layer(retry(&world))
        .into_inner();
    assert_eq!(stack(&world, layers).oneshot(world.job(5)).await.unwrap(), 5);
    assert_eq!(world.first.count(), 3);
}
