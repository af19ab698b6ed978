//! Answers that are held back until their first record was judged.

mod any_chunking;
mod commits;
mod drops;
mod exempt;
mod grpc;
mod limits;
mod rejects;
mod stub;
mod timeouts;
mod wire;

use crate::support::{Probe, Scripted, sleep};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use std::pin::Pin;
use std::time::Duration;
use tower_failover::BoxError;

/// What a body does next.
#[derive(Clone)]
enum Step {
    Data(Bytes),
    Wait(Duration),
    Trailers(&'static str, &'static str),
    Break,
    Hang,
}

type Frames = dyn Stream<Item = Result<Frame<Bytes>, BoxError>> + Send;
type TestBody = StreamBody<Pin<Box<Frames>>>;

fn data(bytes: impl AsRef<[u8]>) -> Step {
    Step::Data(Bytes::copy_from_slice(bytes.as_ref()))
}

/// The body that takes these steps, and holds the probe as long as it is held.
fn probed(steps: impl IntoIterator<Item = Step>, probe: Probe) -> TestBody {
    let steps = steps.into_iter().collect::<Vec<_>>().into_iter();
    let frames = unfold((steps, probe), |(mut steps, probe)| async {
        loop {
            let frame = match steps.next()? {
                Step::Data(bytes) => Ok(Frame::data(bytes)),
                Step::Trailers(name, value) => {
                    let trailer = (name.parse().unwrap(), HeaderValue::from_static(value));
                    Ok(Frame::trailers(HeaderMap::from_iter([trailer])))
                }
                Step::Break => Err("broken".into()),
                Step::Hang => std::future::pending().await,
                Step::Wait(time) => {
                    sleep(time).await;
                    continue;
                }
            };
            return Some((frame, (steps, probe)));
        }
    });
    StreamBody::new(Box::pin(frames))
}

fn body(steps: impl IntoIterator<Item = Step>) -> TestBody {
    probed(steps, Probe::new())
}

fn answer(steps: impl IntoIterator<Item = Step>) -> Response<TestBody> {
    Response::new(body(steps))
}

/// A service that gives these answers, in their order.
fn service<A>(
    answers: impl IntoIterator<Item = Response<TestBody>>,
) -> Scripted<Request<A>, Response<TestBody>, ()> {
    let mut answers: Vec<_> = answers.into_iter().collect();
    answers.reverse();
    Scripted::noting(|_| (), move |_| Ok(answers.pop().expect("one more call")))
}

/// All that a body says: its bytes, its trailers, and whether it breaks.
async fn read<B>(mut body: B) -> (Vec<u8>, Option<HeaderMap>, bool)
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (bytes, trailers, true) };
        match frame.into_data() {
            Ok(data) => bytes.extend(data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    (bytes, trailers, false)
}

fn request() -> Request<()> {
    Request::new(())
}
