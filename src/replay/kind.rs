//! What a kind of request must be able to do.

#[cfg(doc)]
use super::{CopyWith, Http, Plain, Slot};
use crate::attempt::CarryContext;
use crate::classify::Evidence;
use crate::outcome::Outcome;
use std::time::Duration;

/// Copies requests of type `Req`.
///
/// Implemented by [`Plain`], [`CopyWith`], [`Slot`] and [`Http`]; it can't be implemented outside.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't copy requests of type `{Req}`",
    note = "`plain()` needs a `Clone` request, `http()` and `grpc()` an `http::Request` whose body is `Unpin`"
)]
pub trait Replay<Req>: CarryContext<Req> + CarryContext<Self::Request> {
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
