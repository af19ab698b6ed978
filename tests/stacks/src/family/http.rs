//! Requests and responses of HTTP and gRPC.

use super::{Answering, Family, Guard, SimBody, respond};
use crate::backend::Script;
use crate::plan::Protocol;
use crate::world::Live;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::BoxError;
use tower_failover::classify::{EarlyTrailers, OutcomeMark};

pub(crate) struct Http;

/// Travels in the extensions of a request.
#[derive(Clone)]
pub(crate) struct Meta {
    pub(crate) id: u64,
    pub(crate) protocol: Protocol,
    pub(crate) _live: Live,
}

impl Family for Http {
    type Request = Request<SimBody>;
    type Response = Response<SimBody>;

    fn id(request: &Self::Request) -> u64 {
        request.extensions().get::<Meta>().map_or(u64::MAX, |meta| meta.id)
    }

    fn number(request: &Self::Request) -> u64 {
        let mut previous = request.headers().get_all("grpc-previous-rpc-attempts").iter();
        let first = previous.next().and_then(|value| value.to_str().ok()?.parse().ok());
        assert!(previous.next().is_none(), "one header only");
        1 + first.unwrap_or(0_u64)
    }

    fn hold(response: Self::Response, guard: Guard) -> Self::Response {
        if ends_with_head(&response) {
            drop(guard);
            return response;
        }
        response.map(|inner| SimBody::new(HeldBody { inner, guard: Some(guard) }))
    }

    fn answer(script: Script, request: Self::Request) -> Answering<Self::Response> {
        Box::pin(respond::respond(script, request))
    }
}

/// Whether the attempt ended with the head: a response that is no success, or is known to have no body.
fn ends_with_head(response: &Response<SimBody>) -> bool {
    let failed = response.headers().get("grpc-status").is_some_and(|status| status != "0");
    let marked = response.extensions().get::<OutcomeMark>().is_some();
    let early = response.extensions().get::<EarlyTrailers>().is_some();
    !response.status().is_success() || failed || marked || early || response.body().is_end_stream()
}

/// Keeps a guard until the body has ended.
struct HeldBody {
    inner: SimBody,
    guard: Option<Guard>,
}

impl Body for HeldBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let over = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers(),
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Pending => false,
        };
        if over || self.inner.is_end_stream() {
            self.guard = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
