//! The circuit breaker.

mod bodies;
mod counted;
mod ends;
mod gated;
mod grpc;
mod keyed;
mod sharing;
mod stub;
mod wire;
