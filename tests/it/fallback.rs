//! TODO-fallback
