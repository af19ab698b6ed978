//! TODO-tidy
