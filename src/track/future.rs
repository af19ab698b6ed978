//! One call that is recorded.

use super::state::Tracked;
use crate::attempt::{CarryContext, End, Recorder};
use crate::classify::Classify;
use crate::error::BoxError;
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pin_project! {
    /// The future of a [`Track`](super::Track).
    pub struct TrackFuture<F, C, P, Req>
    where
        P: CarryContext<Req>,
    {
        #[pin]
        future: F,
        recorder: Recorder<Arc<Tracked>, P::Context>,
        classify: C,
        kind: PhantomData<fn(Req)>,
    }
}

impl<F, C, P, Req> TrackFuture<F, C, P, Req>
where
    P: CarryContext<Req>,
{
    pub(super) fn new(
        future: F,
        recorder: Recorder<Arc<Tracked>, P::Context>,
        classify: C,
    ) -> Self {
        Self { future, recorder, classify, kind: PhantomData }
    }
}

impl<F, Res, E, C, P, Req> Future for TrackFuture<F, C, P, Req>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    C: Classify<Res, BoxError>,
    P: CarryContext<Req> + End<Res>,
{
    type Output = Result<P::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.recorder.poll::<P, _, _, _, _>(this.future, cx, &*this.classify)
    }
}

impl<F, C, P, Req> fmt::Debug for TrackFuture<F, C, P, Req>
where
    P: CarryContext<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackFuture").field("recorder", &self.recorder).finish_non_exhaustive()
    }
}
