//! What stands in for the answer that failed.

#[cfg(feature = "http")]
use super::body::EmptyBody;
use super::policy::Failed;
use crate::error::BoxError;
use crate::sealed::Sealed;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Makes the answer of a fallback itself, without another service.
///
/// Implemented by [`Value`], [`Respond`] and [`Unavailable`]; it can't be implemented outside.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no fallback for this request and answer",
    note = "the layer needs one of `value`, `respond` and `service`, and its closure one parameter, `Failed<Response>`"
)]
pub trait Answer<Req, Res>: Sealed {
    /// What is kept of the request until it is needed.
    type Kept;
    /// The answer that is made.
    type Alt;
    /// The error of the service with this fallback.
    type Error;

    /// Keeps of the request what will be needed.
    fn keep(&self, request: &Req) -> Self::Kept;

    /// Makes the answer.
    fn answer(&self, failed: Failed<Res, Self::Kept>) -> Self::Alt;

    /// Takes an error that is none of the chosen outcomes; `failed` makes of it what `answer` takes.
    fn unchosen(
        &self,
        error: BoxError,
        failed: impl FnOnce(BoxError) -> Failed<Res, Self::Kept>,
    ) -> Result<Self::Alt, Self::Error>;
}

/// Keeps something of a request: [`KeepBy`] a closure, or [`KeepNothing`].
#[doc(hidden)]
pub trait Keep<Req>: Sealed {
    /// What is kept.
    type Kept;

    /// Takes from the request what the fallback will need.
    fn keep(&self, request: &Req) -> Self::Kept;
}

/// Keeps what a closure takes from the request.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct KeepBy<F>(pub(super) F);

impl<F> Sealed for KeepBy<F> {}

impl<F, Req, Kept> Keep<Req> for KeepBy<F>
where
    F: Fn(&Req) -> Kept,
{
    type Kept = Kept;

    fn keep(&self, request: &Req) -> Kept {
        (self.0)(request)
    }
}

/// Keeps nothing of the request.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct KeepNothing;

impl Sealed for KeepNothing {}

impl<Req> Keep<Req> for KeepNothing {
    type Kept = ();

    fn keep(&self, _: &Req) {}
}

/// Answers the chosen outcomes with a value; see [`FallbackLayer::value`](super::FallbackLayer::value).
#[doc(hidden)]
#[derive(Clone)]
pub struct Value<F, K = KeepNothing> {
    pub(super) make: F,
    pub(super) keep: K,
}

/// Answers the chosen outcomes and every error; see
/// [`FallbackLayer::respond`](super::FallbackLayer::respond).
#[doc(hidden)]
#[derive(Clone)]
pub struct Respond<F, K = KeepNothing> {
    pub(super) make: F,
    pub(super) keep: K,
}

/// Answers every error with the gRPC status UNAVAILABLE; see
/// [`FallbackLayer::unavailable`](super::FallbackLayer::unavailable).
#[doc(hidden)]
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Unavailable;

/// Sends the request to another service; see [`FallbackLayer::service`](super::FallbackLayer::service).
///
/// The service stands in a mutex only so that it need not be `Sync`: it is cloned when it is needed.
#[doc(hidden)]
pub struct Backup<T>(Mutex<T>);

impl<T: Clone> Backup<T> {
    pub(super) const fn new(service: T) -> Self {
        Self(Mutex::new(service))
    }

    pub(super) fn service(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T: Clone> Clone for Backup<T> {
    fn clone(&self) -> Self {
        Self::new(self.service())
    }
}

/// A layer that was not told yet what takes the place of a failed answer.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Undecided;

impl<F, K> Sealed for Value<F, K> {}
impl<F, K> Sealed for Respond<F, K> {}

impl<F, K, Req, Res, Alt> Answer<Req, Res> for Value<F, K>
where
    K: Keep<Req>,
    F: Fn(Failed<Res, K::Kept>) -> Alt,
{
    type Kept = K::Kept;
    type Alt = Alt;
    type Error = BoxError;

    fn keep(&self, request: &Req) -> K::Kept {
        self.keep.keep(request)
    }

    fn answer(&self, failed: Failed<Res, K::Kept>) -> Alt {
        (self.make)(failed)
    }

    fn unchosen(
        &self,
        error: BoxError,
        _: impl FnOnce(BoxError) -> Failed<Res, K::Kept>,
    ) -> Result<Alt, BoxError> {
        Err(error)
    }
}

impl<F, K, Req, Res, Alt> Answer<Req, Res> for Respond<F, K>
where
    K: Keep<Req>,
    F: Fn(Failed<Res, K::Kept>) -> Alt,
{
    type Kept = K::Kept;
    type Alt = Alt;
    type Error = Infallible;

    fn keep(&self, request: &Req) -> K::Kept {
        self.keep.keep(request)
    }

    fn answer(&self, failed: Failed<Res, K::Kept>) -> Alt {
        (self.make)(failed)
    }

    fn unchosen(
        &self,
        error: BoxError,
        failed: impl FnOnce(BoxError) -> Failed<Res, K::Kept>,
    ) -> Result<Alt, Infallible> {
        Ok((self.make)(failed(error)))
    }
}

#[cfg(feature = "http")]
mod unavailable {
    use super::{Answer, BoxError, EmptyBody, Failed, Infallible, Sealed, Unavailable};
    use http::Response;
    use http::header::{CONTENT_TYPE, HeaderValue};

    impl Sealed for Unavailable {}

    impl<Req, Res> Answer<Req, Res> for Unavailable {
        type Kept = ();
        type Alt = Response<EmptyBody>;
        type Error = Infallible;

        fn keep(&self, _: &Req) {}

        /// A trailers-only answer. It tells nothing of the error, which may hold what is not the
        /// caller's to know.
        fn answer(&self, _: Failed<Res>) -> Response<EmptyBody> {
            let mut answer = Response::new(EmptyBody::new());
            let headers = answer.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from_static("14"));
            headers.insert("grpc-message", HeaderValue::from_static("service unavailable"));
            answer
        }

        fn unchosen(
            &self,
            error: BoxError,
            failed: impl FnOnce(BoxError) -> Failed<Res>,
        ) -> Result<Response<EmptyBody>, Infallible> {
            Ok(Answer::<Req, Res>::answer(self, failed(error)))
        }
    }
}

impl<F> fmt::Debug for KeepBy<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeepBy")
    }
}

impl<F, K> fmt::Debug for Value<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}

impl<F, K> fmt::Debug for Respond<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Respond")
    }
}

impl<T> fmt::Debug for Backup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backup")
    }
}
