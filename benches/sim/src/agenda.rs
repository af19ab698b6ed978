//! What happens when.

use crate::scenario::Nanos;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A client makes its next request.
    Sends(usize),
    /// A call is at its server.
    Arrives(usize),
    /// Its server is done with a call, if it did not lose it since.
    Works {
        server: usize,
        call: usize,
        life: u32,
    },
    /// Its client has the answer.
    Answers {
        call: usize,
        good: bool,
    },
    TimesOut(usize),
    /// A server's neighbours begin or end to be noisy.
    Noise(usize),
    Fault,
    /// Timers of clients may have run out.
    Wakes,
    /// From now on, requests are measured.
    IsWarm,
}

/// What happens next, what is due at once in the order it was noted.
#[derive(Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    /// Apart from the others: all wait for the same time, so that they are in order by themselves.
    time_outs: VecDeque<(Nanos, usize)>,
    noted: u64,
}

impl Agenda {
    pub(crate) fn note(&mut self, at: Nanos, event: Event) {
        self.noted += 1;
        self.heap.push(Reverse((at, self.noted, event)));
    }

    /// `at`: not before that of any call noted before.
    pub(crate) fn note_time_out(&mut self, at: Nanos, call: usize) {
        self.time_outs.push_back((at, call));
    }

    pub(crate) fn next(&mut self) -> Option<(Nanos, Event)> {
        let first = self.heap.peek().map_or(Nanos::MAX, |Reverse((at, ..))| *at);
        match self.time_outs.front() {
            Some(&(at, call)) if at < first => {
                self.time_outs.pop_front();
                Some((at, Event::TimesOut(call)))
            }
            _ => self.heap.pop().map(|Reverse((at, _, event))| (at, event)),
        }
    }
}
