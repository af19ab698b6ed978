//! How the record of the attempts travels in a request.

use super::attempts::Attempts;
use super::context::RequestContext;
use crate::sealed::Sealed;

/// Reads what a request of type `Req` brings along, and puts the record of its attempts into it.
///
/// Implemented by the kinds of [`replay`](crate::replay); it can't be implemented outside.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know requests of type `{Req}`",
    note = "`http()` and `grpc()` are for `http::Request`, `plain()` is for other `Clone` types"
)]
pub trait CarryContext<Req>: Sealed {
    /// Whether records can travel at all.
    #[doc(hidden)]
    const CARRIES: bool;

    /// What requests of this kind bring along.
    #[doc(hidden)]
    type Context: RequestContext;

    /// Takes the record out of the request, and reads what it says of itself.
    #[doc(hidden)]
    fn take_context(&self, request: &mut Req) -> Self::Context;

    /// Reads the same, and leaves the record where it is.
    #[doc(hidden)]
    fn read_context(&self, request: &mut Req) -> Self::Context;

    /// Puts a record into the request.
    #[doc(hidden)]
    fn put_attempts(&self, request: &mut Req, attempts: Attempts);
}
