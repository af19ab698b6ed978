//! A circuit for each key, so many at most.
