//! Keeps the helper traits ours to extend.

/// Implemented for the kinds of requests and the like; nobody outside can name it.
#[expect(unnameable_types, reason = "that nobody can name it is the point")]
pub trait Sealed {}

/// What carries nothing, and leads nowhere.
impl Sealed for () {}
