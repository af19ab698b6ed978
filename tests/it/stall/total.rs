//! The longest time that a body is waited for in all.

use super::*;
use crate::kit::timed;

fn total(time: Duration) -> StallLayer {
    StallLayer::http().total(time)
}

/// N10
#[tokio::test(start_paused = true)]
async fn a_slow_body_below_the_idle_limit_is_ended_by_the_total_one() {
    let layer = idle(secs(1)).total(secs(10));
    let (body, seen) = answer(&layer, every::<100>(ms(900), 1));
    let ((bytes, error), took) = timed(read(body)).await;
    assert_eq!((bytes, took), (11, secs(10)));
    assert_eq!(limit(error), StallLimit::Total(secs(10)));
    assert!(!seen.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_below_the_idle_limit_goes_on_without_a_total_one() {
    let (body, _) = answer(&idle(secs(1)), every::<2_000>(ms(900), 1));
    assert_eq!(read(body).await.0, 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_total_limit_adds_up_all_waits() {
    let steps = [Step::Wait(secs(4)), bytes(1), Step::Wait(secs(4)), bytes(1)];
    let (body, seen) = answer(&total(secs(10)), steps.into_iter().chain([Step::Hang]));
    let ((bytes, error), took) = timed(read(body)).await;
    assert_eq!((bytes, limit(error), took), (2, StallLimit::Total(secs(10)), secs(10)));
    assert!(!seen.is_held());
}

/// Takes 100 s, of which it waits for the body no more than 900 ms.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_not_cut_off_by_a_total_limit() {
    for pause in [ms(0), ms(90)] {
        let steps = [Step::Wait(pause), bytes(1)].into_iter().cycle().take(20);
        let (mut body, _) = answer(&total(secs(1)), steps);
        for _ in 0..10 {
            sleep(secs(10)).await;
            assert_eq!(next(&mut body).await, 1);
        }
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_pauses_of_a_reader_between_its_waits_are_not_counted() {
    let (mut body, _) = answer(&total(secs(1)), [Step::Wait(ms(400)), bytes(1), Step::Hang]);
    sleep(secs(5)).await;
    assert_eq!(next(&mut body).await, 1);
    sleep(secs(5)).await;
    let ((_, error), took) = timed(read(body)).await;
    assert_eq!((limit(error), took), (StallLimit::Total(secs(1)), ms(600)));
}

#[tokio::test(start_paused = true)]
async fn the_end_that_comes_when_the_total_limit_is_due_wins() {
    let (body, _) = answer(&total(secs(1)), [bytes(1), Step::Wait(secs(1))]);
    let ((bytes, error), took) = timed(read(body)).await;
    assert!(error.is_none());
    assert_eq!((bytes, took), (1, secs(1)));
}
