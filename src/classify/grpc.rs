//! The judgement on a gRPC answer.

use super::end::AtEnd;
use super::error::{ErrorRules, error_setters};
use super::evidence::Evidence;
use super::marks::{EarlyTrailers, OutcomeMark};
use super::traits::Classify;
use crate::hint;
use crate::outcome::Outcome;
use http::{HeaderMap, Response};
use std::sync::{Arc, LazyLock};

const GRPC_STATUS: &str = "grpc-status";

/// Judges gRPC answers by their `grpc-status`.
///
/// | answer | outcome |
/// |---|---|
/// | [`OutcomeMark`] by a layer inside | as that says |
/// | OK | `Success` |
/// | UNAVAILABLE, INTERNAL, UNKNOWN, DATA_LOSS, DEADLINE_EXCEEDED | `Failure` |
/// | RESOURCE_EXHAUSTED | `Throttled` |
/// | UNIMPLEMENTED | `Unsuitable` |
/// | other codes | `Neutral` |
/// | no `grpc-status`, HTTP status 200 | the trailers are still to come: `Success` so far |
/// | no `grpc-status` in the trailers either, or no trailers | `Failure`, as UNKNOWN |
/// | no `grpc-status`, another HTTP status | as the code that the [gRPC specification] gives it |
/// | refused connection, HTTP/2 `REFUSED_STREAM`, refusal made on our own side | `Refused` |
/// | other errors | `Failure` |
///
/// It reads the head of the answer, where servers put the status of a call that failed before its
/// first message, the [`EarlyTrailers`] that a layer inside may have found, and then, for layers that follow an answer to its [end](Classify::at_end), the
/// trailers. `grpc-retry-pushback-ms`, `RetryInfo` and `Retry-After` of a failed call are taken
/// for a [`Hint`](crate::Hint).
///
/// [gRPC specification]: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
///
/// ```
/// use http::Response;
/// use tower_failover::classify::{Classify, GrpcClassifier, GrpcCode};
/// use tower_failover::{BoxError, Outcome};
///
/// let classifier = GrpcClassifier::new().code(GrpcCode::Aborted, Outcome::Failure);
/// let judge = |answer| classifier.classify(Ok::<&Response<()>, &BoxError>(&answer));
///
/// let aborted = Response::builder().header("grpc-status", "10").body(()).unwrap();
/// assert_eq!(judge(aborted), Outcome::Failure);
/// let bad_gateway = Response::builder().status(502).body(()).unwrap();
/// assert_eq!(judge(bad_gateway), Outcome::Failure, "as UNAVAILABLE");
/// ```
#[derive(Clone, Debug, Default)]
pub struct GrpcClassifier {
    codes: Codes,
    /// Made with the codes, so that an answer allocates nothing for it; none for those of the table.
    at_end: Option<AtEnd>,
    errors: ErrorRules,
}

/// The outcomes of codes that are not those of the table.
#[derive(Clone, Debug, Default)]
struct Codes(Option<Arc<[(GrpcCode, Outcome)]>>);

/// A status code of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the gRPC specification names and explains them")]
#[non_exhaustive]
pub enum GrpcCode {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl GrpcCode {
    /// Reads a `grpc-status`; anything that is no known code is `Unknown`.
    fn read(value: &[u8]) -> Self {
        match value {
            b"0" => Self::Ok,
            b"1" => Self::Cancelled,
            b"3" => Self::InvalidArgument,
            b"4" => Self::DeadlineExceeded,
            b"5" => Self::NotFound,
            b"6" => Self::AlreadyExists,
            b"7" => Self::PermissionDenied,
            b"8" => Self::ResourceExhausted,
            b"9" => Self::FailedPrecondition,
            b"10" => Self::Aborted,
            b"11" => Self::OutOfRange,
            b"12" => Self::Unimplemented,
            b"13" => Self::Internal,
            b"14" => Self::Unavailable,
            b"15" => Self::DataLoss,
            b"16" => Self::Unauthenticated,
            _ => Self::Unknown,
        }
    }

    /// The code of an answer without a `grpc-status`; none where the trailers may bring it.
    fn of_http(status: u16) -> Option<Self> {
        match status {
            200 => None,
            400 => Some(Self::Internal),
            401 => Some(Self::Unauthenticated),
            403 => Some(Self::PermissionDenied),
            404 => Some(Self::Unimplemented),
            429 | 502 | 503 | 504 => Some(Self::Unavailable),
            _ => Some(Self::Unknown),
        }
    }

    /// The code of an answer, and where it stands; none where the trailers may bring it.
    fn of_answer<B>(answer: &Response<B>) -> Option<(Self, &HeaderMap)> {
        let head = answer.headers();
        if let Some(value) = head.get(GRPC_STATUS) {
            return Some((Self::read(value.as_bytes()), head));
        }
        if let Some(code) = Self::of_http(answer.status().as_u16()) {
            return Some((code, head));
        }
        let trailers = EarlyTrailers::of(answer)?;
        Some((Self::of_trailers(trailers), trailers))
    }

    fn of_trailers(trailers: &HeaderMap) -> Self {
        trailers.get(GRPC_STATUS).map_or(Self::Unknown, |value| Self::read(value.as_bytes()))
    }
}

impl GrpcClassifier {
    /// Makes the classifier with the table above.
    #[must_use]
    pub const fn new() -> Self {
        Self { codes: Codes(None), at_end: None, errors: ErrorRules::new() }
    }

    /// Judges answers of this code so; the last word on a code counts.
    #[must_use]
    pub fn code(mut self, code: GrpcCode, outcome: Outcome) -> Self {
        let before = self.codes.0.iter().flat_map(|codes| codes.iter()).copied();
        self.codes.0 = Some(std::iter::once((code, outcome)).chain(before).collect());
        self.at_end = Some(self.codes.clone().into_at_end());
        self
    }

    error_setters!();
}

impl Codes {
    fn outcome(&self, code: GrpcCode, headers: &HeaderMap) -> Outcome {
        let mut own = self.0.iter().flat_map(|codes| codes.iter());
        let outcome = match own.find(|(own, _)| *own == code) {
            Some((_, outcome)) => *outcome,
            None => match code {
                GrpcCode::Ok => Outcome::Success,
                GrpcCode::Unavailable
                | GrpcCode::Internal
                | GrpcCode::Unknown
                | GrpcCode::DataLoss
                | GrpcCode::DeadlineExceeded => Outcome::Failure,
                GrpcCode::ResourceExhausted => Outcome::Throttled { retry_after: None },
                GrpcCode::Unimplemented => Outcome::Unsuitable,
                _ => Outcome::Neutral,
            },
        };
        match outcome {
            Outcome::Throttled { retry_after: None } => {
                let retry_after = match hint::grpc(headers) {
                    Some(hint::Hint::AtLeast(delay) | hint::Hint::Exactly(delay)) => Some(delay),
                    _ => None,
                };
                Outcome::Throttled { retry_after }
            }
            outcome => outcome,
        }
    }

    fn into_at_end(self) -> AtEnd {
        AtEnd::with_evidence(move |trailers| self.at_end(trailers))
    }

    /// Judges an answer that has ended, whose head has no status.
    fn at_end(&self, trailers: Option<&HeaderMap>) -> (Outcome, Evidence) {
        let Some(trailers) = trailers else {
            return (self.outcome(GrpcCode::Unknown, &HeaderMap::new()), Evidence::default());
        };
        match self.outcome(GrpcCode::of_trailers(trailers), trailers) {
            Outcome::Success => (Outcome::Success, Evidence::default()),
            outcome => (outcome, Evidence { hint: hint::grpc(trailers), ..Evidence::default() }),
        }
    }
}

impl<B, E: 'static> Classify<Response<B>, E> for GrpcClassifier {
    fn classify(&self, result: Result<&Response<B>, &E>) -> Outcome {
        match result {
            Ok(answer) => {
                OutcomeMark::of(answer).unwrap_or_else(|| match GrpcCode::of_answer(answer) {
                    Some((code, headers)) => self.codes.outcome(code, headers),
                    None => Outcome::Success,
                })
            }
            Err(error) => self.errors.classify(error),
        }
    }

    fn evidence(&self, result: Result<&Response<B>, &E>) -> Evidence {
        match result {
            Ok(answer) => {
                let headers =
                    GrpcCode::of_answer(answer).map_or(answer.headers(), |(_, headers)| headers);
                Evidence { hint: hint::grpc(headers), ..Evidence::default() }
            }
            Err(error) => self.errors.evidence(error),
        }
    }

    fn at_end(&self, answer: &Response<B>) -> Option<AtEnd> {
        // a status that is known already is the last word
        static OF_THE_TABLE: LazyLock<AtEnd> = LazyLock::new(|| Codes::default().into_at_end());
        GrpcCode::of_answer(answer)
            .is_none()
            .then(|| self.at_end.as_ref().unwrap_or(&OF_THE_TABLE).clone())
    }
}
