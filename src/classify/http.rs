//! The judgement on an HTTP answer.

use super::error::{ErrorRules, error_setters};
use super::evidence::Evidence;
use super::marks::OutcomeMark;
use super::traits::Classify;
use crate::hint::{self, Hint};
use crate::outcome::Outcome;
use http::{Response, StatusCode};
use std::time::Duration;

/// Judges HTTP answers by their status.
///
/// | answer | outcome |
/// |---|---|
/// | [`OutcomeMark`] by a layer inside | as that says |
/// | 1xx, 2xx, 3xx | `Success` |
/// | 408 | `Failure` |
/// | 425, 429 | `Throttled` |
/// | other 4xx | `Neutral`: the caller's own mistake |
/// | 501, 505 | `Unsuitable` |
/// | 503 with a readable `Retry-After` | `Throttled` |
/// | other 5xx | `Failure` |
/// | refused connection, HTTP/2 `REFUSED_STREAM`, refusal made on our own side | `Refused` |
/// | other errors | `Failure` |
///
/// Delays are read from `Retry-After` (seconds, or a date against the answer's own `Date`) and
/// `retry-after-ms` of a 429 or 503 only; of several the longest counts.
///
/// ```
/// use http::{Response, StatusCode};
/// use std::time::Duration;
/// use tower_failover::classify::{Classify, HttpClassifier};
/// use tower_failover::{BoxError, Outcome};
///
/// let classifier = HttpClassifier::new().status(StatusCode::CONFLICT, Outcome::Failure);
/// let judge = |answer| classifier.classify(Ok::<&Response<()>, &BoxError>(&answer));
///
/// let busy = Response::builder().status(503).header("retry-after", "2").body(()).unwrap();
/// assert_eq!(judge(busy), Outcome::Throttled { retry_after: Some(Duration::from_secs(2)) });
/// assert_eq!(judge(Response::builder().status(409).body(()).unwrap()), Outcome::Failure);
/// assert_eq!(judge(Response::builder().status(404).body(()).unwrap()), Outcome::Neutral);
/// ```
#[derive(Clone, Debug, Default)]
pub struct HttpClassifier {
    statuses: Vec<(StatusCode, Outcome)>,
    rate_limit_reset: bool,
    errors: ErrorRules,
}

impl HttpClassifier {
    /// Makes the classifier with the table above.
    #[must_use]
    pub const fn new() -> Self {
        Self { statuses: Vec::new(), rate_limit_reset: false, errors: ErrorRules::new() }
    }

    /// Judges answers of this status so; the last word on a status counts.
    #[must_use]
    pub fn status(mut self, status: StatusCode, outcome: Outcome) -> Self {
        self.statuses.insert(0, (status, outcome));
        self
    }

    error_setters!();

    /// Takes `x-ratelimit-reset` and its kin (`x-ratelimit-reset-requests`, ...) of a 429 or 503 for a
    /// delay too: as seconds, as seconds since 1970, or in the form `1m2.5s`. One whose
    /// `x-ratelimit-remaining` says that something is left is passed over. Default: they are not read,
    /// since services mean different things by them.
    #[must_use]
    pub const fn rate_limit_reset(mut self) -> Self {
        self.rate_limit_reset = true;
        self
    }

    fn retry_after<B>(&self, answer: &Response<B>) -> Option<Duration> {
        match answer.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                hint::http(answer.headers(), self.rate_limit_reset)
            }
            _ => None,
        }
    }

    fn by_status<B>(&self, answer: &Response<B>) -> Outcome {
        let status = answer.status();
        if let Some((_, outcome)) = self.statuses.iter().find(|(own, _)| *own == status) {
            return match outcome {
                Outcome::Throttled { retry_after: None } => {
                    Outcome::Throttled { retry_after: self.retry_after(answer) }
                }
                _ => *outcome,
            };
        }
        match status.as_u16() {
            ..=399 => Outcome::Success,
            408 => Outcome::Failure,
            425 | 429 => Outcome::Throttled { retry_after: self.retry_after(answer) },
            400..=499 => Outcome::Neutral,
            501 | 505 => Outcome::Unsuitable,
            503 => match self.retry_after(answer) {
                None => Outcome::Failure,
                retry_after => Outcome::Throttled { retry_after },
            },
            _ => Outcome::Failure,
        }
    }
}

impl<B, E: 'static> Classify<Response<B>, E> for HttpClassifier {
    fn classify(&self, result: Result<&Response<B>, &E>) -> Outcome {
        match result {
            Ok(answer) => OutcomeMark::of(answer).unwrap_or_else(|| self.by_status(answer)),
            Err(error) => self.errors.classify(error),
        }
    }

    fn evidence(&self, result: Result<&Response<B>, &E>) -> Evidence {
        match result {
            Ok(answer) => Evidence {
                hint: self.retry_after(answer).map(Hint::AtLeast),
                untouched: answer.status() == StatusCode::TOO_MANY_REQUESTS,
                overloaded: answer.status() == StatusCode::SERVICE_UNAVAILABLE,
                local: false,
            },
            Err(error) => self.errors.evidence(error),
        }
    }
}
