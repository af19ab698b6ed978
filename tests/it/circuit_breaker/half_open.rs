//! How a circuit comes back.

use super::*;
use crate::kit::settings::Watch as _;
use crate::kit::settings::nonzero;
use tower_failover::Deadline;
use tower_failover::trip::{Consecutive, Failures, SlowRatio};

/// F3, F6
#[tokio::test(start_paused = true)]
async fn of_two_hundred_callers_never_more_than_three_are_inside() {
    let layer = breaker().trials(nonzero(3)).successes(nonzero(100));
    let scene = Arc::new(Scene::half_open(layer).await);
    let callers = (0..200).map(|caller: u64| {
        let scene = scene.clone();
        tokio::spawn(async move {
            for round in 0..10 {
                match scene.ask(GOOD.taking(ms(1 + (caller + round) % 7))).await {
                    Ok(_) => {}
                    Err(error) => {
                        let refused = error.downcast::<CircuitOpen>().unwrap();
                        assert_eq!(refused.state(), CircuitState::HalfOpen);
                        assert_eq!(refused.retry_after(), None);
                    }
                }
                assert!(scene.seen().trials <= 3);
                sleep(ms(1)).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    assert_eq!(scene.state(), CircuitState::HalfOpen);
    assert_eq!((scene.server.most(), scene.server.running()), (3, 0));
    assert!(scene.server.count() > 10, "as trials end, others follow: {}", scene.server.count());
}

/// F3, F6: and all of a crowd that stands there when it becomes half-open
#[tokio::test(start_paused = true)]
async fn of_ten_thousand_callers_at_once_the_trials_are_let_through_and_nobody_else() {
    for trials in [1, 3] {
        let layer = breaker().trials(nonzero(trials)).successes(nonzero(100));
        let scene = Scene::half_open(layer).await;
        let asked = (0..10_000).map(|_| scene.ask(GOOD.taking(ms(1))));
        let asked = futures_util::future::join_all(asked).await;
        let passed = asked.iter().filter(|asked| asked.is_ok()).count();
        assert_eq!((passed, scene.server.most()), (trials as usize, trials as usize));
        assert_eq!(scene.seen().refused, 10_000 - u64::from(trials));
    }
}

/// F4
#[tokio::test(start_paused = true)]
async fn no_trial_comes_before_its_time() {
    let scene = Scene::new(breaker());
    scene.trip().await;
    sleep(OPEN - ms(1)).await;
    assert_eq!(scene.refusal().await.retry_after(), Some(ms(1)));
    sleep(ms(1)).await;
    let _probe = scene.begin(HANGING);
    assert_eq!((scene.state(), scene.seen().trials), (CircuitState::HalfOpen, 1));
    assert_eq!(scene.refusal().await.state(), CircuitState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn it_closes_after_as_many_successes_as_were_asked_for() {
    for successes in [1, 2, 5] {
        let scene = Scene::half_open(breaker().successes(nonzero(successes))).await;
        for _ in 0..successes {
            assert_ne!(scene.state(), CircuitState::Closed);
            scene.ask(GOOD).await.unwrap();
        }
        assert_eq!(scene.state(), CircuitState::Closed);
    }
}

/// F7
#[tokio::test(start_paused = true)]
async fn a_failed_trial_reopens_it_whatever_went_well_before() {
    let scene = Scene::half_open(breaker().successes(nonzero(3))).await;
    scene.ask_each(2, GOOD).await;
    scene.ask(BAD).await.unwrap();
    assert_eq!((scene.state(), scene.seen().opened), (CircuitState::Open, 2));
    sleep(OPEN).await;
    scene.ask_each(2, GOOD).await;
    assert_eq!(scene.state(), CircuitState::HalfOpen, "the successes before count no more");
    scene.ask(GOOD).await.unwrap();
    assert_eq!(scene.state(), CircuitState::Closed);
}

/// F1, F8
#[tokio::test(start_paused = true)]
async fn a_neutral_trial_gives_its_permit_back_and_decides_nothing() {
    let scene = Scene::half_open(breaker()).await;
    for _ in 0..100 {
        scene.ask(NEUTRAL).await.unwrap();
        assert_eq!((scene.state(), scene.seen().trials), (CircuitState::HalfOpen, 0));
    }
    scene.ask_each(2, GOOD).await;
    assert_eq!(scene.state(), CircuitState::Closed);
}

/// A4, F1
#[tokio::test(start_paused = true)]
async fn a_dropped_trial_gives_its_permit_back() {
    for polled in [false, true] {
        let scene = Scene::half_open(breaker()).await;
        let trial = if polled { scene.begin(HANGING) } else { scene.call(HANGING) };
        assert_eq!((scene.seen().trials, scene.server.running()), (1, 1));
        drop(trial);
        assert_eq!((scene.seen().trials, scene.server.running()), (0, 0));
        assert_eq!(scene.state(), CircuitState::HalfOpen);
        // in the same moment
        scene.ask_each(2, GOOD).await;
        assert_eq!(scene.state(), CircuitState::Closed);
        assert_eq!(scene.counts()[1..], [2, 1], "the two that opened it, and the dropped one");
    }
}

#[tokio::test(start_paused = true)]
async fn the_third_trial_in_a_row_that_is_dropped_reopens_it() {
    let scene = Scene::half_open(breaker()).await;
    for dropped in 1..=3 {
        assert_ne!(scene.state(), CircuitState::Closed, "before {dropped}");
        drop(scene.begin(HANGING));
    }
    assert_eq!((scene.state(), scene.seen().opened), (CircuitState::Open, 2));
    // not the third since it became half-open
    for between in [GOOD, NEUTRAL] {
        let scene = Scene::half_open(breaker()).await;
        for _ in 0..2 {
            drop(scene.begin(HANGING));
        }
        scene.ask(between).await.unwrap();
        for _ in 0..2 {
            drop(scene.begin(HANGING));
        }
        assert_eq!(scene.state(), CircuitState::HalfOpen, "after one that was answered");
        drop(scene.begin(HANGING));
        assert_eq!(scene.state(), CircuitState::Open);
    }
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_its_caller_gives_up_late_reopens_it() {
    let layer = breaker().hang_after(ms(300)).trial_timeout(secs(60));
    let scene = Scene::half_open(layer).await;
    let trial = scene.begin(HANGING);
    sleep(ms(300)).await;
    drop(trial);
    assert_eq!((scene.state(), scene.seen().opened), (CircuitState::Open, 2));
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_is_dropped_at_its_deadline_reopens_it() {
    type Request = http::Request<()>;
    let layer = CircuitBreakerLayer::http()
        .trip_on(Consecutive::count::<1>())
        .open_for(always(OPEN))
        .hang_after(secs(10));
    for (held, state) in [(99, CircuitState::HalfOpen), (100, CircuitState::Open)] {
        let circuit = layer.handle();
        circuit.reset();
        let mut answers = [true].into_iter();
        let inner = tower::service_fn(move |_: Request| {
            let fails = answers.next().is_some();
            async move {
                if !fails {
                    std::future::pending::<()>().await;
                }
                Err::<http::Response<String>, BoxError>("down".into())
            }
        });
        let mut service = layer.layer(inner);
        assert!(service.ready().await.unwrap().call(Request::default()).await.is_err());
        sleep(OPEN).await;
        let mut request = Request::default();
        request.extensions_mut().insert(Deadline::within(ms(100)));
        let mut trial = spawn(service.ready().await.unwrap().call(request));
        assert!(trial.poll().is_pending());
        sleep(ms(held)).await;
        drop(trial);
        assert_eq!(circuit.state(), state, "after {held} ms of 100");
    }
}

/// A11, A12
#[tokio::test(start_paused = true)]
async fn a_hung_trial_is_overtaken_after_the_trial_timeout() {
    let scene = Scene::half_open(breaker().trial_timeout(secs(3))).await;
    let hung = scene.begin(HANGING);
    std::mem::forget(scene.call(HANGING));
    sleep(ms(2_999)).await;
    assert_eq!(scene.refusal().await.state(), CircuitState::HalfOpen);
    sleep(ms(1)).await;
    let refused = scene.refusal().await;
    assert_eq!((refused.state(), refused.retry_after()), (CircuitState::Open, Some(OPEN)));
    sleep(OPEN).await;
    scene.ask_each(2, GOOD).await;
    assert_eq!(scene.state(), CircuitState::Closed, "while the trial still hangs");
    drop(hung);
    assert_eq!(scene.state(), CircuitState::Closed);
}

/// A12: nobody needs to look in between
#[tokio::test(start_paused = true)]
async fn a_hung_trial_failed_when_its_time_was_up() {
    let scene = Scene::half_open(breaker()).await;
    let _hung = scene.begin(HANGING);
    // the timeout of 1 s, and the time open after it
    sleep(secs(1) + OPEN).await;
    scene.ask_each(2, GOOD).await;
    assert_eq!((scene.state(), scene.seen().opened), (CircuitState::Closed, 2));
}

/// F2
#[tokio::test(start_paused = true)]
async fn what_an_overtaken_trial_says_changes_nothing() {
    for late in [GOOD, BAD] {
        let scene = Scene::half_open(breaker().trials(nonzero(2))).await;
        let mut trial = scene.begin(late.taking(secs(12)));
        sleep(ms(1_000)).await;
        assert_eq!(scene.refusal().await.state(), CircuitState::Open);
        sleep(OPEN).await;
        scene.ask(GOOD).await.unwrap();
        assert_eq!(scene.state(), CircuitState::HalfOpen);
        sleep(ms(1_000)).await;
        assert!(trial.poll().is_ready());
        assert_eq!((scene.state(), scene.seen().trials), (CircuitState::HalfOpen, 0));
        scene.ask(GOOD).await.unwrap();
        assert_eq!(scene.state(), CircuitState::Closed);
    }
}

/// D16
#[tokio::test(start_paused = true)]
async fn an_answer_in_the_moment_of_the_trial_timeout_is_in_time() {
    let layer = breaker().trial_timeout(secs(3)).successes(nonzero(1));
    let scene = Scene::half_open(layer).await;
    scene.ask(GOOD.taking(secs(3))).await.unwrap();
    assert_eq!(scene.state(), CircuitState::Closed);
}

/// D2: nobody can tell when an answer came that was not taken, so its trial is one that hung
#[tokio::test(start_paused = true)]
async fn a_trial_whose_answer_is_taken_too_late_opens_it_once_more() {
    let scene = Scene::half_open(breaker().trial_timeout(secs(3))).await;
    let mut trial = scene.begin(GOOD.taking(secs(1)));
    tokio::time::advance(secs(3) + OPEN).await;
    assert!(
        matches!(trial.poll(), Poll::Ready(Ok(Outcome::Success))),
        "its caller has it all the same"
    );
    scene.ask_each(2, GOOD).await;
    assert_eq!((scene.state(), scene.seen().opened), (CircuitState::Closed, 2));
}

#[tokio::test(start_paused = true)]
async fn trials_that_are_slower_than_the_window_still_close_it() {
    let rule = Failures::count::<2>().within(secs(1));
    let scene = Scene::half_open(trips_on(rule).trial_timeout(secs(60))).await;
    scene.ask_each(2, GOOD.taking(secs(30))).await;
    assert_eq!(scene.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_trial_is_judged_by_the_rule_for_slow_calls_too() {
    let slow = SlowRatio::slower_than(secs(2)).percent::<50>();
    for (takes, state) in [(2_000, CircuitState::Closed), (2_001, CircuitState::Open)] {
        let layer = breaker().trip_on(slow).successes(nonzero(1)).trial_timeout(secs(60));
        let scene = Scene::half_open(layer).await;
        scene.ask(GOOD.taking(ms(takes))).await.unwrap();
        assert_eq!(scene.state(), state, "{takes} ms");
    }
}

/// The time of the rule for slow calls is the trial's where nothing else is said.
#[tokio::test(start_paused = true)]
async fn a_trial_has_the_time_of_a_call_that_is_not_slow() {
    let slow = SlowRatio::slower_than(secs(2)).percent::<50>();
    let scene = Scene::half_open(breaker().trip_on(slow)).await;
    let _hung = scene.begin(HANGING);
    sleep(ms(1_999)).await;
    assert_eq!(scene.refusal().await.state(), CircuitState::HalfOpen);
    sleep(ms(1)).await;
    assert_eq!(scene.refusal().await.state(), CircuitState::Open);
}

/// F2
#[tokio::test(start_paused = true)]
async fn answers_to_calls_from_before_the_trip_change_nothing_when_they_come() {
    for late in [GOOD, BAD] {
        // also where the circuit has closed again, and its windows are those of another period
        for at in [secs(5), secs(10), secs(15)] {
            let scene = Scene::new(breaker());
            let old: Vec<_> = (0..5).map(|_| scene.begin(late.taking(at))).collect();
            scene.trip().await;
            sleep(at.min(OPEN)).await;
            if at >= OPEN {
                scene.ask(GOOD).await.unwrap();
            }
            if at > OPEN {
                scene.ask(GOOD).await.unwrap();
                sleep(at - OPEN).await;
            }
            let before = (scene.state(), scene.seen().rules, scene.seen().opened);
            for mut call in old {
                assert!(call.poll().is_ready());
            }
            let after = (scene.state(), scene.seen().rules, scene.seen().opened);
            assert_eq!(before, after, "{late:?} after {at:?}");
        }
    }
}

/// F6
#[tokio::test(start_paused = true)]
async fn on_a_ramp_a_growing_share_is_let_through() {
    let scene = Scene::half_open(breaker().ramp(secs(60))).await;
    scene.ask_each(2, GOOD).await;
    assert_eq!(scene.state(), CircuitState::Ramp);
    // Envoy's slow start: at least a tenth, and then as much as has passed of the time
    let mut begun = 0;
    for (at, share) in [(1, 10), (6, 10), (30, 50), (45, 75)] {
        sleep(secs(at - begun)).await;
        begun = at;
        let asked = futures_util::future::join_all((0..100).map(|_| scene.ask(GOOD))).await;
        let passed: i32 = asked.iter().map(|asked| i32::from(asked.is_ok())).sum();
        assert!((passed - share).abs() <= 1, "{passed} of 100 after {at} s");
    }
    sleep(secs(15)).await;
    assert_eq!((scene.state(), scene.seen().share), (CircuitState::Closed, 1.0));
}

#[tokio::test(start_paused = true)]
async fn on_a_ramp_the_rules_hold() {
    let scene = Scene::half_open(breaker().ramp(secs(60))).await;
    scene.ask_each(2, GOOD).await;
    while scene.state() == CircuitState::Ramp {
        let _ = scene.ask(BAD).await;
    }
    assert_eq!((scene.state(), scene.seen().opened), (CircuitState::Open, 2));
}

/// D5
#[tokio::test(start_paused = true)]
async fn a_trial_timeout_of_zero_is_the_shortest() {
    let layer = || breaker().successes(nonzero(1)).trial_timeout(Duration::ZERO);
    let scene = Scene::half_open(layer()).await;
    scene.ask(GOOD).await.unwrap();
    assert_eq!(scene.state(), CircuitState::Closed, "it was answered at once");
    let scene = Scene::half_open(layer()).await;
    let _late = scene.begin(GOOD.taking(ms(2)));
    sleep(ms(1)).await;
    assert_eq!(scene.refusal().await.state(), CircuitState::Open);
    assert_eq!((scene.state(), scene.seen().opened), (CircuitState::Open, 2));
}

/// D5
#[tokio::test(start_paused = true)]
async fn a_dwell_of_zero_is_the_shortest() {
    let rule = Failures::count::<2>().degrade();
    for (dwell, state) in
        [(secs(5), CircuitState::Degraded), (Duration::ZERO, CircuitState::Closed)]
    {
        let scene = Scene::new(trips_on(rule).dwell(dwell));
        scene.ask_each(2, BAD).await;
        assert_eq!(scene.state(), CircuitState::Degraded);
        sleep(ms(1)).await;
        let _ = scene.ask(GOOD).await;
        assert_eq!(scene.state(), state, "{dwell:?}");
    }
}
