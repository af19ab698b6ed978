//! Which answers go on after their heads.

use super::answer::AnswerRecorder;
use crate::sealed::Sealed;

/// Says where an attempt with an answer of type `Res` ends.
///
/// Implemented by [`Plain`](crate::replay::Plain), [`CopyWith`](crate::replay::CopyWith) and
/// [`Slot`](crate::replay::Slot) for answers that are all there, and by `Http` for HTTP answers, which end
/// with their bodies; it can't be implemented outside.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not know where an answer of type `{Res}` ends",
    note = "`http()` and `grpc()` are for `http::Response`, `plain()` is for all others"
)]
pub trait End<Res>: Sealed {
    /// The answer as the layer gives it.
    type Response;

    /// Whether the attempt goes on after a good answer.
    #[doc(hidden)]
    const LATER: bool;

    /// Gives an answer on with which the attempt ends.
    #[doc(hidden)]
    fn ended(answer: Res) -> Self::Response;

    /// Gives an answer on after which the attempt goes on.
    #[doc(hidden)]
    fn goes_on(answer: Res, recorder: AnswerRecorder) -> Self::Response;
}
