//! Answers whose bodies do as they are told, and what a circuit has counted of them.

use crate::support::{Scripted, secs, sleep};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower_failover::BoxError;
use tower_failover::circuit_breaker::{CircuitHandle, TripRule};

/// What a body does next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    Data(&'static str),
    Trailers(&'static str, &'static str),
    /// Is silent for so long.
    Silence(Duration),
    Fails,
    Panics,
}

/// A body of these steps.
pub(super) struct Steps {
    left: VecDeque<Step>,
    silence: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    foretells: bool,
}

impl Steps {
    pub(super) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { left: steps.into_iter().collect(), silence: None, foretells: false }
    }

    /// Says that it has ended before anybody asks for more.
    pub(super) fn foretelling(mut self) -> Self {
        self.foretells = true;
        self
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(silence) = &mut self.silence {
                ready!(silence.as_mut().poll(cx));
                self.silence = None;
            }
            return Poll::Ready(match self.left.pop_front() {
                None => None,
                Some(Step::Data(text)) => Some(Ok(Frame::data(Bytes::from(text)))),
                Some(Step::Trailers(name, value)) => {
                    let trailer = (HeaderName::from_static(name), HeaderValue::from_static(value));
                    Some(Ok(Frame::trailers(HeaderMap::from_iter([trailer]))))
                }
                Some(Step::Fails) => Some(Err("the stream was reset".into())),
                Some(Step::Panics) => panic!("a body panics"),
                Some(Step::Silence(time)) => {
                    self.silence = Some(Box::pin(sleep(time)));
                    continue;
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.foretells && self.left.is_empty() && self.silence.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let data = self.left.iter().map(|step| match step {
            Step::Data(text) => text.len() as u64,
            _ => 0,
        });
        SizeHint::with_exact(data.sum())
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").finish_non_exhaustive()
    }
}

pub(super) type Upstream = Scripted<Request<()>, Response<Steps>, ()>;

/// A service that answers its n-th call with what the closure says.
pub(super) fn upstream(
    answers: impl FnMut(usize) -> Result<Response<Steps>, BoxError> + Send + 'static,
) -> Upstream {
    Scripted::noting(|_| (), answers)
}

/// A service that answers 200, each time with such a body.
pub(super) fn streaming<const N: usize>(steps: [Step; N]) -> Upstream {
    upstream(move |_| Ok(Response::new(Steps::new(steps))))
}

pub(super) fn answer<const N: usize>(status: u16, headers: [(&str, &str); N]) -> Response<Steps> {
    let answer = Response::builder().status(status);
    let answer =
        headers.into_iter().fold(answer, |answer, (name, value)| answer.header(name, value));
    answer.body(Steps::new([]).foretelling()).unwrap()
}

/// So many failures, however many calls went well.
pub(super) fn failures(count: u32) -> TripRule {
    TripRule::failures(count).within(secs(3_600))
}

/// Calls that ended well, that failed, and that said nothing.
pub(super) fn counts(circuit: &CircuitHandle) -> [u64; 3] {
    let counts = circuit.snapshot();
    [counts.successes, counts.failures, counts.neutral]
}

/// The same, as soon as that many calls are counted: a server settles when it has sent its answer.
pub(super) async fn settled(circuit: &CircuitHandle, calls: u64) -> [u64; 3] {
    loop {
        let counts = counts(circuit);
        if counts.iter().sum::<u64>() >= calls {
            return counts;
        }
        tokio::task::yield_now().await;
    }
}

pub(super) const NOTHING: [u64; 3] = [0, 0, 0];
pub(super) const GOOD: [u64; 3] = [1, 0, 0];
pub(super) const BAD: [u64; 3] = [0, 1, 0];
pub(super) const NEUTRAL: [u64; 3] = [0, 0, 1];
