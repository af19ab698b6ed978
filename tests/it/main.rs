//! One integration binary: a file per middleware, and what they are written with in `kit`.

mod kit;

mod api;
mod api_balance;
mod balance;
mod circuit_breaker;
mod classify;
mod classify_end;
mod contract;
mod cost;
mod fallback;
mod first_frame;
#[cfg(unix)]
mod gateway;
mod hedge;
mod leaks;
mod props;
mod regressions;
mod replay;
mod retry;
mod setters;
mod stall;
mod tidy;
mod track;
mod wire;
