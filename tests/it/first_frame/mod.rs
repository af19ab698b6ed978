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

use crate::kit::{Gauge, Scripted, ScriptedBody, Step, data, sleep};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use std::time::Duration;
use tower_failover::BoxError;

fn answer(steps: impl IntoIterator<Item = Step>) -> Response<ScriptedBody> {
    Response::new(ScriptedBody::new(steps))
}

/// A service that gives these answers, in their order.
fn service<A>(
    answers: impl IntoIterator<Item = Response<ScriptedBody>>,
) -> Scripted<Request<A>, Response<ScriptedBody>, ()> {
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
