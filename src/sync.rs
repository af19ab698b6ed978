//! What threads share, in one place. `tests/loom` compiles these modules a second time, over a model of it, and
//! explores them in every order that three threads can take:
//!
//! | module | what its models say | in `tests/loom` |
//! |---|---|---|
//! | `circuit`, with `window` | permits, trips, answers that come late, sliding counts | `permits` `trip` `late` `windows` |
//! | `endpoints/gate` | no flag is lost; a silence is not unwatched | `gate` |
//! | `endpoints/census` | an ejected endpoint is counted once | `gate` |
//! | `endpoints/cool_down` | a rest is only made longer; one trial at a time | `cool_down` |
//! | `endpoints/situation`, with `change_count` and `tiers` | a change that was noted is not missed | `situation` |
//! | `waiters` | nobody sleeps on; a place that was left wakes nobody | `waiting` |
//! | `budget`, with `striped` | no more is spent than was paid in | `budgets` |
//!
//! What else is written by several threads is not modelled, for one of these reasons:
//!
//! * each word is a number by itself, of which a statistic, an estimate or a chance is made: the counts of the
//!   layers, `histogram`, `rng`, costs and latencies in `endpoints/health`, the percentile of a hedge;
//! * a lock of the standard library guards all of it: `snapshot_cell`, the circuits by key, the content of a
//!   set, the frames of a body that is sent again, the tried endpoints in `Attempts`;
//! * it is too large for a model, and only joins parts that are modelled: `endpoints/update` and
//!   `endpoints/loser`, whose order of steps the models repeat, and `endpoints/situation` where a snapshot takes
//!   the place of another.
//!
//! Loom takes `SeqCst` for `AcqRel` and so knows no order of all; the model of what needs one says so, and runs
//! with loads as read-modify-writes only.

pub(crate) use std::sync::MutexGuard;
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, TryLockError};

/// A lock that a panic does not spoil: what it protects is whole at every point where one can happen.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None where another one holds it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::Poisoned(held)) => Some(held.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
