//! HTTP servers that read their requests whole.

use crate::kit::{Upstream, ms, response, sleep};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use std::fmt::Debug;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tower::{BoxError, Service};

pub(super) type Answer = Response<Full<Bytes>>;

/// After how many milliseconds a request is answered, with which status and headers.
pub(super) type Reply = (u64, u16, &'static [(&'static str, &'static str)]);

/// A server that reads the body of each request before it does anything else; clones are the same.
#[derive(Clone)]
pub(super) struct Web {
    upstream: Upstream,
    /// All of each body, if that was read to its end.
    bodies: Arc<Mutex<Vec<Option<Bytes>>>>,
}

impl Web {
    /// Answers its requests with these replies, one after another, and then with the last one.
    pub(super) fn new<const N: usize>(replies: [Reply; N]) -> Self {
        Self::with(move |number| replies[number.min(N - 1)])
    }

    /// Answers its requests, counted from 0, as the closure says.
    pub(super) fn with(mut reply: impl FnMut(usize) -> Reply + Send + 'static) -> Self {
        let upstream = Upstream::doing(move |number| {
            let (after, status, headers) = reply(number - 1);
            async move {
                sleep(ms(after)).await;
                Ok(response(status, headers.iter().copied(), Full::default()))
            }
        });
        Self { upstream, bodies: Arc::default() }
    }

    pub(super) fn bodies(&self) -> Vec<Option<Bytes>> {
        self.bodies.lock().unwrap().clone()
    }

    /// Forgets what came.
    pub(super) fn forget(&self) {
        self.upstream.forget();
        self.bodies.lock().unwrap().clear();
    }
}

impl Deref for Web {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.upstream
    }
}

impl<B> Service<Request<B>> for Web
where
    B: Body<Data = Bytes, Error: Debug> + Send + 'static,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<()>>::poll_ready(&mut self.upstream, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        let answer = self.upstream.call(Request::from_parts(head, ()));
        let number = {
            let mut bodies = self.bodies.lock().unwrap();
            bodies.push(None);
            bodies.len() - 1
        };
        let bodies = self.bodies.clone();
        Box::pin(async move {
            let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            if let Some(read) = bodies.lock().unwrap().get_mut(number) {
                *read = Some(body);
            }
            answer.await
        })
    }
}
