//! The body that plays what was held back.

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of an answer: what was held back of it, as one frame, and then the rest as it comes.
///
/// Dropping it drops the body that it reads from.
pub struct FirstFrameBody<B: Body> {
    held: Bytes,
    last: Option<Box<Last<B::Error>>>,
    body: B,
}

/// What came after the held bytes, and was the last.
pub(super) enum Last<E> {
    Trailers(HeaderMap),
    Error(E),
    End,
}

impl<B: Body> FirstFrameBody<B> {
    /// A body of which nothing was read.
    pub(super) const fn whole(body: B) -> Self {
        Self { held: Bytes::new(), last: None, body }
    }

    pub(super) fn after(held: Bytes, last: Option<Last<B::Error>>, body: B) -> Self {
        Self { held, last: last.map(Box::new), body }
    }

    /// Whether all comes from the body now that was not read before.
    fn is_played(&self) -> bool {
        self.held.is_empty() && self.last.is_none()
    }
}

impl<B: Body<Data = Bytes> + Unpin> FirstFrameBody<B> {
    #[cold]
    fn play(&mut self) -> Option<Result<Frame<Bytes>, B::Error>> {
        if !self.held.is_empty() {
            return Some(Ok(Frame::data(mem::take(&mut self.held))));
        }
        match *self.last.take()? {
            Last::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Last::Error(error) => Some(Err(error)),
            Last::End => {
                // a body that has ended is not asked again
                self.last = Some(Box::new(Last::End));
                None
            }
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for FirstFrameBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if !self.is_played() {
            return Poll::Ready(self.play());
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.held.is_empty()
            && match self.last.as_deref() {
                None => self.body.is_end_stream(),
                Some(Last::End) => true,
                Some(Last::Trailers(_) | Last::Error(_)) => false,
            }
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        let hint = match self.last.as_deref() {
            // an error may leave any number of bytes unsaid
            None | Some(Last::Error(_)) => self.body.size_hint(),
            Some(Last::Trailers(_) | Last::End) => SizeHint::with_exact(0),
        };
        let held = self.held.len() as u64;
        if held == 0 {
            return hint;
        }
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(held));
        if let Some(upper) = hint.upper().and_then(|upper| upper.checked_add(held)) {
            whole.set_upper(upper);
        }
        whole
    }
}

impl<B: Body> fmt::Debug for FirstFrameBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstFrameBody").field("held", &self.held.len()).finish_non_exhaustive()
    }
}
