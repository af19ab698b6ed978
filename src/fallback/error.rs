//! The errors of a fallback.

pub use crate::error::FallbackFailed;

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// The backup service did not answer within its limit.
///
/// It is the [own error](FallbackFailed::error) of a [`FallbackFailed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupTimeout {
    within: Duration,
}

impl BackupTimeout {
    pub(super) const fn new(within: Duration) -> Self {
        Self { within }
    }
}

impl fmt::Display for BackupTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the backup did not answer within {:?}", self.within)
    }
}

impl Error for BackupTimeout {}
