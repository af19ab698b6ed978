//! The service with a fallback.

use super::answer::{Answer, Backup};
use super::body::Join;
use super::future::{AnswerFuture, BackupFuture, Primary};
use super::policy::FallbackPolicy;
use crate::attempts::Attempts;
use crate::classify::Classify;
use crate::clock;
use crate::deadline::TimeLeft;
use crate::error::BoxError;
use crate::replay::{Carry, Replay};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// Replaces results that failed; made by [`FallbackLayer`](super::FallbackLayer).
///
/// # Clones
///
/// Clones share the counts, not the readiness: neither a first service that is ready, nor an error
/// of its `poll_ready`.
pub struct Fallback<S, A, C, P> {
    inner: S,
    policy: Arc<FallbackPolicy<A, C, P>>,
    /// The error of `poll_ready`, to be judged by the next call.
    unready: Option<BoxError>,
    /// Whether the service that is ready reads the record of the attempts.
    reader_inside: bool,
}

impl<S, A, C, P> Fallback<S, A, C, P> {
    pub(super) fn new(inner: S, policy: Arc<FallbackPolicy<A, C, P>>) -> Self {
        Self { inner, policy, unready: None, reader_inside: false }
    }

    /// Polls the first service ready; its error waits for the next call, which it may fail or not.
    fn poll_inner<Req, R>(&mut self, cx: &mut Context<'_>) -> Poll<()>
    where
        S: Service<R>,
        S::Error: Into<BoxError>,
        P: Carry<Req>,
    {
        if self.unready.is_some() {
            return Poll::Ready(());
        }
        let polled = if P::CARRIES {
            let (polled, inside) = Attempts::listen_for_reader(|| self.inner.poll_ready(cx));
            self.reader_inside = inside;
            Attempts::announce_reader();
            polled
        } else {
            self.inner.poll_ready(cx)
        };
        self.unready = ready!(polled).err().map(Into::into);
        Poll::Ready(())
    }

    /// The record of this call, and the time it has.
    fn begin<Req>(&self, request: &mut Req) -> (Option<Attempts>, TimeLeft)
    where
        P: Carry<Req>,
    {
        let kind = &self.policy.kind;
        let own = kind.time(request);
        let outer = if P::CARRIES { kind.take(request) } else { None };
        let time = TimeLeft::new(own, None, outer.as_ref().and_then(Attempts::deadline));
        let attempts =
            outer.or_else(|| self.reader_inside.then(|| Attempts::new(time.deadline(clock::now))));
        (attempts, time)
    }

    fn deposit(&self, attempts: Option<&Attempts>) {
        if let Some(budget) = &self.policy.budget {
            match attempts {
                Some(attempts) => attempts.deposit_once(budget),
                None => budget.deposit(),
            }
        }
    }

    /// Calls the first service, or tells why it was not ready and gives the request back.
    fn call_inner<R>(
        &mut self,
        mut request: R,
        attempts: Option<&Attempts>,
    ) -> (Primary<S::Future>, Option<R>)
    where
        S: Service<R>,
        P: Carry<R>,
    {
        if let Some(error) = self.unready.take() {
            return (Primary::Unready { error: Some(error) }, Some(request));
        }
        if let Some(attempts) = attempts.filter(|_| self.reader_inside) {
            self.policy.kind.put(&mut request, attempts.clone());
        }
        (Primary::Called { future: self.inner.call(request) }, None)
    }
}

impl<S, A, C, P, Req> Service<Req> for Fallback<S, A, C, P>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    A: Answer<Req, S::Response>,
    C: Classify<S::Response, BoxError>,
    P: Carry<Req> + Join<S::Response, A::Alt>,
{
    type Response = P::Response;
    type Error = A::Error;
    type Future = AnswerFuture<S::Future, A, C, P, A::Kept, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.poll_inner::<Req, Req>(cx).map(Ok)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let (attempts, _) = self.begin(&mut request);
        let allowed = !self.policy.kind.policy(&request).no_fallback;
        let kept = self.policy.alternative.keep(&request);
        let (primary, _) = self.call_inner(request, attempts.as_ref());
        AnswerFuture::new(primary, self.policy.clone(), attempts, kept, allowed)
    }
}

impl<S, T, C, P, Req> Service<Req> for Fallback<S, Backup<T>, C, P>
where
    S: Service<P::Request>,
    S::Error: Into<BoxError>,
    T: Service<P::Request> + Clone,
    T::Error: Into<BoxError>,
    C: Classify<S::Response, BoxError>,
    P: Replay<Req> + Join<S::Response, T::Response>,
{
    type Response = <P as Join<S::Response, T::Response>>::Response;
    type Error = BoxError;
    type Future = BackupFuture<S, T, C, P, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.poll_inner::<Req, P::Request>(cx).map(Ok)
    }

    fn call(&mut self, mut request: Req) -> Self::Future {
        let (attempts, time) = self.begin(&mut request);
        self.deposit(attempts.as_ref());
        let allowed = !self.policy.kind.policy(&request).no_fallback;
        let (first, copies) = self.policy.kind.start(request, allowed);
        let (primary, unsent) = self.call_inner(first, attempts.as_ref());
        BackupFuture::new(primary, self.policy.clone(), attempts, time, allowed, copies, unsent)
    }
}

impl<S: Clone, A, C, P> Clone for Fallback<S, A, C, P> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.policy.clone())
    }
}

impl<S: fmt::Debug, A, C, P> fmt::Debug for Fallback<S, A, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("inner", &self.inner)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
