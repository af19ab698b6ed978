//! Windows to which three threads write.

use crate::explore::side_by_side;
use crate::window::{CountWindow, Era, MOST_SLICES, TimeWindow, Totals};
use std::sync::Arc;
use std::time::Duration;

const SLICE: Duration = Duration::from_secs(1);

const HIT: bool = true;
const GOOD: bool = false;

fn by_time() -> Arc<TimeWindow> {
    Arc::new(TimeWindow::new(2 * SLICE, 2, false))
}

/// E3
pub(crate) fn by_time_all_calls_are_counted_where_a_slice_is_used_again() {
    const LATER: Duration = Duration::from_secs(MOST_SLICES as u64);
    let window = by_time();
    // a round earlier, in the places of both slices
    window.record(Duration::ZERO, 1, 0, HIT);
    window.record(SLICE, 1, 0, GOOD);
    side_by_side(
        &window,
        [
            |window| {
                window.record(LATER, 1, 0, GOOD);
                assert!(window.record(LATER + SLICE, 1, 0, HIT));
            },
            |window| assert!(window.record(LATER, 1, 0, HIT)),
            |window| _ = window.record(LATER, 1, 0, GOOD),
        ],
    );
    assert_eq!(window.totals(LATER + SLICE, 1), Totals { calls: 4, hits: 2 });
    assert_eq!(window.totals(LATER + 2 * SLICE, 1), Totals { calls: 1, hits: 1 });
}

/// E3, F2
pub(crate) fn by_time_nothing_of_an_old_era_is_seen_in_the_new_one() {
    const ERAS: [Era; 2] = [Era::MAX - 1, 1];
    let window = by_time();
    side_by_side(
        &window,
        [
            |window| _ = window.record(SLICE, ERAS[0], 0, HIT),
            |window| assert!(window.record(SLICE, ERAS[1], 0, HIT)),
            |window| {
                window.record(SLICE, ERAS[1], 0, GOOD);
                window.record(SLICE, ERAS[0], 0, GOOD);
            },
        ],
    );
    assert_eq!(window.totals(SLICE, ERAS[1]), Totals { calls: 2, hits: 1 });
}

/// E3
pub(crate) fn by_number_all_calls_are_counted_until_others_take_their_places() {
    let window = Arc::new(CountWindow::new(3));
    side_by_side(
        &window,
        [
            |window| {
                window.record(1, HIT);
                window.record(1, GOOD);
            },
            |window| {
                window.record(1, GOOD);
                window.record(1, HIT);
            },
            |window| assert!(window.record(1, HIT)),
        ],
    );
    assert_eq!(window.totals(1).calls, 3);
    // what is in the ring can be seen by what is left of it
    let mut left = window.totals(1).hits;
    assert!((1..=3).contains(&left), "of the three newest, two at most went well");
    for _ in 0..3 {
        window.record(1, GOOD);
        assert!((left.saturating_sub(1)..=left).contains(&window.totals(1).hits));
        left = window.totals(1).hits;
    }
    assert_eq!(left, 0);
    for hits in 1..=3 {
        window.record(1, HIT);
        assert_eq!(window.totals(1), Totals { calls: 3, hits });
    }
}

/// E1, E3, F2
pub(crate) fn by_number_nothing_of_an_old_era_is_seen_in_the_new_one() {
    // where their count begins anew
    const ERAS: [Era; 2] = [Era::MAX - 1, 1];
    let window = Arc::new(CountWindow::new(4));
    side_by_side(
        &window,
        [
            |window| {
                window.record(ERAS[0], HIT);
                window.record(ERAS[0], HIT);
            },
            |window| {
                window.record(ERAS[1], HIT);
                window.record(ERAS[1], GOOD);
            },
            |window| {
                window.record(ERAS[1], HIT);
                window.record(ERAS[0], HIT);
            },
        ],
    );
    assert_eq!(window.totals(ERAS[1]), Totals { calls: 3, hits: 2 });
}
