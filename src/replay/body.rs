//! A request body that can be sent again.

use super::buffer::{BodyCopy, Keeper, Reader, in_bytes};
use crate::error::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

/// A body that keeps its frames as they are first sent, data and trailers, and plays them again to
/// another attempt, which then goes on reading the rest of the original.
///
/// Nothing is read ahead: an upload streams as it would without. When more frames were sent than the
/// limit allows to keep, they are let go, and the request goes through once.
///
/// # Sharing
///
/// The copies of one request share its body and what is kept of it. They may be read side by side.
/// What is kept is freed when no further attempt is possible and the slowest copy has read it.
///
/// # Errors
///
/// An error of the original body reaches the copy that met it as it is; other copies end with
/// [`RequestBodyLost`](super::RequestBodyLost). So does a copy that fell behind over the limit, and
/// one whose attempt was given up.
pub struct ReplayBody<B>(Inner<B>);

enum Inner<B> {
    /// Nothing to send, and so nothing to keep.
    Empty,
    /// Sent once; in a mutex only so that the body is `Sync` when `B` is not.
    Once(Mutex<B>),
    Kept(Reader<B>),
}

impl<B> ReplayBody<B> {
    /// A body that is sent once and not kept.
    pub(super) fn once(body: B) -> Self {
        Self(Inner::Once(Mutex::new(body)))
    }

    pub(super) fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// What another attempt sends.
    pub(super) fn of(copy: BodyCopy<B>) -> Self {
        match copy {
            BodyCopy::Empty => Self::empty(),
            BodyCopy::Kept(reader) => Self(Inner::Kept(reader)),
        }
    }
}

impl<B> Default for ReplayBody<B> {
    /// A body without anything in it, for requests that are made below the layers, such as checks.
    fn default() -> Self {
        Self::empty()
    }
}

impl<B: Body> ReplayBody<B> {
    /// The body of a first attempt, and what keeps it for others; nothing does if it is known to be
    /// too long.
    pub(super) fn keep(body: B, limit: usize) -> (Self, Option<Keeper<B>>) {
        if body.is_end_stream() {
            return (Self::empty(), Some(Keeper::empty()));
        }
        if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            tracing::debug!(target: "tower_failover::replay", limit, "body too long to keep");
            return (Self::once(body), None);
        }
        let (reader, keeper) = Keeper::new(body, limit);
        (Self(Inner::Kept(reader)), Some(keeper))
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Once(body) => {
                let body = body.get_mut().unwrap_or_else(PoisonError::into_inner);
                let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map(in_bytes).map_err(Into::into)))
            }
            Inner::Kept(reader) => reader.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Once(body) => {
                body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
            }
            Inner::Kept(reader) => reader.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Once(body) => body.lock().unwrap_or_else(PoisonError::into_inner).size_hint(),
            Inner::Kept(reader) => reader.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody")
            .field("kept", &matches!(self.0, Inner::Kept(_)))
            .finish_non_exhaustive()
    }
}

/// Turns a [`ReplayBody`] into the body type of the inner service.
///
/// Functions `Fn(ReplayBody<B>) -> Body` implement it: `tonic::body::Body::new` and
/// `axum::body::Body::new` can be given as they are.
pub trait MapBody<B> {
    /// The body type of the inner service.
    type Body;

    /// Turns the body into that.
    fn map(&self, body: ReplayBody<B>) -> Self::Body;
}

/// Leaves the [`ReplayBody`] as it is.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Same;

impl<B> MapBody<B> for Same {
    type Body = ReplayBody<B>;

    fn map(&self, body: ReplayBody<B>) -> ReplayBody<B> {
        body
    }
}

impl<F, B, Out> MapBody<B> for F
where
    F: Fn(ReplayBody<B>) -> Out,
{
    type Body = Out;

    fn map(&self, body: ReplayBody<B>) -> Out {
        self(body)
    }
}
