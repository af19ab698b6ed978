//! How long to wait before the n-th retry: pure arithmetic, no clock.

use crate::ratio::Ratio;
use crate::rng::Rng;
use std::sync::Arc;
use std::time::Duration;

/// More values than anybody retries; an iterator without an end is cut here.
const LONGEST_SEQUENCE: usize = 1_024;

/// The sequence of delays between the attempts of one request.
///
/// `value` is what the sequence says, the delay is what [`Jitter`] makes of it, and the cap bounds
/// the delay *after* jitter. It is applied before, to a value from which jitter cannot pass it:
/// clipping the draws themselves would gather them on the cap, where they would hit the server in
/// step.
///
/// # Example: 100±50, 200±100, 400±200, 800±400 ms
///
/// ```
/// use std::time::Duration;
/// use tower_failover::{Backoff, Jitter, Ratio};
///
/// let backoff = Backoff::exponential(Duration::from_millis(100))
///     .jitter(Jitter::Proportional(Ratio::percent::<50>()));
/// let delays: Vec<u128> = backoff.delays(42).take(4).map(|delay| delay.as_millis()).collect();
/// for (delay, middle) in delays.into_iter().zip([100, 200, 400, 800]) {
///     assert!((middle / 2..=middle * 3 / 2).contains(&delay));
/// }
/// ```
///
/// # Defaults
///
/// 100 ms, doubled from retry to retry, at most 5 s, with full jitter; the guide has the reasons. The
/// kinds of jitter are those of the [AWS architecture blog].
///
/// [AWS architecture blog]: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
#[derive(Clone, Debug)]
pub struct Backoff {
    shape: Shape,
    cap: Duration,
    /// None: as it is usual for what waits.
    jitter: Option<Jitter>,
}

#[derive(Clone, Debug)]
enum Shape {
    Exponential { base: Duration, factor: f64 },
    Sequence(Arc<[Duration]>),
}

/// The randomness of a delay, drawn anew for every delay of every request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Jitter {
    /// Between zero and the value.
    #[default]
    Full,
    /// Between half the value and the value.
    Equal,
    /// Between the base and three times the delay before; the value itself is not used. Where three
    /// times the delay before is over the cap, between the base and the cap.
    Decorrelated,
    /// The value, more or less this share of it: `Proportional(p)` draws between `value × (1 − p)` and
    /// `value × (1 + p)`, from a value of at most `cap / (1 + p)`.
    Proportional(Ratio),
    /// The value itself. Requests that fail in the same instant retry in the same instant.
    None,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(100))
    }
}

impl Backoff {
    /// Waits `base` before the first retry and twice as long before each next one, at most 5 s, with
    /// full jitter. A base of zero retries at once.
    #[must_use]
    pub const fn exponential(base: Duration) -> Self {
        let shape = Shape::Exponential { base, factor: 2.0 };
        Self { shape, cap: Duration::from_secs(5), jitter: None }
    }

    /// Waits the same time before every retry, with full jitter and no cap.
    #[must_use]
    pub const fn constant(delay: Duration) -> Self {
        let shape = Shape::Exponential { base: delay, factor: 1.0 };
        Self { shape, cap: Duration::MAX, jitter: None }
    }

    /// Waits what `values` says, then its last value again and again, with full jitter and no cap.
    /// At most 1 024 values are read; no value at all retries at once.
    #[must_use]
    pub fn sequence(values: impl IntoIterator<Item = Duration>) -> Self {
        let shape = Shape::Sequence(values.into_iter().take(LONGEST_SEQUENCE).collect());
        Self { shape, cap: Duration::MAX, jitter: None }
    }

    /// Sets by what the value grows from retry to retry. Default: 2, and 1 for
    /// [`constant`](Self::constant). A delay never shrinks: a factor below 1, or one that is not a number,
    /// counts as 1. An infinite one goes from the first value to the cap at once. A sequence has its own
    /// values and ignores it.
    #[must_use]
    pub fn factor(mut self, by: f64) -> Self {
        if let Shape::Exponential { factor, .. } = &mut self.shape {
            // `max` passes over what is not a number
            *factor = by.max(1.0);
        }
        self
    }

    /// Sets the longest delay, after jitter. Default: 5 s for [`exponential`](Self::exponential), none
    /// for the others. Zero retries at once.
    #[must_use]
    pub const fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Sets the randomness. Default: [`Jitter::Full`]; a circuit that opens has a default of its own.
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = Some(jitter);
        self
    }

    /// Sets the randomness if it was not set.
    pub(crate) fn usual_jitter(self, jitter: Jitter) -> Self {
        Self { jitter: self.jitter.or(Some(jitter)), ..self }
    }

    fn randomness(&self) -> Jitter {
        self.jitter.unwrap_or_default()
    }

    /// Returns the delays of one request, without an end; the same seed gives the same delays.
    #[must_use]
    pub fn delays(&self, seed: u64) -> Delays<'_> {
        Delays { backoff: self, progress: Progress::new(seed) }
    }

    /// The value before the first retry.
    fn base(&self) -> Duration {
        match &self.shape {
            Shape::Exponential { base, .. } => *base,
            Shape::Sequence(values) => values.first().copied().unwrap_or_default(),
        }
    }

    /// The value before retry `n`, counted from zero, at most the cap.
    fn value(&self, n: u32) -> Duration {
        let value = match &self.shape {
            Shape::Exponential { base, .. } if n == 0 => *base,
            Shape::Exponential { base, factor } => {
                let grown = base.as_secs_f64() * factor.powf(f64::from(n));
                // a base of zero times a factor that overflowed is not a number
                let grown = if base.is_zero() { 0.0 } else { grown };
                // seconds in floating point lose the nanoseconds of a long base
                Duration::try_from_secs_f64(grown).unwrap_or(Duration::MAX).max(*base)
            }
            Shape::Sequence(values) => {
                let at = usize::try_from(n).unwrap_or(usize::MAX);
                values.get(at).or(values.last()).copied().unwrap_or_default()
            }
        };
        value.min(self.cap)
    }
}

/// Where one request stands in its backoff.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    retry: u32,
    previous: Option<Duration>,
    rng: Rng,
}

impl Progress {
    pub(crate) fn new(seed: u64) -> Self {
        Self { retry: 0, previous: None, rng: Rng::new(seed) }
    }

    /// The delay before the next retry.
    pub(crate) fn next(&mut self, backoff: &Backoff) -> Duration {
        let value = backoff.value(self.retry);
        let rng = &mut self.rng;
        let delay = match backoff.randomness() {
            Jitter::Full => rng.between(Duration::ZERO, value),
            Jitter::Equal => rng.between(value / 2, value),
            Jitter::Decorrelated => {
                let base = backoff.base().min(backoff.cap);
                let previous = self.previous.unwrap_or(base);
                rng.between(base, previous.saturating_mul(3).min(backoff.cap))
            }
            Jitter::Proportional(share) => {
                let share = share.get();
                let middle = value.as_secs_f64().min(backoff.cap.as_secs_f64() / (1.0 + share));
                let at = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
                let high = at(middle * (1.0 + share)).min(backoff.cap);
                rng.between(at(middle * (1.0 - share)).min(high), high)
            }
            Jitter::None => value,
        };
        self.retry = self.retry.saturating_add(1);
        self.previous = Some(delay);
        delay
    }

    /// The delay where the server asked for `hint`: that is a floor which the cap does not bound, with
    /// jitter on top of it, U(0, min(cap, max(base, hint / 10))). A hint of zero asks for no delay.
    pub(crate) fn after_hint(&mut self, backoff: &Backoff, hint: Duration) -> Duration {
        self.retry = self.retry.saturating_add(1);
        if hint.is_zero() || backoff.randomness() == Jitter::None {
            return hint;
        }
        let spread = backoff.base().max(hint / 10).min(backoff.cap);
        hint.saturating_add(self.rng.between(Duration::ZERO, spread))
    }

    /// Starts the sequence again, as a pushback asks for.
    pub(crate) fn restart(&mut self) {
        self.retry = 0;
        self.previous = None;
    }
}

/// The delays of one request, made by [`Backoff::delays`]. It has no end.
#[derive(Debug)]
pub struct Delays<'a> {
    backoff: &'a Backoff,
    progress: Progress,
}

impl Iterator for Delays<'_> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.progress.next(self.backoff))
    }
}

#[cfg(test)]
mod tests;
