//! What is allowed to a body, and what it has done.

use super::error::StallLimit;
use crate::clock::Instant;
use std::time::Duration;

/// What is allowed to a body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) idle: Option<Duration>,
    pub(super) total: Option<Duration>,
    pub(super) min_rate: Option<MinRate>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct MinRate {
    per_second: u64,
    grace: Duration,
    /// What has to come while the grace is waited: one byte at least.
    needed: u64,
}

impl MinRate {
    pub(super) fn new(per_second: u64, grace: Duration) -> Self {
        let needed = u128::from(per_second).saturating_mul(grace.as_nanos());
        let needed = needed.div_ceil(Duration::from_secs(1).as_nanos());
        Self { per_second, grace, needed: u64::try_from(needed).unwrap_or(u64::MAX) }
    }
}

/// A limit that was broken, and the time that was found too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) limit: StallLimit,
    pub(super) waited: Duration,
}

/// What one body has done.
///
/// The reader waits from the poll that was pending to the one that brings a frame; between that and
/// its next poll nothing is counted, since nobody knows what would have come.
#[derive(Debug)]
pub(super) struct Watch {
    /// When the reader began to wait, if it does.
    since: Option<Instant>,
    idle: Option<Duration>,
    /// The limit, and when the head came.
    total: Option<(Duration, Instant)>,
    pace: Option<Pace>,
}

/// What has come since the rate was last looked at.
#[derive(Debug)]
struct Pace {
    rate: MinRate,
    waited: Duration,
    /// Up to when the present wait is in `waited`, if the reader waits.
    counted: Option<Instant>,
    bytes: u64,
}

impl Watch {
    /// Begins with the head of an answer. Without a limit there is nothing to watch, and only the total
    /// one asks for the time.
    pub(super) fn new(limits: &Limits, now: impl FnOnce() -> Instant) -> Option<Self> {
        let Limits { idle, total, min_rate } = *limits;
        if idle.is_none() && total.is_none() && min_rate.is_none() {
            return None;
        }
        let total = total.map(|limit| (limit, now()));
        let pace = min_rate.map(Pace::new);
        Some(Self { since: None, idle, total, pace })
    }

    /// A frame came, of so many bytes. The time is asked for only where a rate is to be held and the
    /// reader has waited.
    #[inline]
    pub(super) fn came(&mut self, bytes: impl FnOnce() -> usize, now: impl FnOnce() -> Instant) {
        self.since = None;
        if let Some(pace) = &mut self.pace {
            pace.came(bytes(), now);
        }
    }

    /// The reader waits: says for how long, until it is to be looked again. The instant that this
    /// makes never moves back from one look to the next.
    pub(super) fn waits(&mut self, now: Instant) -> Result<Duration, Broken> {
        let since = *self.since.get_or_insert(now);
        let mut left = Duration::MAX;
        if let Some(limit) = self.idle {
            left = left_of(limit, now.saturating_duration_since(since), StallLimit::Idle)?;
        }
        if let Some((limit, head)) = self.total {
            let passed = now.saturating_duration_since(head);
            left = left.min(left_of(limit, passed, StallLimit::Total)?);
        }
        if let Some(pace) = &mut self.pace {
            left = left.min(pace.waits(now)?);
        }
        Ok(left)
    }
}

fn left_of(
    limit: Duration,
    waited: Duration,
    broken: fn(Duration) -> StallLimit,
) -> Result<Duration, Broken> {
    match limit.saturating_sub(waited) {
        Duration::ZERO => Err(Broken { limit: broken(limit), waited }),
        left => Ok(left),
    }
}

impl Pace {
    fn new(rate: MinRate) -> Self {
        Self { rate, waited: Duration::ZERO, counted: None, bytes: 0 }
    }

    #[inline]
    fn came(&mut self, bytes: usize, now: impl FnOnce() -> Instant) {
        if self.counted.is_some() {
            self.count(now());
            self.counted = None;
        }
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Says how much of the grace is left; when none is, enough must have come, and it begins anew.
    fn waits(&mut self, now: Instant) -> Result<Duration, Broken> {
        self.count(now);
        let MinRate { per_second, grace, needed } = self.rate;
        match grace.saturating_sub(self.waited) {
            Duration::ZERO if self.bytes < needed => {
                let limit = StallLimit::MinRate(per_second, grace);
                Err(Broken { limit, waited: self.waited })
            }
            Duration::ZERO => {
                (self.waited, self.bytes) = (Duration::ZERO, 0);
                Ok(grace)
            }
            left => Ok(left),
        }
    }

    fn count(&mut self, now: Instant) {
        let from = self.counted.replace(now).unwrap_or(now);
        self.waited = self.waited.saturating_add(now.saturating_duration_since(from));
    }
}
