//! Answers whose bodies do as they are told, and what a circuit has counted of them.

use crate::kit::settings::nonzero;
use crate::kit::{Scripted, ScriptedBody, Step, response, secs};
use http::{Request, Response};
use tower_failover::BoxError;
use tower_failover::circuit_breaker::CircuitHandle;
use tower_failover::trip::Failures;

pub(super) type Inner = Scripted<Request<()>, Response<ScriptedBody>, ()>;

/// A service that answers its n-th call with what the closure says.
pub(super) fn upstream(
    answers: impl FnMut(usize) -> Result<Response<ScriptedBody>, BoxError> + Send + 'static,
) -> Inner {
    Scripted::noting(|_| (), answers)
}

/// A service that answers 200, each time with such a body.
pub(super) fn streaming<const N: usize>(steps: [Step; N]) -> Inner {
    upstream(move |_| Ok(Response::new(ScriptedBody::new(steps.clone()))))
}

pub(super) fn answer<const N: usize>(
    status: u16,
    headers: [(&str, &str); N],
) -> Response<ScriptedBody> {
    response(status, headers, ScriptedBody::new([]).foretelling())
}

/// So many failures, however many calls went well.
pub(super) fn failures(count: u32) -> Failures {
    Failures::new(nonzero(count)).within(secs(3_600))
}

/// Calls that ended well, that failed, and that said nothing.
pub(super) fn counts(circuit: &CircuitHandle) -> [u64; 3] {
    let counts = circuit.snapshot();
    [counts.successes, counts.failures, counts.neutral]
}

/// The same, as soon as that many calls are counted: a server settles when it has sent its answer.
pub(super) async fn settled(circuit: &CircuitHandle, calls: u64) -> [u64; 3] {
    loop {
        let counts = counts(circuit);
        if counts.iter().sum::<u64>() >= calls {
            return counts;
        }
        tokio::task::yield_now().await;
    }
}

pub(super) const NOTHING: [u64; 3] = [0, 0, 0];
pub(super) const GOOD: [u64; 3] = [1, 0, 0];
pub(super) const BAD: [u64; 3] = [0, 1, 0];
pub(super) const NEUTRAL: [u64; 3] = [0, 0, 1];
