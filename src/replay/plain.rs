//! Requests that are not HTTP.

use super::kind::Replay;
use crate::attempt::{
    AnswerRecorder, Attempts, CarryContext, End, FullContext, RequestPolicy, TimeLimit,
};
use crate::classify::Evidence;
use crate::outcome::Outcome;
use crate::sealed::Sealed;
use std::fmt;
use std::time::Duration;

/// Copies requests by `Clone`, and takes each of them for repeatable.
///
/// The record of the attempts can't travel in them, so nested layers don't know of each other, and a
/// retry can't ask for another endpoint: [`Slot`] makes room for it.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Plain;

/// Copies requests by a function of yours; where it returns `None`, the request is sent once.
///
/// # Example: reqwest
///
/// ```
/// use tower_failover::replay::CopyWith;
///
/// let copies = CopyWith::new(|request: &reqwest::Request| {
///     if request.method().is_idempotent() { request.try_clone() } else { None }
/// });
/// ```
pub struct CopyWith<Req>(fn(&Req) -> Option<Req>);

/// Copies requests by `Clone`, and carries the record of the attempts in a field of theirs.
///
/// ```
/// use tower_failover::Attempts;
/// use tower_failover::replay::Slot;
///
/// #[derive(Clone)]
/// struct Job {
///     attempts: Option<Attempts>,
/// }
///
/// let slot = Slot::new(|job: &mut Job| &mut job.attempts);
/// ```
pub struct Slot<Req>(fn(&mut Req) -> &mut Option<Attempts>);

impl<Req> CopyWith<Req> {
    /// Copies by this function.
    #[must_use]
    pub const fn new(copy: fn(&Req) -> Option<Req>) -> Self {
        Self(copy)
    }
}

impl<Req> Slot<Req> {
    /// Carries the record in the place that this function returns.
    #[must_use]
    pub const fn new(slot: fn(&mut Req) -> &mut Option<Attempts>) -> Self {
        Self(slot)
    }
}

// a derived `Clone` would ask the request for one
impl<Req> Clone for CopyWith<Req> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<Req> Clone for Slot<Req> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<Req> fmt::Debug for CopyWith<Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CopyWith")
    }
}

impl<Req> fmt::Debug for Slot<Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

impl Sealed for Plain {}
impl<Req> Sealed for CopyWith<Req> {}
impl<Req> Sealed for Slot<Req> {}

macro_rules! carry_nothing {
    () => {
        const CARRIES: bool = false;

        type Context = ();

        fn take_context(&self, _: &mut Req) {}

        fn read_context(&self, _: &mut Req) {}

        fn put_attempts(&self, _: &mut Req, _: Attempts) {}
    };
}

impl<Req> CarryContext<Req> for Plain {
    carry_nothing!();
}

impl<Req> CarryContext<Req> for CopyWith<Req> {
    carry_nothing!();
}

impl<Req> CarryContext<Req> for Slot<Req> {
    const CARRIES: bool = true;

    type Context = FullContext;

    fn take_context(&self, request: &mut Req) -> FullContext {
        FullContext::new((self.0)(request).take(), TimeLimit::default(), RequestPolicy::new())
    }

    fn read_context(&self, request: &mut Req) -> FullContext {
        FullContext::new((self.0)(request).clone(), TimeLimit::default(), RequestPolicy::new())
    }

    fn put_attempts(&self, request: &mut Req, attempts: Attempts) {
        *(self.0)(request) = Some(attempts);
    }
}

macro_rules! ends_with_the_answer {
    () => {
        type Response = Res;

        const LATER: bool = false;

        #[inline]
        fn ended(answer: Res) -> Res {
            answer
        }

        fn goes_on(answer: Res, _: AnswerRecorder) -> Res {
            answer
        }
    };
}

impl<Res> End<Res> for Plain {
    ends_with_the_answer!();
}

impl<Req, Res> End<Res> for CopyWith<Req> {
    ends_with_the_answer!();
}

impl<Req, Res> End<Res> for Slot<Req> {
    ends_with_the_answer!();
}

/// The rest of [`Replay`], for kinds that keep one copy of the request and copy that one again.
macro_rules! keep_one_copy {
    ($copy:expr) => {
        type Request = Req;
        type Copies = Option<Req>;

        fn start(&self, request: Req, keep: bool) -> (Req, Option<Req>) {
            let copy = if keep { $copy(self, &request) } else { None };
            (request, copy)
        }

        fn may_repeat(&self, _: &Option<Req>, _: Outcome, _: &Evidence) -> bool {
            true
        }

        fn instead(&self, copies: &mut Option<Req>) -> Option<Req> {
            copies.as_ref().and_then(|kept| $copy(self, kept))
        }

        fn beside(&self, copies: &mut Option<Req>) -> Option<Req> {
            self.instead(copies)
        }

        fn stamp(&self, _: &mut Req, _: u32, _: Option<Duration>) {}
    };
}

impl<Req: Clone> Replay<Req> for Plain {
    keep_one_copy!(|_, request: &Req| Some(request.clone()));
}

impl<Req> Replay<Req> for CopyWith<Req> {
    keep_one_copy!(|kind: &Self, request: &Req| (kind.0)(request));
}

impl<Req: Clone> Replay<Req> for Slot<Req> {
    keep_one_copy!(|_, request: &Req| Some(request.clone()));
}
