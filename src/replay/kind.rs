//! What a kind of request must be able to do.

use super::Luggage;
#[cfg(doc)]
use super::{CopyWith, Http, Plain, Slot};
use crate::attempts::Attempts;
use crate::classify::Evidence;
use crate::outcome::Outcome;
use std::time::Duration;

pub(crate) mod sealed {
    /// Keeps the helper traits ours to extend.
    #[expect(unnameable_types, reason = "that nobody can name it is the point")]
    pub trait Sealed {}
}

/// Brings the words of this crate along with a request of type `Req`.
///
/// Implemented by [`Plain`], [`CopyWith`], [`Slot`] and [`Http`]; it can't be implemented outside.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know requests of type `{Req}`",
    note = "`http()` and `grpc()` are for `http::Request`, `plain()` is for other `Clone` types"
)]
pub trait Carry<Req>: sealed::Sealed {
    /// Whether records can travel at all.
    #[doc(hidden)]
    const CARRIES: bool;

    /// What requests of this kind bring along.
    #[doc(hidden)]
    type Luggage: Luggage;

    /// Takes the record out of the request, and reads what it says of itself.
    #[doc(hidden)]
    fn unpack(&self, request: &mut Req) -> Self::Luggage;

    /// Reads the same, and leaves the record where it is.
    #[doc(hidden)]
    fn peek(&self, request: &mut Req) -> Self::Luggage;

    /// Puts a record into the request.
    #[doc(hidden)]
    fn put(&self, request: &mut Req, attempts: Attempts);
}

/// Copies requests of type `Req`.
///
/// Implemented by [`Plain`], [`CopyWith`], [`Slot`] and [`Http`]; it can't be implemented outside.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't copy requests of type `{Req}`",
    note = "`plain()` needs a `Clone` request, `http()` and `grpc()` an `http::Request` whose body is `Unpin`"
)]
pub trait Replay<Req>: Carry<Req> + Carry<Self::Request> {
    /// What the inner service receives.
    type Request;

    /// What is kept to make further copies from; dropping it frees the memory.
    type Copies;

    /// Begins the first attempt; `keep` says whether another one may follow.
    #[doc(hidden)]
    fn start(&self, request: Req, keep: bool) -> (Self::Request, Self::Copies);

    /// Tells whether the request may be sent again after this.
    #[doc(hidden)]
    fn may_repeat(&self, copies: &Self::Copies, outcome: Outcome, evidence: &Evidence) -> bool;

    /// Copies the request for an attempt in the place of all earlier ones, which lose their bodies.
    #[doc(hidden)]
    fn instead(&self, copies: &mut Self::Copies) -> Option<Self::Request>;

    /// Copies the request for an attempt beside those that run.
    #[doc(hidden)]
    fn beside(&self, copies: &mut Self::Copies) -> Option<Self::Request>;

    /// Writes into the request which attempt it is and how much time it has.
    #[doc(hidden)]
    fn stamp(&self, request: &mut Self::Request, number: u32, remaining: Option<Duration>);
}
