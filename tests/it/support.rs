//! TODO-support
