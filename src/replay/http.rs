//! Requests of HTTP and gRPC.

use super::body::{MapBody, ReplayBody, Same};
use super::buffer::Keeper;
use super::kind::Replay;
use crate::attempt::{
    AnswerRecorder, Attempts, CarryContext, Deadline, End, FullContext, RecordBody, RequestPolicy,
    TimeLimit, read_grpc_timeout, write_grpc_timeout,
};
use crate::classify::{Evidence, Resend};
use crate::outcome::Outcome;
use crate::sealed::Sealed;
use http::header::{HeaderName, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Body;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Copies HTTP requests: the head by `Clone`, the body as [`ReplayBody`] says.
///
/// # What may be repeated
///
/// | after | any request | idempotent requests |
/// |---|---|---|
/// | `Refused`, `Unsuitable` | yes | yes |
/// | a status of 429 | yes | yes |
/// | another `Throttled` | with [`repeat_throttled`](Self::repeat_throttled) | yes |
/// | `Failure`, and `Neutral` where a fallback was told to act on it | no | yes |
///
/// Idempotent are GET, HEAD, PUT, DELETE, OPTIONS and TRACE; a request with an `Idempotency-Key`
/// header or a [`RequestPolicy`] that says so; and what [`idempotent`](Self::idempotent) and
/// [`idempotent_if`](Self::idempotent_if) name. CONNECT and requests to upgrade the connection are
/// sent once.
///
/// # What is sent with it
///
/// A request that came with a `grpc-timeout` has the remaining time in it at every attempt, and from
/// the second attempt on there is one `grpc-previous-rpc-attempts`.
#[derive(Clone)]
pub struct Http<M = Same> {
    map: M,
    limit: usize,
    rule: Rule,
}

type Predicate = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;

#[derive(Clone, Default)]
struct Rule {
    paths: Arc<[Box<str>]>,
    predicate: Option<Predicate>,
    throttled: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

impl Http {
    /// Copies requests with bodies of up to 64 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self { map: Same, limit: 64 * 1_024, rule: Rule::default() }
    }
}

impl<M> Http<M> {
    /// Turns the [`ReplayBody`] into the body type of the inner service, such as
    /// `tonic::body::Body::new` or `axum::body::Body::new`. Default: it stays as it is.
    #[must_use]
    pub fn body<N>(self, map: N) -> Http<N> {
        Http { map, limit: self.limit, rule: self.rule }
    }

    /// Sets how many bytes of a body, trailers included, are kept for another attempt. Default:
    /// 64 KiB. A longer body is sent once, and so is one of more than 1 024 frames; with zero a
    /// body is sent again only where nothing of it was sent before and its length is not known.
    #[must_use]
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Names paths whose requests are idempotent whatever their method is: whole paths, or all below
    /// one with a `*` at the end, such as `/pkg.Service/*`. Each call adds to those before. Default:
    /// none.
    #[must_use]
    pub fn idempotent<T: AsRef<str>>(mut self, paths: impl IntoIterator<Item = T>) -> Self {
        let added = paths.into_iter().map(|path| Box::from(path.as_ref()));
        self.rule.paths = self.rule.paths.iter().cloned().chain(added).collect();
        self
    }

    /// Calls requests idempotent for which this holds. Default: none.
    #[must_use]
    pub fn idempotent_if(mut self, rule: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.rule.predicate = Some(Arc::new(rule));
        self
    }

    /// Sends requests that are not idempotent again also after a throttle other than a 429: a 503
    /// with `Retry-After`, or RESOURCE_EXHAUSTED. Default: they are not.
    #[must_use]
    pub fn repeat_throttled(mut self) -> Self {
        self.rule.throttled = true;
        self
    }
}

impl Rule {
    fn is_idempotent(&self, head: &Parts) -> bool {
        is_idempotent_method(&head.method)
            || head.headers.contains_key(IDEMPOTENCY_KEY)
            || head.extensions.get::<RequestPolicy>().is_some_and(|policy| policy.idempotent)
            || self.paths.iter().any(|path| matches(path, head.uri.path()))
            || self.predicate.as_ref().is_some_and(|predicate| predicate(head))
    }
}

fn is_idempotent_method(method: &Method) -> bool {
    // a list of our own: that of the `http` crate may grow
    [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE]
        .contains(method)
}

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == pattern,
    }
}

fn write(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    // a map that is full keeps what it has
    let _ = headers.try_insert(name, value);
}

/// A request that takes over the connection can't be sent twice.
fn takes_connection(head: &Parts) -> bool {
    head.method == Method::CONNECT || head.headers.contains_key(UPGRADE)
}

impl<M> fmt::Debug for Http<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("replay_limit", &self.limit)
            .field("idempotent", &self.rule.paths)
            .field("repeat_throttled", &self.rule.throttled)
            .finish_non_exhaustive()
    }
}

impl<M> Sealed for Http<M> {}

impl<B, M> CarryContext<Request<B>> for Http<M> {
    const CARRIES: bool = true;

    type Context = FullContext;

    fn take_context(&self, request: &mut Request<B>) -> FullContext {
        let attempts = request.extensions_mut().remove();
        full_context(request, attempts)
    }

    fn read_context(&self, request: &mut Request<B>) -> FullContext {
        let attempts = request.extensions().get().cloned();
        full_context(request, attempts)
    }

    fn put_attempts(&self, request: &mut Request<B>, attempts: Attempts) {
        request.extensions_mut().insert(attempts);
    }
}

fn full_context<B>(request: &Request<B>, attempts: Option<Attempts>) -> FullContext {
    let timeout = request.headers().get(GRPC_TIMEOUT).and_then(read_grpc_timeout);
    let extensions = request.extensions();
    let time = TimeLimit { deadline: extensions.get::<Deadline>().copied(), timeout };
    FullContext::new(attempts, time, extensions.get::<RequestPolicy>().copied().unwrap_or_default())
}

impl<B: Body, M> End<Response<B>> for Http<M> {
    type Response = Response<RecordBody<B>>;

    const LATER: bool = true;

    fn ended(answer: Response<B>) -> Self::Response {
        answer.map(RecordBody::ended)
    }

    fn goes_on(answer: Response<B>, recorder: AnswerRecorder) -> Self::Response {
        answer.map(|body| RecordBody::goes_on(body, recorder))
    }
}

/// What is kept of an HTTP request for further attempts.
///
/// Nothing is kept of a request that is sent once by its nature, and only the head of one whose body
/// is too long.
#[doc(hidden)]
pub struct HttpCopies<B>(Option<(Parts, Option<Keeper<B>>)>);

impl<B> fmt::Debug for HttpCopies<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCopies").field("kept", &self.0.is_some()).finish()
    }
}

impl<B, M> Replay<Request<B>> for Http<M>
where
    B: Body + Unpin + 'static,
    M: MapBody<B>,
{
    type Request = Request<M::Body>;
    type Copies = HttpCopies<B>;

    fn start(&self, request: Request<B>, keep: bool) -> (Self::Request, Self::Copies) {
        let (head, body) = request.into_parts();
        let (body, copies) = if keep && !takes_connection(&head) {
            let (body, keeper) = ReplayBody::keep(body, self.limit);
            (body, Some((head.clone(), keeper)))
        } else {
            (ReplayBody::once(body), None)
        };
        (Request::from_parts(head, self.map.map(body)), HttpCopies(copies))
    }

    fn may_repeat(&self, copies: &Self::Copies, outcome: Outcome, evidence: &Evidence) -> bool {
        let Some((head, _)) = &copies.0 else { return false };
        match outcome.effect(evidence).resend {
            Resend::None => false,
            Resend::All => true,
            Resend::Throttled if self.rule.throttled => true,
            Resend::Throttled | Resend::Idempotent => self.rule.is_idempotent(head),
        }
    }

    fn instead(&self, copies: &mut Self::Copies) -> Option<Self::Request> {
        let (head, keeper) = copies.0.as_ref()?;
        let body = ReplayBody::of(keeper.as_ref()?.instead()?);
        Some(Request::from_parts(head.clone(), self.map.map(body)))
    }

    fn beside(&self, copies: &mut Self::Copies) -> Option<Self::Request> {
        let (head, keeper) = copies.0.as_ref()?;
        let body = ReplayBody::of(keeper.as_ref()?.beside()?);
        Some(Request::from_parts(head.clone(), self.map.map(body)))
    }

    fn stamp(&self, request: &mut Self::Request, number: u32, remaining: Option<Duration>) {
        let headers = request.headers_mut();
        if let Some(remaining) = remaining.filter(|_| headers.contains_key(GRPC_TIMEOUT)) {
            write(headers, GRPC_TIMEOUT, write_grpc_timeout(remaining));
        }
        if let Some(previous) = number.checked_sub(1).filter(|previous| *previous > 0) {
            write(headers, PREVIOUS_ATTEMPTS, HeaderValue::from(previous));
        }
    }
}

/// The setters of [`Http`] on a layer of that kind, so that a layer is configured in one chain.
macro_rules! http_kind_setters {
    ($layer:ident<$($other:ident),*>) => {
        impl<$($other,)* M> $layer<$($other,)* crate::replay::Http<M>> {
            /// Turns the [`ReplayBody`](crate::replay::ReplayBody) into the body type of the inner
            /// service, such as `tonic::body::Body::new`. Default: it stays as it is.
            pub fn body<N>(self, map: N) -> $layer<$($other,)* crate::replay::Http<N>> {
                self.map_kind(|kind| kind.body(map))
            }

            /// Sets how many bytes of a body are kept for another attempt, see
            /// [`Http::replay_limit`](crate::replay::Http::replay_limit). Default: 64 KiB.
            pub fn replay_limit(self, bytes: usize) -> Self {
                self.map_kind(|kind| kind.replay_limit(bytes))
            }

            /// Names paths whose requests are idempotent whatever their method is, see
            /// [`Http::idempotent`](crate::replay::Http::idempotent). Default: none.
            pub fn idempotent<T: AsRef<str>>(self, paths: impl IntoIterator<Item = T>) -> Self {
                self.map_kind(|kind| kind.idempotent(paths))
            }

            /// Calls requests idempotent for which this holds. Default: none.
            pub fn idempotent_if(
                self,
                rule: impl Fn(&http::request::Parts) -> bool + Send + Sync + 'static,
            ) -> Self {
                self.map_kind(|kind| kind.idempotent_if(rule))
            }

            /// Repeats any request after a throttle, see
            /// [`Http::repeat_throttled`](crate::replay::Http::repeat_throttled). Default: only after
            /// a 429.
            pub fn repeat_throttled(self) -> Self {
                self.map_kind(crate::replay::Http::repeat_throttled)
            }
        }
    };
}
pub(crate) use http_kind_setters;
