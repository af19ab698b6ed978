//! TODO-wire
