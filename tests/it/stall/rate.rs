//! The least rate.

use super::*;
use crate::kit::settings::nonzero;
use crate::kit::timed;

fn rate(per_second: u64, grace: Duration) -> StallLayer {
    StallLayer::http().min_rate(nonzero(per_second), grace)
}

/// M12
#[tokio::test(start_paused = true)]
async fn one_byte_each_100_ms_breaks_100_bytes_a_second_after_the_grace() {
    for grace in [secs(1), secs(3)] {
        let layer = rate(100, grace).idle(secs(5));
        let (body, seen) = answer(&layer, every::<1_000>(ms(100), 1));
        let ((bytes, error), took) = timed(read(body)).await;
        assert_eq!(limit(error), StallLimit::MinRate(100, grace));
        assert_eq!((bytes as u64, took), (grace.as_secs() * 10, grace));
        assert!(!seen.is_held());
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_held_exactly_is_held() {
    let (body, _) = answer(&rate(100, secs(1)), every::<1_000>(ms(100), 10));
    let (bytes, error) = read(body).await;
    assert!(error.is_none());
    assert_eq!(bytes, 5_000);
}

#[tokio::test(start_paused = true)]
async fn bursts_within_the_grace_are_added_up() {
    let steps = [bytes(500), Step::Wait(ms(4_900))].into_iter().cycle().take(100);
    let (body, _) = answer(&rate(100, secs(5)), steps);
    let (bytes, error) = read(body).await;
    assert!(error.is_none());
    assert_eq!(bytes, 25_000);
}

/// What came before the first look does not help after it.
#[tokio::test(start_paused = true)]
async fn silence_after_much_is_seen_within_two_graces() {
    let steps = [bytes(1_000_000), Step::Wait(ms(10)), bytes(1), Step::Hang];
    let (body, _) = answer(&rate(100, secs(1)), steps);
    let ((bytes, error), took) = timed(read(body)).await;
    assert_eq!((bytes, limit(error)), (1_000_001, StallLimit::MinRate(100, secs(1))));
    assert_eq!(took, secs(2));
}

#[tokio::test(start_paused = true)]
async fn silence_from_the_head_on_is_seen_after_the_grace() {
    let (body, _) = answer(&rate(1, secs(1)), [Step::Hang]);
    let ((_, error), took) = timed(read(body)).await;
    assert_eq!((limit(error), took), (StallLimit::MinRate(1, secs(1)), secs(1)));
}

/// Reads 10 bytes in 5 s, and waits for none of them longer than 10 ms.
#[tokio::test(start_paused = true)]
async fn the_time_of_a_slow_reader_is_not_counted() {
    let (mut body, _) = answer(&rate(100, ms(100)), every::<20>(ms(10), 1));
    for _ in 0..10 {
        assert_eq!(next(&mut body).await, 1);
        sleep(ms(500)).await;
    }
    assert!(body.frame().await.is_none());
}

/// The waits of a slow reader add up all the same.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_sees_a_rate_broken_when_its_waits_make_up_the_grace() {
    let (mut body, _) = answer(&rate(101, ms(100)), every::<100>(ms(10), 1));
    for _ in 0..10 {
        assert_eq!(next(&mut body).await, 1);
        sleep(ms(500)).await;
    }
    let ((_, error), took) = timed(read(body)).await;
    assert_eq!((limit(error), took), (StallLimit::MinRate(101, ms(100)), ms(0)));
}

#[tokio::test(start_paused = true)]
async fn trailers_are_no_bytes() {
    let steps = [Step::Wait(ms(50)), TRAILERS, Step::Hang];
    let (body, _) = answer(&rate(1, ms(100)), steps);
    let ((_, error), took) = timed(read(body)).await;
    assert_eq!((limit(error), took), (StallLimit::MinRate(1, ms(100)), ms(100)));
}
