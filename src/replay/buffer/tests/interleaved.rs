//! Every order of events, against a model: each copy that goes on sees what the original sent, and
//! none of them sleeps for ever.

use super::*;
use crate::replay::ReplayBody;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Clone, Copy, Debug)]
enum Op {
    /// The original goes one step further.
    Give,
    Read(usize),
    Drop(usize),
    Beside,
    Instead,
    DropKeeper,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Give),
        12 => (0_usize..8).prop_map(Op::Read),
        1 => (0_usize..8).prop_map(Op::Drop),
        2 => Just(Op::Beside),
        1 => Just(Op::Instead),
        1 => Just(Op::DropKeeper),
    ]
}

prop_compose! {
    /// An upload: data, perhaps trailers, and one of three ends.
    fn upload()(
        data in prop::collection::vec(0_usize..5, 0..8),
        trailers in prop::option::of(2_usize..6),
        end in prop_oneof![4 => Just(End), 1 => Just(Fail), 1 => Just(Panic)],
    ) -> Vec<Step> {
        data.into_iter().map(Data).chain(trailers.map(Trailers)).chain([end]).collect()
    }
}

/// A copy, and what it saw.
struct Seat {
    copy: Copied,
    bytes: usize,
    trailers: usize,
    asleep: bool,
    end: Option<Seen>,
    revoked: bool,
}

impl Seat {
    fn new(copy: Copied) -> Self {
        Self { copy, bytes: 0, trailers: 0, asleep: false, end: None, revoked: false }
    }

    /// Polls once; returns whether it lives on.
    fn read(&mut self, plan: &Plan) -> bool {
        let Ok(polled) = catch_unwind(AssertUnwindSafe(|| read(&mut self.copy))) else {
            return false;
        };
        let sent = plan.sent();
        let everything = (self.bytes, self.trailers) == (sent.bytes, sent.trailers);
        self.asleep = polled.is_pending();
        let Poll::Ready(seen) = polled else {
            assert!(everything && self.end.is_none(), "waits for what it could have");
            return true;
        };
        match &seen {
            Seen::Data(data) => {
                assert_eq!(self.trailers, 0);
                assert!(data.iter().zip(self.bytes..).all(|(byte, at)| *byte == at as u8));
                self.bytes += data.len();
                assert!(self.bytes <= sent.bytes);
                return true;
            }
            Seen::Trailers(all) => {
                assert_eq!(self.bytes, sent.bytes);
                assert_eq!(*all, trailers(sent.trailers));
                self.trailers = sent.trailers;
                return true;
            }
            Seen::End => assert!(everything && sent.ended, "cut short"),
            Seen::Failed => assert!(everything && sent.broken && self.end.is_none()),
            Seen::Lost => assert!(
                self.revoked || (everything && sent.broken) || sent.bytes + sent.trailers > LIMIT
            ),
        }
        match self.end.replace(seen) {
            Some(Seen::Failed) => assert_eq!(self.end, Some(Seen::Lost)),
            Some(before) => assert_eq!(self.end, Some(before)),
            None => {}
        }
        true
    }
}

struct World {
    plan: Plan,
    steps: VecDeque<Step>,
    keeper: Option<Keeper<Original>>,
    seats: Vec<Seat>,
}

impl World {
    fn new(steps: Vec<Step>) -> Self {
        let plan = Plan::default();
        let (first, keeper) = plan.keep();
        Self { plan, steps: steps.into(), keeper: Some(keeper), seats: vec![Seat::new(first)] }
    }

    fn go(&mut self, op: Op) {
        let picked = |index: usize| index.checked_rem(self.seats.len());
        match op {
            Op::Give => {
                if let Some(step) = self.steps.pop_front() {
                    self.plan.give(step);
                }
            }
            Op::Read(index) => {
                if let Some(at) = picked(index).filter(|at| !self.seats[*at].read(&self.plan)) {
                    self.seats.remove(at);
                }
            }
            Op::Drop(index) => {
                if let Some(at) = picked(index) {
                    self.seats.remove(at);
                }
            }
            Op::Beside | Op::Instead => {
                let Some(keeper) = &self.keeper else { return };
                let alone = matches!(op, Op::Instead);
                let copy = if alone { keeper.instead() } else { keeper.beside() };
                let copy = copy.map(ReplayBody::of);
                let sent = self.plan.sent();
                let possible = !sent.broken && sent.bytes + sent.trailers <= LIMIT;
                assert_eq!(copy.is_some(), possible);
                if let Some(copy) = copy {
                    // those that have ended stay as they are
                    self.seats.iter_mut().for_each(|seat| {
                        seat.revoked |= alone;
                        seat.end = seat.end.take().filter(|_| !alone);
                    });
                    self.seats.push(Seat::new(task::spawn(copy)));
                }
            }
            Op::DropKeeper => self.keeper = None,
        }
        assert!(self.plan.live() <= LIMIT);
        let behind = |seat: &Seat| seat.bytes < self.plan.sent().bytes && !seat.revoked;
        if self.keeper.is_none() && !self.seats.iter().any(behind) {
            assert_eq!(self.plan.live(), 0, "nobody needs it");
        }
    }

    /// Lets the original end, and reads on as the wakers say, all but one copy that is stuck.
    fn run_to_the_end(&mut self, stuck: usize) {
        let Self { plan, steps, seats, .. } = self;
        let stuck = (seats.len() > 1).then(|| stuck % seats.len());
        let mut stuck = Vec::from_iter(stuck.map(|at| seats.remove(at)));
        read_while_awake(seats, plan);
        // it asks last, and does not come back
        read_while_awake(&mut stuck, plan);
        read_while_awake(seats, plan);
        for step in steps.drain(..) {
            plan.give(step);
            read_while_awake(seats, plan);
        }
        assert!(seats.iter().all(|seat| seat.end.is_some()), "one sleeps for ever");
        seats.append(&mut stuck);
    }
}

fn read_while_awake(seats: &mut Vec<Seat>, plan: &Plan) {
    let due = |seat: &Seat| seat.end.is_none() && (!seat.asleep || seat.copy.is_woken());
    while let Some(at) = seats.iter().position(due) {
        if !seats[at].read(plan) {
            seats.remove(at);
        }
    }
}

proptest! {
    /// A17, G7, G8, G9, B2
    #[test]
    fn copies_see_all_of_the_original_or_an_error_and_never_sleep_for_ever(
        steps in upload(),
        ops in prop::collection::vec(op(), 0..40),
        stuck in 0_usize..8,
        keeper_first in any::<bool>(),
    ) {
        let mut world = World::new(steps);
        ops.into_iter().for_each(|op| world.go(op));
        world.run_to_the_end(stuck);
        let World { plan, keeper, mut seats, .. } = world;
        if keeper_first {
            drop(keeper);
            while !seats.is_empty() {
                seats.remove(stuck % seats.len());
            }
        } else {
            drop(seats);
            drop(keeper);
        }
        prop_assert!(plan.is_freed());
    }
}
