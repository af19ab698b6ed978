//! The events of a test.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};

/// The events of one thread, as text.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Writes down all events of this thread, until the guard is dropped.
    pub(crate) fn follow(&self) -> tracing::subscriber::DefaultGuard {
        // with a single subscriber, `tracing` asks the thread that first meets an event whether it is
        // wanted at all: this one wants every event on all threads, and does nothing with it
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// The events of this crate while the future runs, as `module: message field="value"`.
    pub(crate) async fn of(call: impl Future) -> Vec<String> {
        let log = Self::default();
        let following = log.follow();
        call.await;
        drop(following);
        let event = |line: &str| line.split_once("tower_failover::").unwrap().1.to_owned();
        log.text().lines().map(event).collect()
    }

    /// All that was written down so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
