//! The stack that requests go through, outermost first: fallback, total timeout, retry, hedge, balance, and
//! for each endpoint its address, first frame, stall, the attempt timeout and the client.

use super::cli::{Args, EndpointArg, HedgeArg, ProbeArg};
use axum::body::Body;
use axum::http::header::{HOST, RETRY_AFTER};
use axum::http::uri::{self, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::Either;
use hyper::body::Body as HttpBody;
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tower::timeout::error::Elapsed;
use tower::util::Either as EitherService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_failover::attempt::RecordBody;
use tower_failover::balance::{BalanceLayer, Endpoint, Endpoints, HttpCheck};
use tower_failover::classify::{Classify, Evidence, HttpClassifier};
use tower_failover::fallback::{Failed, FallbackBody, FallbackLayer};
use tower_failover::first_frame::{
    Event, Events, FirstFrameBody, FirstFrameLayer, FirstFrameTimeout, Verdict,
};
use tower_failover::hedge::{HedgeHandle, HedgeLayer};
use tower_failover::replay::ReplayBody;
use tower_failover::retry::{RetryHandle, RetryLayer};
use tower_failover::stall::{StallBody, StallLayer};
use tower_failover::trip::Consecutive;
use tower_failover::{BoxError, Budget, InvalidSetting, Outcome, Refusal, error_chain};

/// Answers that were made here, since no endpoint gave one.
#[derive(Debug, Default)]
pub(crate) struct OwnAnswers {
    pub(crate) bad_request: AtomicU64,
    pub(crate) bad_gateway: AtomicU64,
    pub(crate) unavailable: AtomicU64,
    pub(crate) timed_out: AtomicU64,
}

/// The body of a request, which can be sent again by retries and by hedges.
type RequestBody = ReplayBody<ReplayBody<Incoming>>;

type HttpClient = Client<HttpConnector, RequestBody>;

fn client(args: &Args) -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(args.connect_timeout));
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)
}

/// Judges by status and error, and knows the errors of this client.
#[derive(Clone)]
struct Judge(HttpClassifier);

impl Judge {
    fn new() -> Self {
        // without a connection nothing was sent, whatever kept it from being made
        Self(HttpClassifier::new().refused_if(|error| {
            error_chain(error)
                .filter_map(|error| error.downcast_ref())
                .any(legacy::Error::is_connect)
        }))
    }
}

impl<B> Classify<Response<B>, BoxError> for Judge {
    fn classify(&self, result: Result<&Response<B>, &BoxError>) -> Outcome {
        match result {
            Err(error) if broken_by_caller(&**error) => Outcome::Neutral,
            result => self.0.classify(result),
        }
    }

    fn evidence(&self, result: Result<&Response<B>, &BoxError>) -> Evidence {
        self.0.evidence(result)
    }
}

/// Whether the caller's own body broke off, which is held against no endpoint.
fn broken_by_caller(error: &(dyn Error + 'static)) -> bool {
    Refusal::find(error).is_none()
        && error_chain(error).filter_map(|error| error.downcast_ref()).any(hyper::Error::is_user)
}

/// Makes the answer of a request that no endpoint has answered.
fn stand_in<Res>(failed: Failed<Res>, own: &OwnAnswers) -> Response<Body> {
    let error = failed.result.err();
    let error = error.as_ref().map(|error| &**error as &(dyn Error + 'static));
    let refusal = error.and_then(Refusal::find);
    let late = error.is_some_and(|error| {
        error_chain(error).any(|error| error.is::<Elapsed>() || error.is::<FirstFrameTimeout>())
    });
    let (count, status, text) = match failed.outcome {
        _ if late => (&own.timed_out, StatusCode::GATEWAY_TIMEOUT, "no answer in time"),
        Outcome::Neutral => (&own.bad_request, StatusCode::BAD_REQUEST, "the request broke off"),
        Outcome::Failure => (&own.bad_gateway, StatusCode::BAD_GATEWAY, "the answer broke off"),
        _ => (&own.unavailable, StatusCode::SERVICE_UNAVAILABLE, "no endpoint is available"),
    };
    count.fetch_add(1, Relaxed);
    let mut answer = Response::new(Body::from(format!("{text}\n")));
    *answer.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let after = refusal.and_then(|refusal| refusal.retry_after()).unwrap_or_default();
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
    }
    answer
}

/// Rounded up, at least one: a caller that comes too early comes in vain.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).max(1)
}

/// Turns a request into that for one endpoint.
fn aim<B>(mut request: Request<B>, endpoint: &EndpointArg, keep_host: bool) -> Request<B> {
    let asked = mem::take(request.uri_mut()).into_parts().path_and_query;
    let mut parts = uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(endpoint.authority.clone());
    parts.path_and_query = Some(asked.unwrap_or_else(|| PathAndQuery::from_static("/")));
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    if !keep_host {
        request.headers_mut().insert(HOST, endpoint.host.clone());
    }
    request
}

/// The body of an endpoint's answer. Where a limit is off, so is the layer of it.
pub(crate) type EndpointBody = Held<Held<StallBody<Incoming>>>;

/// A body that was perhaps held back until its first event.
type Held<B> = Either<FirstFrameBody<B>, B>;

/// The service of an endpoint, or what part of it there is.
pub(crate) trait Upstream<B = EndpointBody>:
    Service<Request<RequestBody>, Response = Response<B>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S, B> Upstream<B> for S where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = BoxError, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Holds answers back by this layer, if there is one; the head of an answer waits for nothing without.
fn hold<B, S, F>(
    layer: Option<FirstFrameLayer<Events<F>>>,
    service: S,
) -> impl Upstream<Held<B>> + use<B, S, F>
where
    B: HttpBody<Data = Bytes, Error: Send> + Send + Unpin + 'static,
    S: Upstream<B>,
    F: Fn(Event<'_>) -> Verdict + Clone + Send + Sync + 'static,
{
    match layer {
        Some(layer) => EitherService::Left(
            layer.layer(service).map_response(|answer| answer.map(Either::Left)),
        ),
        None => EitherService::Right(
            service.map_response(|answer: Response<B>| answer.map(Either::Right)),
        ),
    }
}

/// Judges answers by the first event that says anything; those of these types are errors.
fn judge(errors: &[String]) -> impl Fn(Event<'_>) -> Verdict + Clone + Send + Sync + use<> {
    let errors: Arc<[String]> = errors.into();
    move |event| match event.event() {
        name if errors.iter().any(|error| *error == name) => Verdict::Reject(Outcome::Failure),
        _ if event.has_data() => Verdict::Commit,
        _ => Verdict::Skip,
    }
}

/// Makes the endpoints, all of one type.
pub(crate) fn endpoints(args: &Args) -> Result<Endpoints<impl Upstream + use<>>, InvalidSetting> {
    let client = client(args);
    let (timeout, keep_host) = (args.attempt_timeout, args.keep_host);
    let mut stall = StallLayer::http();
    if let Some(time) = args.stall {
        stall = stall.idle(time);
    }
    let events = |errors| FirstFrameLayer::http().events(judge(errors));
    // apart from each other: an attempt that is the last has no time limit, but is judged all the same,
    // or else an endpoint whose requests can't be sent twice would never be found out
    let in_time = args.first_frame.map(|time| events(&[]).timeout(time).exempt_last());
    let no_error = (!args.sse_error.is_empty()).then(|| events(&args.sse_error));
    let endpoint = |arg: &EndpointArg| {
        let own = Arc::new(arg.clone());
        // the attempt timeout is for the head alone: a first event may take longer
        let service =
            ServiceBuilder::new().layer(stall.clone()).timeout(timeout).service(client.clone());
        let service = hold(in_time.clone(), hold(no_error.clone(), service));
        let service = service.map_request(move |request| aim(request, &own, keep_host));
        Endpoint::new(arg.name.as_str(), service).tier(arg.tier).weight(arg.weight)
    };
    args.endpoints.iter().map(endpoint).collect()
}

/// Asks the endpoints how they are, from time to time and for ever.
pub(crate) fn probe<S: Upstream>(
    endpoints: &Endpoints<S>,
    arg: &ProbeArg,
) -> impl Future<Output = ()> + Send + use<S> {
    let check: HttpCheck<RequestBody> = HttpCheck::get(arg.path.clone());
    endpoints.probe(check).interval(arg.interval).timeout(arg.timeout)
}

/// The body of an endpoint's answer, or one that was made here.
pub(crate) type AnswerBody = FallbackBody<RecordBody<EndpointBody>, Body>;

/// The whole stack.
pub(crate) trait Proxy:
    Service<Request<Incoming>, Response = Response<AnswerBody>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Proxy for S where
    S: Service<
            Request<Incoming>,
            Response = Response<AnswerBody>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static
{
}

/// What watches the layers that make attempts.
#[derive(Clone, Debug)]
pub(crate) struct Handles {
    pub(crate) retries: RetryHandle,
    /// None where it is off.
    pub(crate) hedges: Option<HedgeHandle>,
}

/// Puts the layers over the endpoints; returns what watches them as well.
pub(crate) fn stack<S: Upstream>(
    args: &Args,
    endpoints: Endpoints<S>,
    own: Arc<OwnAnswers>,
) -> (impl Proxy + use<S>, Handles) {
    let mut balance = BalanceLayer::http().classify(Judge::new());
    if let Some(failures) = args.eject_after {
        balance = balance.eject_on(Consecutive::new(failures));
    }
    let repeat_all = args.retry_post;
    let (retry, retries) = RetryLayer::http()
        .classify(Judge::new())
        .max_retries(args.max_retries)
        .budget(Budget::new().ratio(args.budget))
        .deadline(args.total_timeout)
        .replay_limit(args.replay_limit)
        .idempotent_if(move |_| repeat_all)
        .with_handle();
    let hedge = HedgeLayer::http()
        .classify(Judge::new())
        .replay_limit(args.replay_limit)
        .idempotent_if(move |_| repeat_all);
    let (hedge, hedges) = match args.hedge {
        HedgeArg::Off => (hedge.max_hedges(0), None),
        HedgeArg::After(delay) => {
            let (hedge, handle) = hedge.delay(delay).with_handle();
            (hedge, Some(handle))
        }
    };
    let handles = Handles { retries, hedges };
    let fallback = FallbackLayer::http()
        .classify(Judge::new())
        // what an endpoint says is for the caller to read, whatever it is
        .only_errors()
        .respond(move |failed: Failed<_>| stand_in(failed, &own));
    let stack = ServiceBuilder::new()
        .layer(fallback)
        .timeout(args.total_timeout)
        .layer(retry)
        .layer(hedge)
        .layer(balance)
        .service(endpoints);
    (stack, handles)
}
