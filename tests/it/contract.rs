//! What every layer keeps, alone and in any order, with tower's own layers between.

use crate::kit::{Gauge, Hostile, Scripted, ms, secs, sleep};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::buffer::BufferLayer;
use tower::layer::layer_fn;
use tower::limit::{ConcurrencyLimit, ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer};
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_failover::circuit_breaker::{CircuitBreakerLayer, CircuitOpen, TripRule};
use tower_failover::classify::ErrorsOnly;
use tower_failover::fallback::{Failed, FallbackLayer};
use tower_failover::hedge::HedgeLayer;
use tower_failover::replay::Plain;
use tower_failover::retry::RetryLayer;
use tower_failover::{Backoff, BoxError, Budget, Jitter};

/// What a fallback answers with; the services answer with the number of their job.
const INSTEAD: u32 = 0;

#[derive(Clone)]
struct Job {
    id: u32,
    _gauge: Gauge,
}

/// Does a job at a time, each in 3 ms, and fails as it is told.
type Inner = ConcurrencyLimit<Hostile<Answering>>;

/// Answers a job with its number, unless the script says that it fails.
#[derive(Clone)]
struct Answering(Scripted<u32, u32>);

impl Service<Job> for Answering {
    type Response = u32;
    type Error = BoxError;
    type Future = <Scripted<u32, u32> as Service<u32>>::Future;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, job: Job) -> Self::Future {
        let answer = self.0.call(job.id);
        Box::pin(async move {
            answer.await?;
            Ok(job.id)
        })
    }
}

/// Whether the n-th call of a service fails.
type Fails = fn(usize) -> bool;

const NEVER: Fails = |_| false;
const ALWAYS: Fails = |_| true;
const TWICE_OF_THREE: Fails = |call| call % 3 != 0;

/// Two services, the second one for fallbacks, and what calls may leave behind in them.
struct World {
    first: Scripted<u32, u32>,
    backup: Scripted<u32, u32>,
    permits: [Arc<Semaphore>; 2],
    prompt: bool,
    budget: Budget,
    gauge: Gauge,
}

const RETRIES: u64 = 50;

impl World {
    fn new(fails: Fails, prompt: bool) -> Self {
        let script = || {
            let answer = move |call| if fails(call) { Err("down".into()) } else { Ok(0) };
            Scripted::new(answer).taking(ms(3))
        };
        Self {
            first: script(),
            backup: script(),
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

    fn service(&self, script: &Scripted<u32, u32>, permits: &Arc<Semaphore>) -> Inner {
        let hostile = Hostile::new(Answering(script.clone()));
        let hostile = if self.prompt { hostile.prompt() } else { hostile };
        GlobalConcurrencyLimitLayer::with_semaphore(permits.clone()).layer(hostile)
    }

    fn free_permits(&self) -> [usize; 2] {
        self.permits.each_ref().map(|permits| permits.available_permits())
    }

    fn job(&self, id: u32) -> Job {
        Job { id, _gauge: self.gauge.clone() }
    }
}

type Stack = BoxCloneService<Job, u32, BoxError>;

/// Builds a stack over a world's services.
type Build = fn(&World) -> Stack;

fn stack<L>(world: &World, layer: L) -> Stack
where
    L: Layer<Inner>,
    L::Service: Service<Job, Response = u32, Error: Into<BoxError>, Future: Send>,
    L::Service: Clone + Send + 'static,
{
    let service = layer.layer(world.first());
    BoxCloneService::new(service.map_err(Into::into))
}

fn retry(world: &World) -> RetryLayer<ErrorsOnly, Plain> {
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
fn breaker() -> CircuitBreakerLayer<ErrorsOnly, Plain> {
    CircuitBreakerLayer::plain()
}

/// One that opens at each failure, for a moment.
fn touchy() -> CircuitBreakerLayer<ErrorsOnly, Plain> {
    let times = Backoff::constant(ms(5)).jitter(Jitter::None);
    breaker().open_for(times).trip_on(TripRule::consecutive(1)).unwrap()
}

/// One that sends a second request soon, which the limit inside refuses while the first one runs.
fn hedge(world: &World) -> HedgeLayer<ErrorsOnly, Plain> {
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
const STACKS: &[(&str, bool, Build)] = &[
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

fn of<A, B>(outer: A, inner: B) -> tower::layer::util::Stack<B, A> {
    tower::layer::util::Stack::new(inner, outer)
}

fn timeout() -> TimeoutLayer {
    TimeoutLayer::new(secs(10))
}

fn limit() -> ConcurrencyLimitLayer {
    ConcurrencyLimitLayer::new(1)
}

fn buffer() -> BufferLayer<Job> {
    BufferLayer::new(4)
}

/// Runs the test for every stack over services that fail never, sometimes and always.
async fn over_all_stacks<F: Future<Output = ()>>(test: impl Fn(World, Build, Case) -> F) {
    for &(name, alone, build) in STACKS {
        for (how, fails) in [("never", NEVER), ("twice", TWICE_OF_THREE), ("always", ALWAYS)] {
            let case = Case { name, how, alone };
            // clones have to be ready at once, or there is no hedge
            let prompt = name.contains("shed") || name.contains("hedge");
            test(World::new(fails, prompt), build, case).await;
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Case {
    name: &'static str,
    how: &'static str,
    alone: bool,
}

impl Case {
    fn may_refuse(self) -> bool {
        self.how != "never" && (self.name.contains("touchy") || self.name.contains("breaker"))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over services that fail {}", self.name, self.how)
    }
}

/// Waits until nothing is at work any more: a buffer's task may have something to drop.
async fn settle(world: &World, case: Case) {
    sleep(secs(1)).await;
    assert_eq!(world.gauge.held(), 0, "{case}: a request is held");
    assert_eq!(world.free_permits(), [1, 1], "{case}: a permit is held");
}

/// C1, C2, C13: the services inside panic when they are called unready
#[tokio::test(start_paused = true)]
async fn no_service_is_called_unready_and_every_call_gets_its_own_answer() {
    over_all_stacks(|world, build, case| async move {
        let mut service = build(&world);
        for id in 1..=4 {
            let mut other = service.clone();
            for service in [&mut service, &mut other] {
                let call = async { service.ready().await.unwrap().call(world.job(id)).await };
                let answer = tokio::time::timeout(secs(3_600), call).await;
                match answer.unwrap_or_else(|_| panic!("{case}: it hangs")) {
                    Ok(answer) => assert!(answer == id || answer == INSTEAD, "{case}: {answer}"),
                    Err(_) => assert_ne!(case.how, "never", "{case}"),
                }
            }
        }
        // a circuit may refuse where something failed before
        let least = if case.may_refuse() { 1 } else { 8 };
        let (jobs, calls) = (8, world.first.count());
        assert!(calls >= least && calls <= 9 * jobs, "{case}: {calls} calls");
        drop(service);
        settle(&world, case).await;
    })
    .await;
}

/// C6, C9, C13
#[tokio::test(start_paused = true)]
async fn many_calls_side_by_side_all_end() {
    over_all_stacks(|world, build, case| async move {
        let service = build(&world);
        let calls: Vec<_> =
            (1..=20).map(|id| tokio::spawn(service.clone().oneshot(world.job(id)))).collect();
        for (id, call) in (1..).zip(calls) {
            let call = tokio::time::timeout(secs(3_600), call).await;
            match call.unwrap_or_else(|_| panic!("{case}: it hangs")).unwrap() {
                Ok(answer) => {
                    assert!(answer == id || answer == INSTEAD, "{case}: {answer} to {id}");
                }
                Err(error) => {
                    assert!(!error.is::<CircuitOpen>() || case.may_refuse(), "{case}: {error}");
                }
            }
        }
        drop(service);
        settle(&world, case).await;
    })
    .await;
}

/// A1, A2, A5, G18: the next call works, and what was taken is back
#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_any_number_of_polls_leaves_nothing() {
    over_all_stacks(|world, build, case| async move {
        let mut polls = 0;
        loop {
            let service = build(&world);
            let (balance, before) = (world.budget.balance(), world.first.count());
            let mut call = tokio_test::task::spawn(service.clone().oneshot(world.job(7)));
            let mut done = false;
            for _ in 0..polls {
                done = call.poll().is_ready();
                tokio::time::advance(ms(1)).await;
                if done {
                    break;
                }
            }
            drop(call);
            if case.alone {
                assert_eq!(world.gauge.held(), 0, "{case}, {polls} polls");
                assert_eq!(world.free_permits(), [1, 1], "{case}, {polls} polls");
                let extra = world.first.count().saturating_sub(before + 1) as u64;
                // a retry that a circuit refuses has begun too, and is the last one
                let extra = extra + u64::from(case.may_refuse());
                let spent = balance - world.budget.balance().min(balance);
                assert!(spent <= extra, "{case}, {polls} polls: {spent} for {extra}");
            }
            let next = tokio::time::timeout(secs(3_600), service.oneshot(world.job(8))).await;
            assert!(next.is_ok(), "{case}, {polls} polls: the next call hangs");
            settle(&world, case).await;
            if done {
                break;
            }
            polls += 1;
        }
        assert!(polls > 3, "{case}: {polls} polls met hardly anything");
    })
    .await;
}

/// C3, C10
#[tokio::test(start_paused = true)]
async fn many_polls_for_readiness_make_one_reservation_which_goes_back() {
    over_all_stacks(|world, build, case| async move {
        let mut service = build(&world);
        for _ in 0..9 {
            service.ready().await.unwrap();
        }
        drop(service);
        settle(&world, case).await;
    })
    .await;
}

/// A15, D11
#[tokio::test(start_paused = true)]
async fn no_call_wakes_itself_in_circles() {
    over_all_stacks(|world, build, case| async move {
        let mut call = tokio_test::task::spawn(build(&world).oneshot(world.job(1)));
        let (mut polls, mut moments) = (0, 0);
        while moments < 60 {
            // whatever is to be done in this moment is done in a few polls
            polls += 1;
            if call.poll().is_ready() {
                break;
            }
            if !call.is_woken() {
                moments += 1;
                tokio::time::advance(ms(1)).await;
            }
            assert!(polls <= 10 * (moments + 1), "{case}: {polls} polls in {moments} ms");
        }
        assert!(moments < 60, "{case}: no answer");
    })
    .await;
}

/// C4: a stack is not ready while its service is not, and is woken when that changes
#[tokio::test(start_paused = true)]
async fn a_stack_waits_for_the_service_inside() {
    over_all_stacks(|world, build, case| async move {
        let permit = world.permits[0].clone().acquire_owned().await.unwrap();
        let call = tokio::spawn(build(&world).oneshot(world.job(1)));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.first.count(), 0, "{case}");
        drop(permit);
        let _ = tokio::time::timeout(secs(60), call).await.unwrap_or_else(|_| panic!("{case}"));
        settle(&world, case).await;
    })
    .await;
}

/// C13: layers of ours take layers made by hand
#[tokio::test(start_paused = true)]
async fn a_layer_made_of_a_function_fits_between() {
    let world = World::new(TWICE_OF_THREE, false);
    let layers = ServiceBuilder::new()
        .layer(value!())
        .layer(layer_fn(|inner| inner))
        .layer(retry(&world))
        .into_inner();
    assert_eq!(stack(&world, layers).oneshot(world.job(5)).await.unwrap(), 5);
    assert_eq!(world.first.count(), 3);
}
