//! Which attempts are made, when, and whose answer is taken.

use super::{FAILS, NOT_FOUND, OK, by_number, staged};
use crate::kit::{ms, now, timed};
use std::time::Duration;
use tower::{Layer, ServiceExt};
use tower_failover::hedge::HedgeLayer;

/// The answer, after how many milliseconds, and when each attempt was made.
async fn run<const N: usize>(
    hedges: u32,
    delay: Duration,
    parts: [super::Part; N],
) -> (Result<u16, String>, u128, Vec<u128>) {
    let stage = staged(parts);
    let layer =
        HedgeLayer::plain().classify_fn(by_number).delay(delay).max_hedges(hedges).no_budget();
    let (answer, took) = timed(layer.layer(stage.clone()).oneshot(0)).await;
    assert_eq!(stage.running(), 0, "an attempt outlives the answer");
    (answer.map_err(|error| error.to_string()), took.as_millis(), stage.made())
}

#[tokio::test(start_paused = true)]
async fn nothing_extra_is_sent_before_the_delay_and_one_after_it() {
    assert_eq!(run(1, ms(50), [(49, OK)]).await, (Ok(200), 49, vec![0]));
    assert_eq!(run(1, ms(50), [(90, OK), (5, OK)]).await, (Ok(200), 55, vec![0, 50]));
    assert_eq!(run(1, ms(50), [(60, OK), (30, OK)]).await, (Ok(200), 60, vec![0, 50]));
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_all_that_runs_starts_the_hedge_at_once() {
    assert_eq!(run(1, ms(50), [(0, FAILS), (5, OK)]).await, (Ok(200), 5, vec![0, 0]));
    assert_eq!(run(1, ms(50), [(20, FAILS), (5, OK)]).await, (Ok(200), 25, vec![0, 20]));
}

/// I8
#[tokio::test(start_paused = true)]
async fn a_failing_attempt_never_beats_a_pending_one() {
    assert_eq!(run(1, ms(50), [(60, FAILS), (30, OK)]).await, (Ok(200), 80, vec![0, 50]));
    assert_eq!(run(1, ms(50), [(90, OK), (5, FAILS)]).await, (Ok(200), 90, vec![0, 50]));
}

/// I7
#[tokio::test(start_paused = true)]
async fn when_all_fail_the_answer_is_the_last_one() {
    let last = Some(Err("the last"));
    let broken = |text: &str| Err(text.to_owned());
    assert_eq!(run(1, ms(50), [(60, FAILS), (30, last)]).await.0, broken("the last"));
    assert_eq!(run(1, ms(50), [(90, last), (5, FAILS)]).await.0, broken("the last"));
    assert_eq!(run(2, ms(50), [(0, FAILS), (0, FAILS), (0, last)]).await.0, broken("the last"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_says_nothing_wins_where_nothing_else_runs_or_one_delay_later() {
    assert_eq!(run(1, ms(50), [(10, NOT_FOUND)]).await, (Ok(404), 10, vec![0]));
    let beside = [(200, OK), (10, NOT_FOUND)];
    assert_eq!(run(1, ms(50), beside).await, (Ok(404), 110, vec![0, 50]));
    let good_in_time = [(100, OK), (10, NOT_FOUND)];
    assert_eq!(run(1, ms(50), good_in_time).await, (Ok(200), 100, vec![0, 50]));
    let other_fails = [(80, FAILS), (10, NOT_FOUND)];
    assert_eq!(run(1, ms(50), other_fails).await, (Ok(404), 80, vec![0, 50]));
}

/// The wait is for the attempts that run when it comes, and what they do does not draw it out.
#[tokio::test(start_paused = true)]
async fn a_failure_does_not_lengthen_the_wait_for_something_better() {
    let parts = [(900, OK), (120, FAILS), (10, NOT_FOUND)];
    assert_eq!(run(2, ms(50), parts).await, (Ok(404), 160, vec![0, 50, 100]));
    let parts = [(900, OK), (100, NOT_FOUND), (10, NOT_FOUND)];
    assert_eq!(run(2, ms(50), parts).await, (Ok(404), 160, vec![0, 50, 100]));
}

/// I2
#[tokio::test(start_paused = true)]
async fn of_two_answers_in_one_moment_one_is_given() {
    assert_eq!(run(1, ms(50), [(80, OK), (30, OK)]).await, (Ok(200), 80, vec![0, 50]));
}

/// I3, D16
#[tokio::test(start_paused = true)]
async fn an_answer_in_the_moment_of_the_delay_is_not_hedged() {
    assert_eq!(run(1, ms(50), [(50, OK), (5, OK)]).await, (Ok(200), 50, vec![0]));
}

/// The table of gRFC A6.
#[tokio::test(start_paused = true)]
async fn four_are_in_flight_after_three_delays() {
    let stage = staged([]);
    let layer = HedgeLayer::plain().delay(ms(500)).max_hedges(3).no_budget();
    let mut call = tokio::spawn(layer.layer(stage.clone()).oneshot(0));
    let began = now();
    for (at, running) in [(1, 1), (501, 2), (1_001, 3), (1_501, 4), (9_000, 4)] {
        let until = ms(at) - began.elapsed();
        assert!(tokio::time::timeout(until, &mut call).await.is_err());
        assert_eq!(stage.running(), running, "after {at} ms");
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(stage.running(), 0);
}

/// One delay after the one before, whatever made that one start.
#[tokio::test(start_paused = true)]
async fn a_hedge_after_a_failure_begins_a_delay_of_its_own() {
    let parts = [(40, FAILS), (900, OK), (900, OK)];
    assert_eq!(run(2, ms(50), parts).await, (Ok(200), 940, vec![0, 40, 90]));
    let parts = [(0, FAILS), (900, OK), (10, OK)];
    assert_eq!(run(2, ms(50), parts).await, (Ok(200), 60, vec![0, 0, 50]));
}

/// A task that comes late, on a machine that is busy, does not send at once what it has missed.
#[tokio::test(start_paused = true)]
async fn a_task_that_comes_late_sends_one_hedge_at_a_time() {
    let stage = staged([]);
    let layer = HedgeLayer::plain().delay(ms(50)).max_hedges(3).no_budget();
    let mut call = tokio_test::task::spawn(layer.layer(stage.clone()).oneshot(0));
    assert!(call.poll().is_pending());
    tokio::time::advance(ms(500)).await;
    assert!(call.poll().is_pending());
    assert_eq!(stage.running(), 2);
    tokio::time::advance(ms(51)).await;
    assert!(call.poll().is_pending());
    assert_eq!(stage.running(), 3);
}
