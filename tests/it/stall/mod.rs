//! Answers that stall.

mod contract;
mod cost;
mod ends;
mod idle;
mod rate;
mod total;
mod wire;

use crate::support::{Probe, ms, now, secs, sleep};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio_test::task::{Spawn, spawn};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_failover::stall::{Stall, StallBody, StallLayer, StallLimit, Stalled};
use tower_failover::{BoxError, Refusal};

/// What a body does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Gives so many bytes.
    Data(usize),
    Trailers,
    /// Gives nothing for so long.
    Pause(Duration),
    /// Gives nothing any more.
    Silence,
    Fails,
    Panics,
}

/// A body of these steps, which knows how often it was polled and whether it was dropped.
struct Steps {
    left: VecDeque<Step>,
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    seen: Seen,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    polls: Arc<AtomicUsize>,
    body: Probe,
}

impl Seen {
    fn polls(&self) -> usize {
        self.polls.load(Relaxed)
    }

    /// Whether the body is still there.
    fn is_held(&self) -> bool {
        self.body.held() > 0
    }
}

impl Steps {
    fn new(steps: impl IntoIterator<Item = Step>) -> (Self, Seen) {
        let seen = Seen::default();
        let left = steps.into_iter().collect();
        (Self { left, pause: None, seen: seen.clone() }, seen)
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.seen.polls.fetch_add(1, Relaxed);
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            return Poll::Ready(match self.left.pop_front() {
                None => None,
                Some(Step::Data(bytes)) => Some(Ok(Frame::data(Bytes::from(vec![b'x'; bytes])))),
                Some(Step::Trailers) => {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    Some(Ok(Frame::trailers(trailers)))
                }
                Some(Step::Fails) => Some(Err("the stream was reset".into())),
                Some(Step::Panics) => panic!("a body panics"),
                Some(Step::Pause(time)) => {
                    self.pause = Some(Box::pin(sleep(time)));
                    continue;
                }
                Some(Step::Silence) => {
                    self.pause = Some(Box::pin(pending()));
                    continue;
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.pause.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let data = self.left.iter().map(|step| match step {
            Step::Data(bytes) => *bytes as u64,
            _ => 0,
        });
        SizeHint::with_exact(data.sum())
    }
}

/// Half as many frames as steps, each so much later than the one before.
fn every<const N: usize>(pause: Duration, bytes: usize) -> [Step; N] {
    std::array::from_fn(|step| if step % 2 == 0 { Step::Pause(pause) } else { Step::Data(bytes) })
}

/// The answer of a service behind this layer, whose body does this.
fn answer(layer: &StallLayer, steps: impl IntoIterator<Item = Step>) -> (StallBody<Steps>, Seen) {
    let (body, seen) = Steps::new(steps);
    let mut body = Some(body);
    let inner = service_fn(move |()| {
        let body = body.take().expect("it is called once");
        ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let mut call = spawn(layer.layer(inner).oneshot(()));
    let Poll::Ready(Ok(answer)) = call.poll() else { panic!("it answers at once") };
    (answer.into_body(), seen)
}

fn idle(time: Duration) -> StallLayer {
    StallLayer::http().idle(time).unwrap()
}

/// Reads a body to its end: the bytes that came, and the error, if one did.
async fn read<B>(body: B) -> (usize, Option<BoxError>)
where
    B: Body<Data = Bytes, Error = BoxError> + Unpin,
{
    let mut body = body;
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.data_ref().map_or(0, Bytes::len),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}

/// The limit that was broken.
fn limit(error: Option<BoxError>) -> StallLimit {
    let error = error.expect("never a clean end");
    assert!(Refusal::find(&*error).is_none(), "it is held against the endpoint");
    error.downcast_ref::<Stalled>().expect("it is the error of the layer").limit()
}

/// Takes one frame of data.
async fn next(body: &mut StallBody<Steps>) -> usize {
    let frame = body.frame().await.expect("it goes on").expect("it is fine");
    frame.into_data().expect("it is data").len()
}
