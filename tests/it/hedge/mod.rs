//! Hedge, on a paused clock and without sockets.

mod by_hand;
mod limits;
mod losers;
mod panics;
mod percentile;
mod pushback;
mod race;
mod requests;
mod shapes;
mod web;
mod wire;

use crate::support::{ms, now, secs, sleep};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tower::util::BoxCloneService;
use tower::{ServiceExt, service_fn};
use tower_failover::{BoxError, Budget};

/// How one attempt goes: after how many milliseconds it gives which answer; never with `None`.
type Part = (u64, Option<Result<u16, &'static str>>);

pub(crate) const OK: Option<Result<u16, &str>> = Some(Ok(200));
pub(crate) const NOT_FOUND: Option<Result<u16, &str>> = Some(Ok(404));
pub(crate) const FAILS: Option<Result<u16, &str>> = Some(Err("broken"));
pub(crate) const NEVER: Option<Result<u16, &str>> = None;

/// A service whose attempts go as they are told, in the order in which they are made.
pub(crate) struct Stage {
    parts: Vec<Part>,
    began: Instant,
    /// When each attempt was made.
    made: Mutex<Vec<Duration>>,
    running: AtomicUsize,
}

impl Stage {
    pub(crate) fn new(parts: impl IntoIterator<Item = Part>) -> Arc<Self> {
        let parts = parts.into_iter().collect();
        Arc::new(Self {
            parts,
            began: now(),
            made: Mutex::default(),
            running: AtomicUsize::default(),
        })
    }

    pub(crate) fn service(self: &Arc<Self>) -> BoxCloneService<u16, u16, BoxError> {
        let stage = self.clone();
        service_fn(move |request: u16| {
            let stage = stage.clone();
            let number = stage.attempt();
            let running = Running::one_more(&stage);
            async move {
                let (after, answer) = stage.parts.get(number).copied().unwrap_or((0, None));
                sleep(ms(after)).await;
                let answer = match answer {
                    Some(answer) => answer.map_err(BoxError::from),
                    None => std::future::pending().await,
                };
                drop(running);
                answer.map(|answer| answer + request)
            }
        })
        .boxed_clone()
    }

    fn attempt(&self) -> usize {
        let mut made = self.made.lock().unwrap();
        made.push(self.began.elapsed());
        made.len() - 1
    }

    /// When each attempt was made, in milliseconds.
    pub(crate) fn made(&self) -> Vec<u128> {
        self.made.lock().unwrap().iter().map(Duration::as_millis).collect()
    }

    /// The attempts that are on their way.
    pub(crate) fn running(&self) -> usize {
        self.running.load(SeqCst)
    }
}

struct Running(Arc<Stage>);

impl Running {
    fn one_more(stage: &Arc<Stage>) -> Self {
        stage.running.fetch_add(1, SeqCst);
        Self(stage.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

/// Judges by the number: 200 is good, 404 says nothing, all else has failed.
pub(crate) fn by_number(result: Result<&u16, &BoxError>) -> tower_failover::Outcome {
    match result {
        Ok(200) => tower_failover::Outcome::Success,
        Ok(404) => tower_failover::Outcome::Neutral,
        _ => tower_failover::Outcome::Failure,
    }
}

/// An account with exactly this many hedges, which the clock does not visibly raise.
pub(crate) fn account(hedges: u64) -> Budget {
    Budget::new().min_per_second(1).bank(secs(hedges))
}
