//! Time, which stands still in a test until everything waits for it.

use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[expect(clippy::disallowed_methods, reason = "the clock of the tests is paused")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the clock of the tests is paused")]
pub(crate) async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The output of the future, and how long it took.
pub(crate) async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let start = now();
    let output = future.await;
    (output, start.elapsed())
}
