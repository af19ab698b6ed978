//! Servers that do as they are told, in a set, and the load on it.

use crate::kit::{Dice, ScriptedBody, Step, Upstream, data, look, now, numbered, response, sleep};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt};
use tower_failover::BoxError;
use tower_failover::balance::{
    Balance, BalanceLayer, Endpoint, EndpointSnapshot, EndpointState, Endpoints, NoEndpoint,
};
use tower_failover::classify::HttpClassifier;
use tower_failover::replay::Http;

pub(super) type Call = Request<Full<Bytes>>;
pub(super) type Layered = BalanceLayer<HttpClassifier, Http>;
pub(super) type Balanced = Balance<Server, HttpClassifier, Http>;

/// What a server does with a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Does {
    status: u16,
    takes: Takes,
    retry_after: Option<&'static str>,
    body: Ends,
}

#[derive(Clone, Copy, Debug)]
enum Takes {
    Always(Duration),
    /// With this median, and the deviation of its logarithm.
    Lognormal(Duration, f64),
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ends {
    WithHead,
    /// With the next frame.
    Well,
    Broken,
    Never,
    /// There is no head, but an error.
    Headless,
    /// The future panics in place of an answer.
    InPanic,
}

impl Does {
    pub(super) const fn answer(status: u16, takes: Duration) -> Self {
        let (takes, body) = (Takes::Always(takes), Ends::WithHead);
        Self { status, takes, retry_after: None, body }
    }

    pub(super) const fn vary(mut self, median: Duration, deviation: f64) -> Self {
        self.takes = Takes::Lognormal(median, deviation);
        self
    }

    /// With this as its `Retry-After`.
    pub(super) const fn hint(mut self, retry_after: &'static str) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    pub(super) const fn end(mut self, body: Ends) -> Self {
        self.body = body;
        self
    }

    async fn work(self, takes: Duration) -> Result<Response<ScriptedBody>, BoxError> {
        if !takes.is_zero() {
            sleep(takes).await;
        }
        let steps = match self.body {
            Ends::Headless => return Err("the connection was reset".into()),
            Ends::InPanic => panic!("a server panics"),
            Ends::WithHead => vec![],
            Ends::Well => vec![data("frame")],
            Ends::Broken => vec![Step::Fail],
            Ends::Never => vec![Step::Hang],
        };
        let hint = self.retry_after.map(|hint| ("retry-after", hint));
        Ok(response(self.status, hint, ScriptedBody::new(steps).foretelling()))
    }
}

impl Takes {
    fn draw(self, dice: &mut Dice) -> Duration {
        match self {
            Self::Always(time) => time,
            Self::Lognormal(median, deviation) => {
                let (radius, turn) = (-2.0 * (1.0 - dice.share()).ln(), dice.share());
                let normal = radius.sqrt() * (std::f64::consts::TAU * turn).cos();
                median.mul_f64((deviation * normal).exp())
            }
        }
    }
}

pub(super) const GOOD: Does = Does::answer(200, Duration::from_millis(10));
/// Fails before others have looked.
pub(super) const DEAD: Does = Does::answer(500, Duration::from_millis(1));

/// A server that is an [`Upstream`] under orders; clones are the same.
#[derive(Clone)]
pub(super) struct Server {
    upstream: Upstream<ScriptedBody>,
    orders: Arc<Mutex<Orders>>,
}

struct Orders {
    does: Box<dyn FnMut(usize) -> Does + Send>,
    dice: Dice,
}

impl Server {
    pub(super) fn new(seed: u64) -> Self {
        let orders = Orders { does: Box::new(|_| GOOD), dice: Dice::new(seed) };
        let orders = Arc::new(Mutex::new(orders));
        let followed = orders.clone();
        let upstream = Upstream::doing(move |number| {
            let orders = &mut *followed.lock().unwrap();
            let does = (orders.does)(number);
            does.work(does.takes.draw(&mut orders.dice))
        });
        Self { upstream, orders }
    }

    pub(super) fn does(&self, does: Does) {
        self.follows(move |_| does);
    }

    /// Does with its n-th call from the beginning, counted from 1, what this says.
    pub(super) fn follows(&self, script: impl FnMut(usize) -> Does + Send + 'static) {
        self.orders.lock().unwrap().does = Box::new(script);
    }
}

impl Deref for Server {
    type Target = Upstream<ScriptedBody>;

    fn deref(&self) -> &Self::Target {
        &self.upstream
    }
}

impl<B> Service<Request<B>> for Server {
    type Response = Response<ScriptedBody>;
    type Error = BoxError;
    type Future = <Upstream<ScriptedBody> as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::<Request<B>>::poll_ready(&mut self.upstream, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.upstream.call(request)
    }
}

/// A set of servers, whose names are their numbers.
pub(super) struct World {
    pub(super) set: Endpoints<Server>,
    pub(super) servers: Vec<Server>,
}

impl World {
    /// Of so many servers that answer well in 10 ms.
    pub(super) fn new(count: usize) -> Self {
        Self::with(count, |_, endpoint| endpoint)
    }

    /// Of so many endpoints, of which this is said.
    pub(super) fn with(
        count: usize,
        say: impl Fn(usize, Endpoint<Server>) -> Endpoint<Server>,
    ) -> Self {
        let servers: Vec<_> = (0..count).map(|at| Server::new(at as u64)).collect();
        Self { set: numbered(&servers, say), servers }
    }

    /// Of endpoints in tiers of these sizes.
    pub(super) fn tiers<const N: usize>(sizes: [usize; N]) -> Self {
        let tier = |at: usize| {
            let mut ends = sizes.iter().scan(0, |sum, size| {
                *sum += size;
                Some(*sum)
            });
            ends.position(|end| at < end).unwrap() as u8
        };
        Self::with(sizes.iter().sum(), |at, endpoint| endpoint.tier(tier(at)))
    }

    pub(super) fn balance(&self) -> Balanced {
        self.under(BalanceLayer::http())
    }

    pub(super) fn under(&self, layer: Layered) -> Balanced {
        layer.layer(self.set.clone())
    }

    /// Lets some servers do this.
    pub(super) fn do_all(&self, which: impl IntoIterator<Item = usize>, does: Does) {
        which.into_iter().for_each(|at| self.servers[at].does(does));
    }

    pub(super) fn forget(&self) {
        self.servers.iter().for_each(|server| server.forget());
    }

    pub(super) fn counts(&self) -> Vec<usize> {
        self.servers.iter().map(|server| server.count()).collect()
    }

    /// The shares of the calls.
    pub(super) fn shares(&self) -> Vec<f64> {
        let counts = self.counts();
        let sum: usize = counts.iter().sum();
        counts.into_iter().map(|count| count as f64 / sum as f64).collect()
    }

    /// The share of the calls to some of them.
    pub(super) fn share(&self, of: impl IntoIterator<Item = usize>) -> f64 {
        let shares = self.shares();
        of.into_iter().map(|at| shares[at]).sum()
    }

    pub(super) fn seen(&self, at: usize) -> EndpointSnapshot {
        look(&self.set, &at.to_string())
    }

    pub(super) fn state(&self, at: usize) -> EndpointState {
        self.seen(at).state
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.set.snapshot()).finish()
    }
}

pub(super) fn request(method: Method) -> Call {
    let mut request = Request::new(Full::default());
    *request.method_mut() = method;
    request
}

/// What a caller gets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Gets {
    Status(u16),
    NoEndpoint(Option<Duration>),
    Error,
}

pub(super) const OK: Gets = Gets::Status(200);

/// One GET.
pub(super) async fn get<S, B>(service: &S) -> Gets
where
    S: Service<Call, Response = Response<B>, Error = BoxError> + Clone,
{
    send(service, request(Method::GET)).await
}

pub(super) async fn send<S, B>(service: &S, request: Call) -> Gets
where
    S: Service<Call, Response = Response<B>, Error = BoxError> + Clone,
{
    match service.clone().oneshot(request).await {
        Ok(answer) => Gets::Status(answer.status().as_u16()),
        Err(error) => match error.downcast_ref::<NoEndpoint>() {
            Some(none) => Gets::NoEndpoint(none.retry_after()),
            None => Gets::Error,
        },
    }
}

/// How many callers got what they asked for, and how many did not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) good: usize,
    pub(super) bad: usize,
}

impl Tally {
    pub(super) fn failed(self) -> f64 {
        self.bad as f64 / (self.good + self.bad) as f64
    }
}

/// GETs from so many tasks, each from a clone of its own, until this is over: given the number of the
/// call.
async fn drive<S, B>(
    service: &S,
    tasks: usize,
    goes_on: impl Fn(usize) -> bool + Clone + Send + 'static,
) -> Tally
where
    S: Service<Call, Response = Response<B>, Error = BoxError> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Send,
{
    let numbers = Arc::new(AtomicUsize::new(0));
    let mut set = JoinSet::new();
    for _ in 0..tasks {
        let (service, numbers, goes_on) = (service.clone(), numbers.clone(), goes_on.clone());
        set.spawn(async move {
            let mut tally = Tally::default();
            while goes_on(numbers.fetch_add(1, SeqCst)) {
                match get(&service).await {
                    OK => tally.good += 1,
                    got => {
                        tally.bad += 1;
                        if got != Gets::Status(500) {
                            // where nothing takes time, time has to pass all the same
                            sleep(Duration::from_millis(1)).await;
                        }
                    }
                }
            }
            tally
        });
    }
    let add = |sum: Tally, one: Tally| Tally { good: sum.good + one.good, bad: sum.bad + one.bad };
    set.join_all().await.into_iter().fold(Tally::default(), add)
}

/// So many GETs in all from so many tasks.
pub(super) async fn calls<S, B>(service: &S, tasks: usize, calls: usize) -> Tally
where
    S: Service<Call, Response = Response<B>, Error = BoxError> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Send,
{
    drive(service, tasks, move |number| number < calls).await
}

/// GETs from so many tasks for so long.
pub(super) async fn load<S, B>(service: &S, tasks: usize, time: Duration) -> Tally
where
    S: Service<Call, Response = Response<B>, Error = BoxError> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Send,
{
    let end = now() + time;
    drive(service, tasks, move |_| now() < end).await
}

/// What a future returns, and how often it was polled.
pub(super) async fn polls<F: Future>(future: F) -> (F::Output, u32) {
    let mut future = std::pin::pin!(future);
    let mut count = 0;
    let output = std::future::poll_fn(|cx| {
        count += 1;
        future.as_mut().poll(cx)
    });
    let output = output.await;
    (output, count)
}
