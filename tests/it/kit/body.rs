//! A body that does as it is told.

use super::clock::sleep;
use super::gauge::Gauge;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower_failover::BoxError;

/// What a body does next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Data(Bytes),
    Trailers(&'static str, &'static str),
    /// Gives nothing for this long.
    Wait(Duration),
    /// Gives nothing any more.
    Hang,
    /// Fails: the stream was reset.
    Fail,
    Panic,
}

/// A frame of these bytes.
pub(crate) fn data(bytes: impl AsRef<[u8]>) -> Step {
    Step::Data(Bytes::copy_from_slice(bytes.as_ref()))
}

/// A body of these steps, which tells nothing of itself ahead unless it is told to. Its [`Gauge`] knows
/// whether it is still held.
pub(crate) struct ScriptedBody {
    left: VecDeque<Step>,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    foretells: bool,
    sized: bool,
    polls: Arc<AtomicUsize>,
    _gauge: Gauge,
}

impl ScriptedBody {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            left: steps.into_iter().collect(),
            wait: None,
            foretells: false,
            sized: false,
            polls: Arc::default(),
            _gauge: Gauge::new(),
        }
    }

    /// Says that it has ended before anybody asks for more.
    pub(crate) fn foretelling(mut self) -> Self {
        self.foretells = true;
        self
    }

    /// Says how many bytes it has.
    pub(crate) fn sized(mut self) -> Self {
        self.sized = true;
        self
    }

    /// Holds the gauge.
    pub(crate) fn holding(mut self, gauge: &Gauge) -> Self {
        self._gauge = gauge.clone();
        self
    }

    /// How often it was polled, to ask later.
    pub(crate) fn polls(&self) -> Arc<AtomicUsize> {
        self.polls.clone()
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.polls.fetch_add(1, SeqCst);
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(cx));
                self.wait = None;
            }
            return Poll::Ready(match self.left.pop_front() {
                None => None,
                Some(Step::Data(bytes)) => Some(Ok(Frame::data(bytes))),
                Some(Step::Trailers(name, value)) => {
                    let trailer = (HeaderName::from_static(name), HeaderValue::from_static(value));
                    Some(Ok(Frame::trailers(HeaderMap::from_iter([trailer]))))
                }
                Some(Step::Fail) => Some(Err("the stream was reset".into())),
                Some(Step::Panic) => panic!("a body panics"),
                Some(Step::Wait(time)) => {
                    self.wait = Some(Box::pin(sleep(time)));
                    continue;
                }
                Some(Step::Hang) => {
                    self.wait = Some(Box::pin(pending()));
                    continue;
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.foretells && self.left.is_empty() && self.wait.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let data = self.left.iter().map(|step| match step {
            Step::Data(bytes) => bytes.len() as u64,
            _ => 0,
        });
        if self.sized { SizeHint::with_exact(data.sum()) } else { SizeHint::default() }
    }
}

impl fmt::Debug for ScriptedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedBody").finish_non_exhaustive()
    }
}
