//! An answer that is held back.

use super::body::{FirstFrameBody, Last};
use super::judge::{Judge, Sight, Verdict};
use super::policy::FirstFramePolicy;
use crate::classify::{EarlyTrailers, OutcomeMark};
use crate::outcome::Outcome;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body::Body;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// How many frames are read at a time, before others get their turn and the time is looked at: a body may
/// always have one more.
const FRAMES_AT_ONCE: u32 = 32;

/// An answer of which the first record is still to be judged.
pub(super) struct Holding<B, R> {
    answer: Response<B>,
    held: Held,
    /// None where the records can't be read: the first frame decides then.
    reader: Option<R>,
}

/// What was read so far. A single frame stays as it came; more are joined, so that they hold no more memory
/// than their bytes.
#[derive(Default)]
struct Held {
    first: Bytes,
    all: BytesMut,
}

/// What was found in the body.
pub(super) enum Found<E> {
    Good,
    Rejected(Outcome),
    OverLimit,
    /// It came to its end.
    Ended(Option<HeaderMap>),
    /// It broke off.
    Broken(E),
}

impl Held {
    fn push(&mut self, frame: Bytes) {
        if self.bytes().is_empty() {
            self.first = frame;
            return;
        }
        self.all.extend_from_slice(&mem::take(&mut self.first));
        self.all.extend_from_slice(&frame);
    }

    fn bytes(&self) -> &[u8] {
        if self.all.is_empty() { &self.first } else { &self.all }
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

/// Lets an answer go as it is.
pub(super) fn pass<B: Body>(answer: Response<B>) -> Response<FirstFrameBody<B>> {
    answer.map(FirstFrameBody::whole)
}

/// Tells whether an answer goes as it is, since nothing is to be found in its body.
pub(super) fn is_decided<J: Judge, B: Body>(answer: &mut Response<B>) -> bool {
    // what has failed by its head needs no second judgement
    let by_head = !answer.status().is_success()
        || (J::BY_TRAILERS && answer.headers().contains_key("grpc-status"));
    let ended = answer.body().is_end_stream();
    if ended && !by_head {
        note_trailers::<J, _>(answer, None);
    }
    by_head || ended
}

/// The answer ended before a record, where its trailers may be its status.
fn note_trailers<J: Judge, B>(answer: &mut Response<B>, trailers: Option<&HeaderMap>) {
    if J::BY_TRAILERS || trailers.is_some() {
        let trailers = trailers.cloned().unwrap_or_default();
        answer.extensions_mut().insert(EarlyTrailers::new(trailers));
    }
}

impl<B: Body<Data = Bytes> + Unpin, R: Default> Holding<B, R> {
    pub(super) fn new<J>(answer: Response<B>) -> Self
    where
        J: Judge<Reader = R>,
    {
        let reader = match J::sight(answer.headers()) {
            Sight::Clear => Some(R::default()),
            Sight::None => None,
            Sight::Encoded => {
                tracing::debug!(
                    target: "tower_failover::first_frame",
                    "records hidden by a content-encoding"
                );
                None
            }
        };
        Self { answer, held: Held::default(), reader }
    }

    /// Reads on until it is known what to do with the answer.
    pub(super) fn poll<J>(
        &mut self,
        cx: &mut Context<'_>,
        policy: &FirstFramePolicy<J>,
    ) -> Poll<Found<B::Error>>
    where
        J: Judge<Reader = R>,
    {
        for _ in 0..FRAMES_AT_ONCE {
            let frame = match ready!(Pin::new(self.answer.body_mut()).poll_frame(cx)) {
                None => return Poll::Ready(Found::Ended(None)),
                Some(Err(error)) => return Poll::Ready(Found::Broken(error)),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.held.push(data);
                    match self.judge(policy) {
                        Verdict::Commit => return Poll::Ready(Found::Good),
                        Verdict::Reject(outcome) => return Poll::Ready(Found::Rejected(outcome)),
                        Verdict::Skip if self.held.bytes().len() > policy.limit => {
                            return Poll::Ready(Found::OverLimit);
                        }
                        Verdict::Skip => {}
                    }
                }
                Err(frame) => return Poll::Ready(Found::Ended(frame.into_trailers().ok())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Judges the records that are there.
    fn judge<J: Judge<Reader = R>>(&mut self, policy: &FirstFramePolicy<J>) -> Verdict {
        let Some(reader) = &mut self.reader else { return Verdict::Commit };
        loop {
            match policy.judge.next(reader, self.held.bytes()) {
                None => return Verdict::Skip,
                Some(Verdict::Skip) => {}
                Some(verdict) => return verdict,
            }
        }
    }

    /// Lets the answer go with what was found.
    pub(super) fn release<J>(
        mut self,
        found: Found<B::Error>,
        policy: &FirstFramePolicy<J>,
    ) -> Response<FirstFrameBody<B>>
    where
        J: Judge<Reader = R>,
    {
        let last = match found {
            Found::Good => None,
            Found::Rejected(outcome) => {
                self.note_rejected(outcome);
                None
            }
            Found::OverLimit => {
                tracing::debug!(
                    target: "tower_failover::first_frame",
                    limit = policy.limit,
                    "over the limit"
                );
                None
            }
            Found::Broken(error) => {
                self.note_rejected(Outcome::Failure);
                Some(Last::Error(error))
            }
            Found::Ended(trailers) => {
                note_trailers::<J, _>(&mut self.answer, trailers.as_ref());
                Some(trailers.map_or(Last::End, Last::Trailers))
            }
        };
        let held = self.held.into_bytes();
        self.answer.map(|body| FirstFrameBody::after(held, last, body))
    }

    fn note_rejected(&mut self, outcome: Outcome) {
        tracing::debug!(
            target: "tower_failover::first_frame",
            outcome = outcome.name(),
            "rejected"
        );
        self.answer.extensions_mut().insert(OutcomeMark::new(outcome));
    }
}
