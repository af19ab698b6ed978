//! What the frames of an answer's body cost in the layers that watch them.

use crate::services::Fail;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_failover::first_frame::FirstFrameLayer;
use tower_failover::stall::StallLayer;

/// So many frames, each of them there at once, or pending once.
struct Frames<const PENDING: bool> {
    left: u64,
    waited: bool,
}

impl<const PENDING: bool> Body for Frames<PENDING> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if PENDING && !std::mem::replace(&mut self.waited, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        (self.left, self.waited) = (self.left - 1, false);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"data: token\n\n")))))
    }
}

#[inline(never)]
async fn read<S, B>(service: S)
where
    S: Service<Request<()>, Response = Response<B>, Error: Into<BoxError>>,
    B: Body<Data = Bytes>,
{
    let answer = service.oneshot(Request::new(())).await.map_err(Into::into).unwrap();
    let mut body = pin!(answer.into_body());
    let mut bytes = 0;
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        bytes += frame.ok().and_then(|frame| frame.into_data().ok()).map_or(0, |data| data.len());
    }
    black_box(bytes);
}

/// One answer of so many frames.
pub(super) async fn run<const PENDING: bool>(case: &str, frames: u64) {
    let server = service_fn(|_: Request<()>| async move {
        Ok::<_, Fail>(Response::new(Frames::<PENDING> { left: black_box(frames), waited: false }))
    });
    let long = Duration::from_secs(60);
    let stall = StallLayer::http().idle(long);
    match case {
        "frames: bare" => read(server).await,
        "frames: first frame" => read(FirstFrameLayer::http().timeout(long).layer(server)).await,
        "frames: first event" => {
            read(FirstFrameLayer::http().sse().timeout(long).layer(server)).await;
        }
        "frames: stall" => read(stall.layer(server)).await,
        "frames: stall, all limits" => {
            let all = stall.total(long).min_rate(std::num::NonZeroU64::MIN, long);
            read(all.layer(server)).await;
        }
        other => panic!("no case {other}"),
    }
}
