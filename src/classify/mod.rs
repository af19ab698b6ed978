//! From a `Result` to an [`Outcome`](crate::Outcome): one judgement, which every layer shares.
//!
//! * [`ErrorsOnly`] looks at errors alone, for services that are not HTTP.
//! * [`HttpClassifier`] reads the status of an HTTP answer.
//! * [`GrpcClassifier`] reads the `grpc-status` of a gRPC answer.
//! * A closure `Fn(Result<&Response, &Error>) -> Outcome` is a classifier too.
//!
//! What a layer inside has found in the body of an answer stands in its extensions ([`OutcomeMark`],
//! [`EarlyTrailers`]), where the classifiers of HTTP and gRPC see it.
//!
//! # Errors
//!
//! The built-in classifiers know a refusal made on our own side by its [`Refusal`](crate::Refusal)
//! mark, and the HTTP ones a refused connection and a refused HTTP/2 stream. They look for them in
//! the sources of an error, which they see in a [`BoxError`](crate::BoxError). The error of a concrete
//! client type hides its sources from generic code, so a layer directly over such a client (retry
//! keeps the error type of what it wraps) has to be told about it once:
//!
//! ```
//! # #[cfg(feature = "http")] {
//! use tower_failover::classify::HttpClassifier;
//! # type ClientError = std::io::Error;
//!
//! let classifier = HttpClassifier::new().with_error_type::<ClientError>();
//! # }
//! ```

mod effect;
mod end;
mod error;
mod errors_only;
mod evidence;
#[cfg(feature = "http")]
mod grpc;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod marks;
mod traits;

pub(crate) use self::{
    effect::{Effect, Evaluation, RaceResult, Resend, Route},
    traits::assess,
};
pub use self::{end::AtEnd, errors_only::ErrorsOnly, evidence::Evidence, traits::Classify};
#[cfg(feature = "http")]
pub use self::{
    grpc::{GrpcClassifier, GrpcCode},
    http::HttpClassifier,
    marks::{EarlyTrailers, OutcomeMark},
};
