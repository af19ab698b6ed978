//! Every stack that is tested, and the world below it.

use crate::kit::{Gauge, Hostile, Scripted, ms, secs};
use std::future::ready;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower::buffer::BufferLayer;
use tower::limit::{ConcurrencyLimit, ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer};
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceExt};
use tower_failover::circuit_breaker::CircuitBreakerLayer;
use tower_failover::classify::ErrorsOnly;
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::hedge::HedgeLayer;
use tower_failover::replay::Plain;
use tower_failover::retry::RetryLayer;
use tower_failover::trip::Consecutive;
use tower_failover::{Backoff, BoxError, Budget, Jitter};

/// What a fallback answers with; the services answer with the number of their job.
pub(super) const INSTEAD: u32 = 0;

#[derive(Clone)]
pub(super) struct Job {
    id: u32,
    _gauge: Gauge,
}

/// Answers a job with its number, unless it is told to fail.
type Worker = Scripted<Job, u32, ()>;

fn worker(fails: Fails) -> Worker {
    let answer = move |job: Job, call| if fails(call) { Err("down".into()) } else { Ok(job.id) };
    Scripted::doing(move |job, call| ready(answer(job, call))).taking(ms(3))
}

/// Does a job at a time, each in 3 ms.
pub(super) type Inner = ConcurrencyLimit<Hostile<Worker>>;

/// Whether the n-th call of a service fails.
pub(super) type Fails = fn(usize) -> bool;

pub(super) const NEVER: Fails = |_| false;
pub(super) const ALWAYS: Fails = |_| true;
pub(super) const TWICE_OF_THREE: Fails = |call| call % 3 != 0;

/// Two services, the second one for fallbacks, and what calls may leave behind in them.
pub(super) struct World {
    pub(super) first: Worker,
    backup: Worker,
    pub(super) permits: [Arc<Semaphore>; 2],
    prompt: bool,
    pub(super) budget: Budget,
    pub(super) gauge: Gauge,
}

pub(super) const RETRIES: u64 = 50;

impl World {
    pub(super) fn new(fails: Fails, prompt: bool) -> Self {
        Self {
            first: worker(fails),
            backup: worker(fails),
            permits: [Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1))],
            prompt,
            budget: Budget::new().min_per_second(1).bank(secs(RETRIES)),
            gauge: Gauge::new(),
        }
    }

    fn first(&self) -> Inner {
        self.service(&self.first, &self.permits[0])
    }

    fn backup(&self) -> Inner {
        self.service(&self.backup, &self.permits[1])
    }

    fn service(&self, worker: &Worker, permits: &Arc<Semaphore>) -> Inner {
        let hostile = Hostile::new(worker.clone());
        let hostile = if self.prompt { hostile.prompt() } else { hostile };
        GlobalConcurrencyLimitLayer::with_semaphore(permits.clone()).layer(hostile)
    }

    pub(super) fn free_permits(&self) -> [usize; 2] {
        self.permits.each_ref().map(|permits| permits.available_permits())
    }

    pub(super) fn job(&self, id: u32) -> Job {
        Job { id, _gauge: self.gauge.clone() }
    }
}

pub(super) type Stack = BoxCloneService<Job, u32, BoxError>;

/// Builds a stack over a world's services.
pub(super) type Build = fn(&World) -> Stack;

pub(super) fn stack<L>(world: &World, layer: L) -> Stack
where
    L: Layer<Inner>,
    L::Service: Service<Job, Response = u32, Error: Into<BoxError>, Future: Send>,
    L::Service: Clone + Send + 'static,
{
    let service = layer.layer(world.first());
    BoxCloneService::new(service.map_err(Into::into))
}

pub(super) fn retry(world: &World) -> RetryLayer<ErrorsOnly, Plain> {
    let backoff = Backoff::constant(ms(2)).jitter(Jitter::None);
    RetryLayer::plain().max_retries(2).budget(world.budget.clone()).backoff(backoff)
}

/// A fallback to a value, as a layer over anything.
macro_rules! value {
    () => {
        FallbackLayer::plain().value(|_: Failed<u32>| INSTEAD)
    };
}

/// A fallback to the second service.
macro_rules! service {
    ($world:ident) => {
        FallbackLayer::plain().service($world.backup())
    };
}

/// A circuit breaker as it is.
pub(super) fn breaker() -> CircuitBreakerLayer<ErrorsOnly, Plain> {
    CircuitBreakerLayer::plain()
}

/// One that opens at each failure, for a moment.
pub(super) fn touchy() -> CircuitBreakerLayer<ErrorsOnly, Plain> {
    let times = Backoff::constant(ms(5)).jitter(Jitter::None);
    breaker().open_for(times).trip_on(Consecutive::count::<1>())
}

/// One that sends a second request soon, which the limit inside refuses while the first one runs.
pub(super) fn hedge(world: &World) -> HedgeLayer<ErrorsOnly, Plain> {
    HedgeLayer::plain().delay(ms(2)).budget(world.budget.clone())
}

macro_rules! one {
    (value, $world:ident) => {
        value!()
    };
    (touchy, $world:ident) => {
        touchy()
    };
    ($layer:ident, $world:ident) => {
        $layer($world)
    };
}

/// Three layers in this order.
macro_rules! orders {
    ($a:ident, $b:ident, $c:ident) => {
        (stringify!($a($b($c))), true, |world| {
            stack(world, of(one!($a, world), of(one!($b, world), one!($c, world))))
        })
    };
}

/// Each stack, and whether its own calls are all that is at work in it: a `Buffer` has a task.
pub(super) const STACKS: &[(&str, bool, Build)] = &[
    ("retry", true, |world| stack(world, retry(world))),
    ("value", true, |world| stack(world, value!())),
    ("service", true, |world| stack(world, service!(world))),
    ("value(retry)", true, |world| stack(world, of(value!(), retry(world)))),
    ("retry(value)", true, |world| stack(world, of(retry(world), value!()))),
    ("service(retry)", true, |world| stack(world, of(service!(world), retry(world)))),
    ("retry(service)", true, |world| stack(world, of(retry(world), service!(world)))),
    ("retry(retry)", true, |world| stack(world, of(retry(world), retry(world)))),
    ("value(service)", true, |world| stack(world, of(value!(), service!(world)))),
    ("service(value)", true, |world| stack(world, of(service!(world), value!()))),
    ("value(service(retry))", true, |world| {
        stack(world, of(value!(), of(service!(world), retry(world))))
    }),
    ("value(timeout(retry(timeout)))", true, |world| {
        stack(world, of(value!(), of(timeout(), of(retry(world), timeout()))))
    }),
    ("retry(timeout(service(timeout)))", true, |world| {
        stack(world, of(retry(world), of(timeout(), of(service!(world), timeout()))))
    }),
    ("service(limit(retry(limit)))", true, |world| {
        stack(world, of(service!(world), of(limit(), of(retry(world), limit()))))
    }),
    ("retry(limit(value(limit)))", true, |world| {
        stack(world, of(retry(world), of(limit(), of(value!(), limit()))))
    }),
    ("value(shed(retry(limit)))", true, |world| {
        stack(world, of(value!(), of(LoadShedLayer::new(), of(retry(world), limit()))))
    }),
    ("service(retry(shed(limit)))", true, |world| {
        stack(world, of(service!(world), of(retry(world), of(LoadShedLayer::new(), limit()))))
    }),
    ("retry(service(shed(limit)))", true, |world| {
        stack(world, of(retry(world), of(service!(world), of(LoadShedLayer::new(), limit()))))
    }),
    ("service(retry(buffer))", false, |world| {
        stack(world, of(service!(world), of(retry(world), buffer())))
    }),
    ("service(buffer(retry))", false, |world| {
        stack(world, of(service!(world), of(buffer(), retry(world))))
    }),
    ("buffer(retry(service))", false, |world| {
        stack(world, of(buffer(), of(retry(world), service!(world))))
    }),
    ("retry(buffer(value))", false, |world| stack(world, of(retry(world), of(buffer(), value!())))),
    ("breaker", true, |world| stack(world, breaker())),
    ("touchy", true, |world| stack(world, touchy())),
    ("breaker(retry)", true, |world| stack(world, of(breaker(), retry(world)))),
    ("retry(touchy)", true, |world| stack(world, of(retry(world), touchy()))),
    ("touchy(retry)", true, |world| stack(world, of(touchy(), retry(world)))),
    ("touchy(value)", true, |world| stack(world, of(touchy(), value!()))),
    ("value(touchy)", true, |world| stack(world, of(value!(), touchy()))),
    ("touchy(service)", true, |world| stack(world, of(touchy(), service!(world)))),
    ("service(touchy)", true, |world| stack(world, of(service!(world), touchy()))),
    ("touchy(breaker)", true, |world| stack(world, of(touchy(), breaker()))),
    ("service(timeout(retry(touchy(timeout))))", true, |world| {
        let inside = of(retry(world), of(touchy(), timeout()));
        stack(world, of(service!(world), of(timeout(), inside)))
    }),
    ("retry(limit(touchy(limit)))", true, |world| {
        stack(world, of(retry(world), of(limit(), of(touchy(), limit()))))
    }),
    ("value(shed(touchy(limit)))", true, |world| {
        stack(world, of(value!(), of(LoadShedLayer::new(), of(touchy(), limit()))))
    }),
    ("retry(touchy(shed(limit)))", true, |world| {
        stack(world, of(retry(world), of(touchy(), of(LoadShedLayer::new(), limit()))))
    }),
    ("retry(buffer(touchy))", false, |world| {
        stack(world, of(retry(world), of(buffer(), touchy())))
    }),
    ("touchy(buffer(retry))", false, |world| {
        stack(world, of(touchy(), of(buffer(), retry(world))))
    }),
    ("service(touchy(buffer))", false, |world| {
        stack(world, of(service!(world), of(touchy(), buffer())))
    }),
    ("hedge", true, |world| stack(world, hedge(world))),
    ("hedge(hedge)", true, |world| stack(world, of(hedge(world), hedge(world)))),
    ("service(retry(hedge(limit)))", true, |world| {
        stack(world, of(service!(world), of(retry(world), of(hedge(world), limit()))))
    }),
    ("hedge(limit(service(touchy)))", true, |world| {
        stack(world, of(hedge(world), of(limit(), of(service!(world), touchy()))))
    }),
    ("retry(buffer(hedge))", false, |world| {
        stack(world, of(retry(world), of(buffer(), hedge(world))))
    }),
    ("value(hedge(buffer))", false, |world| stack(world, of(value!(), of(hedge(world), buffer())))),
    orders!(value, retry, hedge),
    orders!(value, hedge, retry),
    orders!(retry, value, hedge),
    orders!(retry, hedge, value),
    orders!(hedge, value, retry),
    orders!(hedge, retry, value),
    orders!(touchy, retry, hedge),
    orders!(touchy, hedge, retry),
    orders!(retry, touchy, hedge),
    orders!(retry, hedge, touchy),
    orders!(hedge, touchy, retry),
    orders!(hedge, retry, touchy),
    orders!(value, touchy, hedge),
    orders!(value, hedge, touchy),
    orders!(touchy, value, hedge),
    orders!(touchy, hedge, value),
    orders!(hedge, value, touchy),
    orders!(hedge, touchy, value),
];

pub(super) fn of<A, B>(outer: A, inner: B) -> tower::layer::util::Stack<B, A> {
    tower::layer::util::Stack::new(inner, outer)
}

pub(super) fn timeout() -> TimeoutLayer {
    TimeoutLayer::new(secs(10))
}

pub(super) fn limit() -> ConcurrencyLimitLayer {
    ConcurrencyLimitLayer::new(1)
}

pub(super) fn buffer() -> BufferLayer<Job> {
    BufferLayer::new(4)
}
