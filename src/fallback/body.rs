//! One answer type for two services.

use super::policy::Degraded;
use crate::replay::{CopyWith, Plain, Slot};
use crate::sealed::Sealed;

/// Joins the answer of the first service and that of the fallback into one type.
///
/// Implemented by [`Plain`], [`CopyWith`] and [`Slot`] where both are the same type, and by
/// [`Http`](crate::replay::Http) for two HTTP answers; it can't be implemented outside.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "an answer of type `{Res}` and a fallback of type `{Alt}` can't be joined",
    note = "`FallbackLayer::plain()` needs both of one type; `http()` and `grpc()` join two `http::Response`s whose bodies have the same `Data`"
)]
pub trait Join<Res, Alt>: Sealed {
    /// Either of them.
    type Response;

    /// The first service's own answer.
    #[doc(hidden)]
    fn first(&self, answer: Res) -> Self::Response;

    /// The fallback's answer, marked where there is a place for it.
    #[doc(hidden)]
    fn fallback(&self, answer: Alt, degraded: impl FnOnce() -> Degraded) -> Self::Response;
}

macro_rules! join_same_type {
    () => {
        type Response = Res;

        fn first(&self, answer: Res) -> Res {
            answer
        }

        fn fallback(&self, answer: Res, _: impl FnOnce() -> Degraded) -> Res {
            answer
        }
    };
}

impl<Res> Join<Res, Res> for Plain {
    join_same_type!();
}

impl<Req, Res> Join<Res, Res> for CopyWith<Req> {
    join_same_type!();
}

impl<Req, Res> Join<Res, Res> for Slot<Req> {
    join_same_type!();
}

#[cfg(feature = "http")]
pub use self::wire::{EmptyBody, FallbackBody};

#[cfg(feature = "http")]
mod wire {
    use super::{Degraded, Join};
    use crate::error::BoxError;
    use crate::replay::Http;
    use bytes::Bytes;
    use http::Response;
    use http_body::{Body, Frame, SizeHint};
    use pin_project_lite::pin_project;
    use std::fmt;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    impl<A, B, M> Join<Response<A>, Response<B>> for Http<M> {
        type Response = Response<FallbackBody<A, B>>;

        fn first(&self, answer: Response<A>) -> Self::Response {
            answer.map(|first| FallbackBody { either: Either::First { first } })
        }

        fn fallback(
            &self,
            answer: Response<B>,
            degraded: impl FnOnce() -> Degraded,
        ) -> Self::Response {
            let mut answer =
                answer.map(|fallback| FallbackBody { either: Either::Fallback { fallback } });
            answer.extensions_mut().insert(degraded());
            answer
        }
    }

    pin_project! {
        /// The body of the first service's answer or that of the fallback's, as it is.
        pub struct FallbackBody<A, B> {
            #[pin]
            either: Either<A, B>,
        }
    }

    pin_project! {
        #[project = EitherProjected]
        enum Either<A, B> {
            First { #[pin] first: A },
            Fallback { #[pin] fallback: B },
        }
    }

    impl<A, B> Body for FallbackBody<A, B>
    where
        A: Body,
        B: Body<Data = A::Data>,
        A::Error: Into<BoxError>,
        B::Error: Into<BoxError>,
    {
        type Data = A::Data;
        type Error = BoxError;

        fn poll_frame(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<A::Data>, BoxError>>> {
            match self.project().either.project() {
                EitherProjected::First { first } => {
                    first.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
                }
                EitherProjected::Fallback { fallback } => fallback
                    .poll_frame(cx)
                    .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            }
        }

        fn is_end_stream(&self) -> bool {
            match &self.either {
                Either::First { first } => first.is_end_stream(),
                Either::Fallback { fallback } => fallback.is_end_stream(),
            }
        }

        fn size_hint(&self) -> SizeHint {
            match &self.either {
                Either::First { first } => first.size_hint(),
                Either::Fallback { fallback } => fallback.size_hint(),
            }
        }
    }

    impl<A, B> fmt::Debug for FallbackBody<A, B> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let of_fallback = matches!(self.either, Either::Fallback { .. });
            f.debug_struct("FallbackBody")
                .field("of_fallback", &of_fallback)
                .finish_non_exhaustive()
        }
    }

    /// The body of an answer that is all in its head.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct EmptyBody(());

    impl EmptyBody {
        pub(in crate::fallback) const fn new() -> Self {
            Self(())
        }
    }

    impl Body for EmptyBody {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(None)
        }

        fn is_end_stream(&self) -> bool {
            true
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(0)
        }
    }
}
