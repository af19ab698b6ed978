//! The body that tells how its attempt ended.

use super::answer::AnswerRecorder;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// The body of an answer, as it is; when it ends, fails or is dropped, the attempt is recorded.
    ///
    /// The end is seen in the trailers, in the last frame, or at once in a body that is empty, so that it
    /// counts also where nobody reads on to the `None`.
    pub struct RecordBody<B> {
        #[pin]
        body: B,
        // none where the attempt has ended
        recorder: Option<AnswerRecorder>,
    }
}

impl<B: Body> RecordBody<B> {
    /// The body of an answer with whose head the attempt has ended.
    pub(crate) const fn ended(body: B) -> Self {
        Self { body, recorder: None }
    }

    /// The body of an answer with which the attempt goes on.
    pub(crate) fn goes_on(body: B, mut recorder: AnswerRecorder) -> Self {
        recorder.enter();
        if body.is_end_stream() {
            // nobody needs to ask such a body for anything
            recorder.finish(None);
        } else {
            recorder.flow();
        }
        Self { body, recorder: Some(recorder) }
    }
}

impl<B: Body> Body for RecordBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some(recorder) = this.recorder else { return this.body.poll_frame(cx) };
        recorder.enter();
        let polled = this.body.as_mut().poll_frame(cx);
        match &polled {
            Poll::Pending => recorder.wait(),
            Poll::Ready(Some(Ok(frame))) => {
                if frame.is_trailers() || this.body.is_end_stream() {
                    recorder.finish(frame.trailers_ref());
                    *this.recorder = None;
                } else {
                    recorder.flow();
                }
            }
            Poll::Ready(end) => {
                match end {
                    Some(_) => recorder.fail(),
                    None => recorder.finish(None),
                }
                *this.recorder = None;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> fmt::Debug for RecordBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordBody").field("recorder", &self.recorder).finish_non_exhaustive()
    }
}
