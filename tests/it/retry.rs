//! TODO-retry
