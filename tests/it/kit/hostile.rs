//! A service that minds the contract of tower.

use std::task::{Context, Poll};
use tower::Service;

/// A service that is pending once before it is ready for a call, whose clones are never ready, and
/// which panics when it is called unready.
pub(crate) struct Hostile<S> {
    inner: S,
    prompt: bool,
    asked: bool,
    ready: bool,
}

impl<S> Hostile<S> {
    pub(crate) const fn new(inner: S) -> Self {
        Self { inner, prompt: false, asked: false, ready: false }
    }

    /// Is ready as soon as it is asked, as a load shed has to have it.
    pub(crate) const fn prompt(mut self) -> Self {
        self.prompt = true;
        self
    }
}

impl<S: Clone> Clone for Hostile<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), prompt: self.prompt, asked: false, ready: false }
    }
}

impl<S: Service<Req>, Req> Service<Req> for Hostile<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if !std::mem::replace(&mut self.asked, true) && !self.prompt {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.inner.poll_ready(cx);
        self.ready |= matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    fn call(&mut self, request: Req) -> S::Future {
        assert!(std::mem::take(&mut self.ready), "called before it was ready");
        self.asked = false;
        self.inner.call(request)
    }
}
