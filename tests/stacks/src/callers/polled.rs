//! A future that is watched while it is polled, and may be dropped before it ends.

use crate::clock;
use crate::world::World;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// More polls at one instant of the paused clock are a busy loop.
const MAX_POLLS_AT_ONCE: u64 = 3_000;
/// More polls a second, over the whole run, are a busy loop.
const MAX_POLLS_PER_SECOND: f64 = 5_000.0;

pub(super) struct Polled<T> {
    inner: Pin<Box<T>>,
    /// The poll before which the caller leaves.
    drop_at: Option<u64>,
    /// Every poll is two, with different wakers.
    strange: bool,
    polls: u64,
    /// The polls at the last instant.
    at_once: (Option<Instant>, u64),
    world: Arc<World>,
    id: u64,
}

impl<T> Polled<T> {
    pub(super) fn new(
        world: &Arc<World>,
        id: u64,
        inner: T,
        drop_at: Option<u64>,
        strange: bool,
    ) -> Self {
        let (inner, world) = (Box::pin(inner), world.clone());
        Self { inner, drop_at, strange, polls: 0, at_once: (None, 0), world, id }
    }

    fn is_busy(&mut self) -> bool {
        let now = clock::now();
        self.at_once = match self.at_once {
            (Some(last), polls) if last == now => (Some(now), polls + 1),
            _ => (Some(now), 1),
        };
        let per_second = self.polls as f64 / (1.0 + self.world.elapsed().as_secs_f64());
        self.at_once.1 > MAX_POLLS_AT_ONCE || per_second > MAX_POLLS_PER_SECOND
    }
}

impl<T: Future> Future for Polled<T> {
    /// None if the caller left.
    type Output = Option<T::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.polls += 1;
        if self.drop_at == Some(self.polls) {
            return Poll::Ready(None);
        }
        if self.world.single && self.is_busy() {
            let text = format!("req {}: {} polls, {} at once", self.id, self.polls, self.at_once.1);
            self.world.violate("busy", text);
            return Poll::Ready(None);
        }
        if self.strange {
            // this waker must be forgotten for the next one
            let mut other = Context::from_waker(Waker::noop());
            if let Poll::Ready(output) = self.inner.as_mut().poll(&mut other) {
                return Poll::Ready(Some(output));
            }
        }
        self.inner.as_mut().poll(cx).map(Some)
    }
}
