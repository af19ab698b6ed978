//! The only place that reads the machine's time or waits for it.

#![expect(clippy::disallowed_methods, reason = "what is measured takes place in real time")]

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Microseconds that all processes of the machine agree on.
pub(crate) fn stamp() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).expect("1970 is past");
    passed.as_micros() as u64
}

/// Good to a millisecond or two.
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Stops the whole thread.
pub(crate) fn block(time: Duration) {
    thread::sleep(time);
}

/// Wakes to a tenth of a millisecond. The runtime's timer counts whole ones, which is as much as a
/// gateway adds.
#[derive(Clone)]
pub(crate) struct Alarm(Sender<Wish>);

struct Wish {
    at: Instant,
    waiting: oneshot::Sender<()>,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        let (alarm, wishes) = channel();
        thread::spawn(move || ring(&wishes));
        Self(alarm)
    }

    pub(crate) async fn at(&self, at: Instant) {
        let (waiting, woken) = oneshot::channel();
        self.0.send(Wish { at, waiting }).expect("the alarm rings as long as somebody has it");
        woken.await.expect("every wish is rung for");
    }
}

fn ring(wishes: &Receiver<Wish>) {
    // a number beside the time, as two may wish for the same
    let mut sleepers: BTreeMap<(Instant, u64), oneshot::Sender<()>> = BTreeMap::new();
    let mut number = 0;
    loop {
        let wish = match sleepers.first_key_value() {
            Some((&(next, _), _)) => {
                wishes.recv_timeout(next.saturating_duration_since(Instant::now()))
            }
            None => wishes.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match wish {
            Ok(Wish { at, waiting }) => {
                sleepers.insert((at, number), waiting);
                number += 1;
            }
            Err(RecvTimeoutError::Timeout) => {
                let (_, waiting) = sleepers.pop_first().expect("it was waited for the first one");
                // who no longer waits needs no waking
                let _ = waiting.send(());
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
