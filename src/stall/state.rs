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
    /// All waits before the present one; kept where a limit asks for it.
    waited: Duration,
    idle: Option<Duration>,
    total: Option<Duration>,
    pace: Option<Pace>,
}

/// What has come since the rate was last looked at.
#[derive(Debug)]
struct Pace {
    rate: MinRate,
    /// How long the reader had waited in all at that look.
    looked: Duration,
    bytes: u64,
}

impl Watch {
    /// Begins with the head of an answer. Without a limit there is nothing to watch.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        let Limits { idle, total, min_rate } = *limits;
        if idle.is_none() && total.is_none() && min_rate.is_none() {
            return None;
        }
        let pace = min_rate.map(|rate| Pace { rate, looked: Duration::ZERO, bytes: 0 });
        Some(Self { since: None, waited: Duration::ZERO, idle, total, pace })
    }

    /// A frame came, of so many bytes. The time is asked for only where the reader has waited for it and
    /// its waits are added up.
    #[inline]
    pub(super) fn came(&mut self, bytes: impl FnOnce() -> usize, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.since.take() {
            if self.total.is_some() || self.pace.is_some() {
                self.waited = self.waited_in_all(since, now());
            }
        }
        if let Some(pace) = &mut self.pace {
            pace.bytes = pace.bytes.saturating_add(bytes() as u64);
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
        let in_all = self.waited_in_all(since, now);
        if let Some(limit) = self.total {
            left = left.min(left_of(limit, in_all, StallLimit::Total)?);
        }
        if let Some(pace) = &mut self.pace {
            left = left.min(pace.waits(in_all)?);
        }
        Ok(left)
    }

    fn waited_in_all(&self, since: Instant, now: Instant) -> Duration {
        self.waited.saturating_add(now.saturating_duration_since(since))
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
    /// Says how much of the grace is left; when none is, enough must have come, and it begins anew.
    fn waits(&mut self, in_all: Duration) -> Result<Duration, Broken> {
        let MinRate { per_second, grace, needed } = self.rate;
        let waited = in_all.saturating_sub(self.looked);
        match grace.saturating_sub(waited) {
            Duration::ZERO if self.bytes < needed => {
                Err(Broken { limit: StallLimit::MinRate(per_second, grace), waited })
            }
            Duration::ZERO => {
                (self.looked, self.bytes) = (in_all, 0);
                Ok(grace)
            }
            left => Ok(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use proptest::prelude::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn unread() -> Instant {
        unreachable!("the clock is read")
    }

    fn watch(limits: Limits) -> Watch {
        Watch::new(&limits).unwrap()
    }

    fn rate(per_second: u64, grace: Duration) -> Limits {
        Limits { min_rate: Some(MinRate::new(per_second, grace)), ..Limits::default() }
    }

    #[test]
    fn without_a_limit_there_is_nothing_to_watch() {
        assert!(Watch::new(&Limits::default()).is_none());
    }

    #[test]
    fn frames_that_are_there_need_no_clock() {
        let start = clock::now();
        let limits = Limits { idle: Some(ms(10)), total: Some(ms(10)), ..rate(1_000_000, ms(10)) };
        let mut watch = watch(limits);
        for _ in 0..100 {
            watch.came(|| 1, unread);
        }
        assert_eq!(watch.waits(start), Ok(ms(10)));
    }

    #[test]
    fn an_idle_limit_alone_asks_for_no_time_when_a_frame_was_waited_for() {
        let start = clock::now();
        let mut watch = watch(Limits { idle: Some(ms(10)), ..Limits::default() });
        assert_eq!(watch.waits(start), Ok(ms(10)));
        watch.came(|| unreachable!("nor for the length"), unread);
    }

    /// D4
    #[test]
    fn the_largest_limits_are_never_broken_and_never_overflow() {
        let start = clock::now();
        let endless = Some(Duration::MAX);
        let limits = Limits { idle: endless, total: endless, ..rate(u64::MAX, Duration::MAX) };
        let mut watch = watch(limits);
        assert_eq!(watch.waits(start), Ok(Duration::MAX));
        let later = clock::after(start, Duration::from_secs(86_400 * 365 * 1_000));
        assert!(watch.waits(later).unwrap() > Duration::from_secs(86_400 * 365 * 1_000));
        watch.came(|| usize::MAX, || later);
        watch.came(|| usize::MAX, unread);
        assert!(watch.waits(later).is_ok());
    }

    #[test]
    fn a_rate_below_one_byte_a_grace_asks_for_one_byte() {
        let start = clock::now();
        for (came, expected) in [(0, false), (1, true)] {
            let mut watch = watch(rate(1, ms(100)));
            assert!(watch.waits(start).is_ok());
            watch.came(|| came, || start);
            assert!(watch.waits(start).is_ok());
            assert_eq!(watch.waits(start + ms(100)).is_ok(), expected, "{came}");
        }
    }

    /// One poll of a body: when it was, and the bytes that came, if it was not pending.
    type Poll = (Instant, Option<usize>);

    /// The naive model: everything from the list of all polls so far, of which the last was pending, and
    /// the number of the one at which the rate was last looked at.
    fn model(limits: &Limits, polls: &[Poll], look: &mut usize) -> Option<Broken> {
        let waited_from = |first: usize| -> Duration {
            let waits = polls[first..].windows(2).filter(|pair| pair[0].1.is_none());
            waits.map(|pair| pair[1].0 - pair[0].0).sum()
        };
        let (now, _) = *polls.last().unwrap();
        let pending = polls.iter().rev().take_while(|(_, came)| came.is_none()).count();
        let idle = now - polls[polls.len() - pending].0;
        if let Some(limit) = limits.idle.filter(|limit| idle >= *limit) {
            return Some(Broken { limit: StallLimit::Idle(limit), waited: idle });
        }
        let in_all = waited_from(0);
        if let Some(limit) = limits.total.filter(|limit| in_all >= *limit) {
            return Some(Broken { limit: StallLimit::Total(limit), waited: in_all });
        }
        let rate = limits.min_rate?;
        let waited = waited_from(*look);
        if waited < rate.grace {
            return None;
        }
        let bytes: usize = polls[*look..].iter().filter_map(|(_, came)| *came).sum();
        *look = polls.len() - 1;
        let enough = bytes as u128 * 1_000 >= u128::from(rate.per_second) * rate.grace.as_millis();
        let limit = StallLimit::MinRate(rate.per_second, rate.grace);
        (!enough).then_some(Broken { limit, waited })
    }

    fn limit(longest: u64) -> impl Strategy<Value = Option<Duration>> {
        prop::option::of((1..longest).prop_map(ms))
    }

    proptest! {
        #[test]
        fn a_watch_finds_what_the_naive_model_finds(
            idle in limit(300),
            total in limit(5_000),
            (per_second, grace) in (1_u64..2_000, limit(1_000)),
            polls in prop::collection::vec((0_u64..200, prop::option::of(0_usize..100)), 1..200),
        ) {
            let min_rate = grace.map(|grace| MinRate::new(per_second, grace));
            let limits = Limits { idle, total, min_rate };
            let head = clock::now();
            let Some(mut watch) = Watch::new(&limits) else { return Ok(()) };
            let (mut seen, mut look, mut next) = (Vec::new(), 0, head);
            let mut now = head;
            for (gap, came) in polls {
                now += ms(gap);
                seen.push((now, came));
                if let Some(bytes) = came {
                    watch.came(|| bytes, || now);
                    continue;
                }
                match (watch.waits(now), model(&limits, &seen, &mut look)) {
                    (Err(found), Some(expected)) => {
                        prop_assert_eq!(found, expected);
                        return Ok(());
                    }
                    (Ok(left), None) => {
                        prop_assert!(!left.is_zero() && now + left >= next, "it moves back");
                        next = now + left;
                    }
                    (found, expected) => prop_assert!(false, "{found:?}, not {expected:?}"),
                }
            }
        }

        /// The time to look again is neither too early nor too late: who waits up to then and finds
        /// nothing has broken a limit, unless that was a look at a rate which was high enough.
        #[test]
        fn a_limit_is_broken_at_the_time_that_was_told_and_not_before(
            idle in limit(300),
            total in limit(1_000),
            (per_second, grace) in (1_u64..2_000, limit(1_000)),
            bytes in 0_usize..2_000,
        ) {
            let min_rate = grace.map(|grace| MinRate::new(per_second, grace));
            let limits = Limits { idle, total, min_rate };
            let head = clock::now();
            let Some(mut watch) = Watch::new(&limits) else { return Ok(()) };
            watch.came(|| bytes, unread);
            let mut now = head;
            for _ in 0..3 {
                let Ok(left) = watch.waits(now) else { return Ok(()) };
                prop_assert!(watch.waits(now + left - Duration::from_nanos(1)).is_ok());
                now += left;
            }
            prop_assert!(watch.waits(now).is_err(), "two looks at a rate, and nothing came");
        }
    }
}
