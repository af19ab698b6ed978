//! HTTP servers that do as they are told and note what they get.

use crate::kit::{now, sleep};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower::{BoxError, Service};

pub(super) type Answer = Response<Full<Bytes>>;

/// After how many milliseconds a request is answered, with which status and headers.
pub(super) type Reply = (u64, u16, &'static [(&'static str, &'static str)]);

/// A server; clones are the same.
#[derive(Clone)]
pub(super) struct Web(Arc<Site>);

struct Site {
    began: Instant,
    reply: Mutex<Box<dyn FnMut(usize) -> Reply + Send>>,
    seen: Mutex<Vec<Seen>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Duration,
    pub(super) head: Request<()>,
    /// All of its body, if that was read to its end.
    pub(super) body: Option<Bytes>,
}

impl Web {
    /// Answers its requests with these replies, one after another, and then with the last one.
    pub(super) fn new<const N: usize>(replies: [Reply; N]) -> Self {
        Self::with(move |number| replies[number.min(N - 1)])
    }

    /// Answers its requests, counted from 0, as the closure says.
    pub(super) fn with(reply: impl FnMut(usize) -> Reply + Send + 'static) -> Self {
        let reply = Mutex::new(Box::new(reply) as _);
        Self(Arc::new(Site { began: now(), reply, seen: Mutex::default() }))
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.0.seen.lock().unwrap().len()
    }

    /// When the requests came, in milliseconds.
    pub(super) fn made(&self) -> Vec<u128> {
        self.seen().iter().map(|seen| seen.at.as_millis()).collect()
    }

    /// Forgets what came.
    pub(super) fn forget(&self) {
        self.0.seen.lock().unwrap().clear();
    }
}

impl<B> Service<Request<B>> for Web
where
    B: Body<Data = Bytes, Error: Debug> + Send + 'static,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        let mut noted = Request::new(());
        (*noted.method_mut(), *noted.uri_mut()) = (head.method, head.uri);
        (*noted.headers_mut(), *noted.extensions_mut()) = (head.headers, head.extensions);
        let number = {
            let mut seen = self.0.seen.lock().unwrap();
            seen.push(Seen { at: self.0.began.elapsed(), head: noted, body: None });
            seen.len() - 1
        };
        let (after, status, headers) = (self.0.reply.lock().unwrap())(number);
        let site = self.0.clone();
        Box::pin(async move {
            let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            if let Some(seen) = site.seen.lock().unwrap().get_mut(number) {
                seen.body = Some(body);
            }
            sleep(Duration::from_millis(after)).await;
            let answer = Response::builder().status(status);
            let answer =
                headers.iter().fold(answer, |answer, (name, value)| answer.header(*name, *value));
            Ok(answer.body(Full::default())?)
        })
    }
}
