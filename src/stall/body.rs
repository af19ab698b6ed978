//! A body that is ended when it stalls.

use super::error::Stalled;
use super::state::{Broken, Limits, Watch};
use crate::clock::{self, Sleep};
use crate::error::BoxError;
use crate::lazy_box::LazyBox;
use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// The body of an answer, ended with a [`Stalled`] when it breaks a limit.
    ///
    /// The service's own body is dropped as soon as it has broken one. It is `Unpin` when that is.
    pub struct StallBody<B> {
        // none where it has stalled
        #[pin]
        body: Option<B>,
        // none where there is no limit, or no more
        guard: Option<Guard>,
        // the error, until it is told
        stalled: Option<Stalled>,
    }
}

/// Watches one body.
struct Guard {
    watch: Watch,
    // made when the body is first waited for, and not set anew with each frame: when it goes off, it
    // is seen whether something has come since
    alarm: LazyBox<Sleep>,
}

impl<B: Body> StallBody<B> {
    pub(super) fn new(body: B, limits: &Limits) -> Self {
        // nobody needs to ask such a body for anything
        let empty = body.is_end_stream();
        let watch = if empty { None } else { Watch::new(limits) };
        let guard = watch.map(|watch| Guard { watch, alarm: LazyBox::NONE });
        Self { body: Some(body), guard, stalled: None }
    }
}

impl<B> Body for StallBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        if let Some(body) = this.body.as_mut().as_pin_mut() {
            let polled = body.poll_frame(cx).map_err(Into::into);
            let Some(guard) = this.guard else { return polled };
            match &polled {
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = || frame.data_ref().map_or(0, Buf::remaining);
                    guard.watch.came(bytes, clock::now);
                    return polled;
                }
                Poll::Ready(_) => {
                    *this.guard = None;
                    return polled;
                }
                Poll::Pending => match guard.poll_stalled(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(stalled) => {
                        *this.guard = None;
                        *this.stalled = Some(stalled);
                        this.body.set(None);
                    }
                },
            }
        }
        Poll::Ready(this.stalled.take().map(|stalled| Err(stalled.into())))
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Some(body) => body.is_end_stream(),
            None => self.stalled.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Guard {
    /// The body is pending: waits until it has been so for too long.
    #[inline(never)]
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Stalled> {
        let now = clock::now();
        let left = match self.watch.waits(now) {
            Ok(left) => left,
            Err(broken) => return Poll::Ready(broken.tell()),
        };
        let mut alarm =
            self.alarm.get_or_insert_with(|| clock::sleep_until(clock::after(now, left)));
        if alarm.deadline() <= now {
            alarm.as_mut().reset(clock::after(now, left));
        }
        if alarm.poll(cx).is_ready() {
            // it was due just now
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Broken {
    #[cold]
    fn tell(self) -> Stalled {
        let Self { limit, waited } = self;
        tracing::debug!(
            target: "tower_failover::stall",
            limit = limit.name(), waited = ?waited, "stalled"
        );
        Stalled::new(limit)
    }
}

impl<B> fmt::Debug for StallBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StallBody")
            .field("watch", &self.guard.as_ref().map(|guard| &guard.watch))
            .field("has_stalled", &self.body.is_none())
            .finish_non_exhaustive()
    }
}
