//! Tasks that wait for a word to change.

use crate::explore::side_by_side;
use crate::sync::{AtomicU64, Ordering::SeqCst, Plant, is_planted};
use crate::waiters::Waiters;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Wake, Waker};

/// Counts how often it was woken, where loom does not see it.
#[derive(Default)]
struct Task(AtomicU32);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[derive(Default)]
struct Room {
    waiters: Waiters,
    free: AtomicU64,
    tasks: [Arc<Task>; 2],
    /// Which tasks found nothing, and sleep.
    sleep: [AtomicU32; 2],
}

impl Room {
    fn waker(&self, number: usize) -> Waker {
        self.tasks[number].clone().into()
    }

    fn woken(&self, number: usize) -> u32 {
        self.tasks[number].0.load(Relaxed)
    }

    /// Registers, and sleeps if there is nothing.
    fn wait(&self, number: usize) {
        let wait = || self.waiters.wait(number as u64, &self.waker(number));
        let look = || u32::from(self.free.load(SeqCst) == 0);
        let sleeps = if is_planted(Plant::Swapped) {
            let sleeps = look();
            wait();
            sleeps
        } else {
            wait();
            look()
        };
        self.sleep[number].store(sleeps, Relaxed);
    }

    fn nobody_sleeps_on(&self) {
        for number in 0..2 {
            let sleeps = self.sleep[number].load(Relaxed) == 1;
            assert!(!sleeps || self.woken(number) > 0, "{number} sleeps, and there is room");
        }
    }
}

/// F4
pub(crate) fn whoever_waits_and_whoever_wakes_never_miss_each_other() {
    let room = Arc::new(Room::default());
    side_by_side(
        &room,
        [
            |room| room.wait(0),
            |room| {
                room.free.fetch_add(1, SeqCst);
                room.waiters.wake();
            },
            |room| room.wait(1),
        ],
    );
    room.nobody_sleeps_on();
}

/// F4
pub(crate) fn nor_do_they_where_nobody_is_woken_if_nobody_waits() {
    let room = Arc::new(Room::default());
    side_by_side(
        &room,
        [
            |room| room.wait(0),
            |room| {
                let looked = is_planted(Plant::LooksOnce) && room.waiters.is_empty();
                room.free.fetch_add(1, SeqCst);
                if !looked && !room.waiters.is_empty() {
                    room.waiters.wake();
                }
            },
            |room| room.wait(1),
        ],
    );
    room.nobody_sleeps_on();
}

/// A2
pub(crate) fn a_place_that_was_left_wakes_nobody() {
    let room = Arc::new(Room::default());
    side_by_side(
        &room,
        [
            |room| {
                room.waiters.wait(0, &room.waker(0));
                room.waiters.leave(0);
            },
            |room| room.waiters.wake(),
            |room| room.waiters.wait(1, &room.waker(1)),
        ],
    );
    let before = room.woken(0);
    assert!(before <= 1 && room.woken(1) <= 1);
    assert_eq!(room.waiters.is_empty(), room.woken(1) == 1);
    room.waiters.wake();
    assert_eq!(room.woken(0), before, "it had left");
    assert_eq!(room.woken(1), 1, "it had not");
    assert!(room.waiters.is_empty());
}
