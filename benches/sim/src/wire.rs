//! Between clients and servers: the calls in flight, as both ends see them.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tower::Service;
use tower_failover::Attempts;
use tower_failover::replay::Slot;

/// Why a call has no good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    Failed,
    TimedOut,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "the call has failed",
            Self::TimedOut => "the call has timed out",
        })
    }
}

impl Error for CallError {}

pub(crate) type Answer = Result<(), CallError>;

struct Call {
    request: usize,
    server: usize,
    state: CallState,
}

#[derive(Clone, Copy, PartialEq)]
enum CallState {
    InFlight,
    Answered(Answer),
    /// Its client has taken the answer.
    Over,
    /// Its client has left before the answer.
    GivenUp,
}

/// All calls of a simulation, numbered in the order in which they were sent.
#[derive(Default)]
pub(crate) struct Wire(RefCell<Vec<Call>>);

impl Wire {
    /// Sends a call and returns its number.
    pub(crate) fn send(&self, request: usize, server: usize) -> usize {
        let mut calls = self.0.borrow_mut();
        calls.push(Call { request, server, state: CallState::InFlight });
        calls.len() - 1
    }

    /// The request and the server of a call, if so many were sent.
    pub(crate) fn get(&self, call: usize) -> Option<(usize, usize)> {
        self.0.borrow().get(call).map(|call| (call.request, call.server))
    }

    /// Brings an answer to a call; returns the request that has it, or none where nobody waits for it.
    pub(crate) fn answer(&self, call: usize, answer: Answer) -> Option<usize> {
        let Call { request, state, .. } = &mut self.0.borrow_mut()[call];
        let waits = *state == CallState::InFlight;
        waits.then(|| {
            *state = CallState::Answered(answer);
            *request
        })
    }

    pub(crate) fn take_answer(&self, call: usize) -> Option<Answer> {
        let state = &mut self.0.borrow_mut()[call].state;
        let CallState::Answered(answer) = *state else { return None };
        *state = CallState::Over;
        Some(answer)
    }

    pub(crate) fn is_given_up(&self, call: usize) -> bool {
        self.0.borrow()[call].state == CallState::GivenUp
    }

    fn give_up(&self, call: usize) {
        let state = &mut self.0.borrow_mut()[call].state;
        if *state != CallState::Over {
            *state = CallState::GivenUp;
        }
    }
}

/// A request as the library's services see it.
#[derive(Clone)]
pub(crate) struct Request {
    number: usize,
    wire: Rc<Wire>,
    attempts: Option<Attempts>,
}

impl Request {
    pub(crate) fn new(number: usize, wire: &Rc<Wire>) -> Self {
        Self { number, wire: wire.clone(), attempts: None }
    }

    /// Where the record of its attempts travels.
    pub(crate) const fn slot() -> Slot<Self> {
        Slot::new(|request| &mut request.attempts)
    }
}

/// A client's connection to the server of this number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection(pub(crate) usize);

impl Service<Request> for Connection {
    type Response = ();
    type Error = CallError;
    type Future = InFlight;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Answer> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> InFlight {
        let call = request.wire.send(request.number, self.0);
        InFlight { call, wire: request.wire }
    }
}

/// The future of a call: its server hears when it is dropped before its end.
pub(crate) struct InFlight {
    call: usize,
    wire: Rc<Wire>,
}

impl Future for InFlight {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        // who brings the answer polls the request
        self.wire.take_answer(self.call).map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.wire.give_up(self.call);
    }
}
