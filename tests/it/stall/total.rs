//! The longest time of a body as a whole.

use super::*;
use crate::support::timed;

fn total(time: Duration) -> StallLayer {
    StallLayer::http().total(time).unwrap()
}

/// N10
#[tokio::test(start_paused = true)]
async fn a_slow_body_below_the_idle_limit_is_ended_by_the_total_one() {
    let layer = idle(secs(1)).total(secs(10)).unwrap();
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
async fn a_total_limit_counts_from_the_head() {
    let (mut body, _) = answer(&total(secs(10)), [Step::Data(1), Step::Silence]);
    sleep(secs(4)).await;
    assert_eq!(next(&mut body).await, 1);
    sleep(secs(4)).await;
    let ((_, error), took) = timed(read(body)).await;
    assert_eq!((limit(error), took), (StallLimit::Total(secs(10)), secs(2)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_that_never_has_to_wait_is_not_cut_off() {
    let (mut body, _) = answer(&total(secs(1)), [Step::Data(1); 10]);
    for _ in 0..10 {
        sleep(secs(1)).await;
        assert_eq!(next(&mut body).await, 1);
    }
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_to_wait_after_the_total_limit_is_cut_off_at_once() {
    let (mut body, _) = answer(&total(secs(1)), [Step::Data(1), Step::Pause(ms(1)), Step::Data(1)]);
    sleep(secs(5)).await;
    assert_eq!(next(&mut body).await, 1, "this one is there");
    let ((_, error), took) = timed(read(body)).await;
    assert_eq!((limit(error), took), (StallLimit::Total(secs(1)), ms(0)));
}

#[tokio::test(start_paused = true)]
async fn the_end_that_comes_when_the_total_limit_is_due_wins() {
    let (body, _) = answer(&total(secs(1)), [Step::Data(1), Step::Pause(secs(1))]);
    let ((bytes, error), took) = timed(read(body)).await;
    assert!(error.is_none());
    assert_eq!((bytes, took), (1, secs(1)));
}
