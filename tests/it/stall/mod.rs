//! Answers that stall.

mod contract;
mod cost;
mod ends;
mod idle;
mod rate;
mod total;
mod wire;

use crate::kit::{Gauge, ScriptedBody, Step, data, ms, now, secs, sleep};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_test::task::{Spawn, spawn};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_failover::stall::{Stall, StallBody, StallLayer, StallLimit, Stalled};
use tower_failover::{BoxError, Refusal};

/// What is seen of a body from outside.
#[derive(Clone, Debug)]
struct Seen {
    polls: Arc<AtomicUsize>,
    body: Gauge,
}

impl Seen {
    fn polls(&self) -> usize {
        self.polls.load(SeqCst)
    }

    /// Whether the body is still there.
    fn is_held(&self) -> bool {
        self.body.held() > 0
    }
}

/// A body that tells all of itself ahead.
fn open(steps: impl IntoIterator<Item = Step>) -> (ScriptedBody, Seen) {
    let gauge = Gauge::new();
    let body = ScriptedBody::new(steps).foretelling().sized().holding(&gauge);
    let seen = Seen { polls: body.polls(), body: gauge };
    (body, seen)
}

/// So many bytes.
fn bytes(count: usize) -> Step {
    data(vec![b'x'; count])
}

const TRAILERS: Step = Step::Trailers("grpc-status", "0");

/// Half as many frames as steps, each so much later than the one before.
fn every<const N: usize>(pause: Duration, count: usize) -> [Step; N] {
    std::array::from_fn(|step| if step % 2 == 0 { Step::Wait(pause) } else { bytes(count) })
}

/// The answer of a service behind this layer, whose body does this.
fn answer(
    layer: &StallLayer,
    steps: impl IntoIterator<Item = Step>,
) -> (StallBody<ScriptedBody>, Seen) {
    let (body, seen) = open(steps);
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
    StallLayer::http().idle(time)
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
async fn next(body: &mut StallBody<ScriptedBody>) -> usize {
    let frame = body.frame().await.expect("it goes on").expect("it is fine");
    frame.into_data().expect("it is data").len()
}
