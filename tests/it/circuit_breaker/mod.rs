//! The circuit breaker.

mod bodies;
mod ends;
