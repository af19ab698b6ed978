//! The layer, which is its own builder.

use super::events::Event;
use super::judge::{Events, Frames, Messages, Verdict};
use super::policy::FirstFramePolicy;
use super::service::FirstFrame;
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;

/// Holds answers back until their first record was judged good. The [module page](super) has the defaults
/// and the rules.
///
/// # Sharing
///
/// Services that one layer value makes share nothing but its settings.
#[derive(Clone, Debug)]
#[must_use]
pub struct FirstFrameLayer<J> {
    policy: FirstFramePolicy<J>,
}

impl FirstFrameLayer<Frames> {
    /// Holds answers of HTTP back until there is a frame that is not empty.
    pub fn http() -> Self {
        Self { policy: FirstFramePolicy::new(Frames::any()) }
    }
}

impl FirstFrameLayer<Messages> {
    /// Holds answers of gRPC back until there is a whole message.
    pub fn grpc() -> Self {
        Self { policy: FirstFramePolicy::new(Messages::any()) }
    }
}

impl<J> FirstFrameLayer<J> {
    /// Sets how long after the call the answer must be good: its head is there, and a record that is not
    /// skipped. Otherwise the call ends with [`FirstFrameTimeout`](super::FirstFrameTimeout). The time
    /// counts from when the call first has to wait. With zero an answer that has to be waited for has
    /// failed. Default: none, so that a timeout layer outside bounds the head, and nothing the first
    /// record.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.policy.timeout = Some(time);
        self
    }

    /// Sets how many bytes are held back. Default: 64 KiB. An answer that has more without a record that
    /// decides goes on as it is. With zero the first frame that is not empty is the last to be judged.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.policy.limit = bytes;
        self
    }

    /// Lets the answer of the last possible attempt pass as it is, without a timeout and unjudged: what
    /// it brings is better than nothing. It is known from the [record](crate::Attempts::may_follow) that
    /// retry keeps of the attempts of a request; without one no attempt is the last. A fallback then gets
    /// no answer to replace whose head is good. Default: all attempts are treated alike.
    pub fn exempt_last(mut self) -> Self {
        self.policy.exempt_last = true;
        self
    }

    /// Judges each frame of an answer by this closure, until it commits or rejects the answer. Frames are
    /// cut as the network likes, so this is for bodies of which the first bytes tell. Default:
    /// [`http`](FirstFrameLayer::http) commits at once.
    pub fn frames<F>(self, judge: F) -> FirstFrameLayer<Frames<F>>
    where
        F: Fn(&[u8]) -> Verdict,
    {
        FirstFrameLayer { policy: self.policy.judge(Frames::new(judge)) }
    }

    /// Takes answers for streams of server-sent events, and commits them at the first event with data:
    /// comments, and records without data, are skipped. See [`events`](Self::events).
    pub fn sse(self) -> FirstFrameLayer<Events> {
        FirstFrameLayer { policy: self.policy.judge(Events::any()) }
    }

    /// Judges each server-sent event of an answer by this closure, until it commits or rejects the answer.
    /// It is asked about records that have data or a type; others (comments, `retry`, an `id` alone) are
    /// skipped. An answer that says to be of a `content-type` other than `text/event-stream`, or that has a
    /// `content-encoding`, is committed at its first frame. Default: [`sse`](Self::sse).
    pub fn events<F>(self, judge: F) -> FirstFrameLayer<Events<F>>
    where
        F: Fn(Event<'_>) -> Verdict,
    {
        FirstFrameLayer { policy: self.policy.judge(Events::new(judge)) }
    }

    /// Judges each gRPC message of an answer by this closure, until it commits or rejects the answer. A
    /// compressed message can't be read, and commits. An answer that says to be of a `content-type` other
    /// than `application/grpc`, or that has a `content-encoding`, is committed at its first frame. Default:
    /// [`grpc`](FirstFrameLayer::grpc) commits at the first message.
    pub fn messages<F>(self, judge: F) -> FirstFrameLayer<Messages<F>>
    where
        F: Fn(&[u8]) -> Verdict,
    {
        FirstFrameLayer { policy: self.policy.judge(Messages::new(judge)) }
    }
}

impl<S, J: Clone> Layer<S> for FirstFrameLayer<J> {
    type Service = FirstFrame<S, J>;

    fn layer(&self, inner: S) -> Self::Service {
        FirstFrame::new(inner, Arc::new(self.policy.clone()))
    }
}
