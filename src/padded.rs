//! Padding, so that what one thread writes does not slow down what others read.

/// Keeps what it holds away from its neighbours: two lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CachePadded<T>(pub(crate) T);
