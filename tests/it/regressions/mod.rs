//! What a hostile review of the layers found, so that it stays closed.

mod balance;
mod budget;
mod judge;
mod record;
mod replay;
mod resend;
mod spawn;
mod wire;

use crate::kit::{ms, secs, timed};
use crate::retry::{Answer, answer, every, refused, request, upstream};
use futures_util::FutureExt;
use std::time::Duration;
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::retry::RetryLayer;
use tower_failover::{BoxError, Outcome};

fn status(status: u16) -> Result<Answer, BoxError> {
    Ok(answer(status, []))
}
