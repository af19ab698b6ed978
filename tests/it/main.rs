//! One integration binary: a file per middleware, and what they share in `support`.

mod support;

mod api;
mod circuit_breaker;
mod classify;
mod contract;
mod cost;
mod fallback;
mod props;
mod regressions;
mod replay;
mod retry;
mod tidy;
mod wire;
