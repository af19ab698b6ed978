//! The judgement on one attempt.

use std::time::Duration;

/// What became of one attempt, as every layer of this crate reads it.
///
/// A [`Classify`](crate::classify::Classify) makes it from a `Result`. An `Ok` may well be a
/// failure (a 503), and an `Err` need not be held against anybody (a refusal made on our own side).
///
/// | outcome | retry | circuit breaker | fallback |
/// |---|---|---|---|
/// | `Success` | no | good | no |
/// | `Failure` | if the request may be repeated | bad | yes |
/// | `Refused` | yes; a refusal made on our own side only elsewhere, at once | bad; not counted if made on our own side | yes |
/// | `Throttled` | elsewhere at once, or here after the hint | a 503 is bad, others are not counted unless asked for | yes |
/// | `Unsuitable` | only elsewhere | not counted | yes |
/// | `Neutral` | no | not counted | no |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Answered well.
    Success,
    /// Failed, and may have done the work.
    Failure,
    /// Never took the request: a refused connection, a refused HTTP/2 stream, or a refusal made on
    /// our own side of the wire ([`Refusal`](crate::Refusal)).
    Refused,
    /// Alive, and asks for less.
    Throttled {
        /// How long the answer asks to be left alone, if it says.
        retry_after: Option<Duration>,
    },
    /// Will never serve *this* request; another endpoint may: a revoked key, an unknown model.
    Unsuitable,
    /// Says nothing about the other side: the caller's own mistake, or the caller left.
    Neutral,
}

impl Outcome {
    /// How long a throttling answer asks to be left alone, if it says.
    pub(crate) const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => retry_after,
            Self::Success | Self::Failure | Self::Refused | Self::Unsuitable | Self::Neutral => {
                None
            }
        }
    }

    /// A short name for events and counts, without the data.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Refused => "refused",
            Self::Throttled { .. } => "throttled",
            Self::Unsuitable => "unsuitable",
            Self::Neutral => "neutral",
        }
    }
}
