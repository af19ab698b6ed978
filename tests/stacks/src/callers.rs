//! Callers send requests, wait for responses and sometimes leave.

mod ask;
mod polled;
mod reader;

pub(crate) use ask::Ask;

use crate::clock::{self, ms};
use crate::family::BoxService;
use crate::plan::CallerSpec;
use crate::random::Rng;
use crate::run::Run;
use crate::story::Line;
use crate::world::lock;
use futures_util::FutureExt;
use polled::Polled;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower::{BoxError, ServiceExt};
use tower_failover::balance::NoEndpoint;
use tower_failover::circuit_breaker::CircuitOpen;
use tower_service::Service;

/// How a request ended whose service never became ready.
const UNREADY: &str = "unready";

pub(crate) struct Caller<F: Ask> {
    run: Arc<Run>,
    service: BoxService<F>,
    rng: Rng,
    /// It never leaves.
    patient: bool,
    /// It has a clone of the service for each request, and otherwise one for all.
    clones: bool,
}

/// How a caller behaves with one request.
struct Manners {
    /// For the caller's reading of the response.
    reading: Rng,
    /// For the request.
    making: Rng,
    /// It polls a service ready that it does not call.
    wasteful: bool,
    /// It polls everything twice, with different wakers.
    strange: bool,
    /// After this time it leaves.
    patience: Duration,
    /// Before this poll it leaves.
    drop_at: Option<u64>,
}

impl Manners {
    fn draw(rng: &mut Rng, patient: bool) -> Self {
        let reading = rng.clone();
        rng.next();
        let (wasteful, strange) = (rng.chance(5), rng.chance(10));
        let making = Rng::new(rng.next());
        let patience = match (patient, rng.below(4)) {
            (true, _) => 4_000_000,
            (false, 0) => rng.pick(&[0, 1, 5, 30, 400]),
            (false, _) => rng.pick(&[2_000, 10_000, 60_000]),
        };
        let drop_at = (!patient && rng.chance(15)).then(|| rng.range(1, 6));
        Self { reading, making, wasteful, strange, patience: ms(patience), drop_at }
    }
}

/// Sends the requests of a caller, one after the other. Their ids begin with `first_id`.
pub(crate) async fn call<F: Ask>(
    run: Arc<Run>,
    service: BoxService<F>,
    spec: CallerSpec,
    patient: bool,
    first_id: u64,
) {
    let mut rng = Rng::new(spec.seed);
    clock::sleep(ms(spec.start)).await;
    let gap = rng.pick(&[0, 0, 1, 50, 600]);
    let clones = rng.chance(70);
    let mut caller = Caller::<F> { run, service, rng, patient, clones };
    for n in 0..spec.requests {
        caller.request(first_id + n).await;
        if gap > 0 {
            clock::sleep(ms(gap)).await;
        }
    }
}

impl<F: Ask> Caller<F> {
    /// Sends one request, and sees how it ends.
    async fn request(&mut self, id: u64) {
        let run = self.run.clone();
        let manners = Manners::draw(&mut self.rng, self.patient);
        let (patience, drop_at, strange) = (manners.patience, manners.drop_at, manners.strange);
        let mut own = self.service.clone();
        if !self.clones {
            std::mem::swap(&mut self.service, &mut own);
        }
        let began = clock::now();
        let asking = ask::<F>(run.clone(), own, manners, id);
        let polled = Polled::new(&run.world, id, asking, drop_at, strange);
        let ended = AssertUnwindSafe(tokio::time::timeout(patience, polled)).catch_unwind().await;
        let how = match ended {
            Err(_) => "panic",
            Ok(Err(_)) => {
                let steered = lock(&run.built).breakers.iter().any(|tap| tap.is_steered());
                if self.patient && !steered {
                    let text = format!("req {id} after {:?}", clock::now() - began);
                    run.world.violate("never-ends", text);
                }
                "left"
            }
            Ok(Ok(None)) => "dropped",
            Ok(Ok(Some((how, own)))) => {
                if !self.clones {
                    // one whose readiness failed must not be used again
                    self.service = if how == UNREADY { own.clone() } else { own };
                }
                how
            }
        };
        if let Some(request) = lock(&run.world.requests).get_mut(&id) {
            request.over = true;
        }
        run.world.log(|| format!("end req {id} {how}"));
        run.world.end(how);
    }
}

/// Sends a request and reads its response. Returns how it ended, and the service.
async fn ask<F: Ask>(
    run: Arc<Run>,
    mut service: BoxService<F>,
    mut manners: Manners,
    id: u64,
) -> (&'static str, BoxService<F>) {
    let world = &run.world;
    if let Err(error) = service.ready().await {
        world.log(|| Line {
            event: format!("unready req {id} ({})", kind(&error)),
            note: format!(": {error}"),
        });
        return (UNREADY, service);
    }
    if manners.wasteful {
        service = service.clone();
        if service.ready().await.is_err() {
            return (UNREADY, service);
        }
    }
    let request = F::request(&run, &mut manners.making, id);
    world.log(|| format!("ask req {id}"));
    let result = service.call(request).await;
    check_head(&run, id);
    let how = match result {
        Ok(response) => {
            world.log(|| format!("head req {id}"));
            F::read(&run, manners.reading, id, response).await
        }
        Err(error) => {
            let event = format!("error req {id}");
            world.log(|| Line { event, note: format!(": {error}") });
            kind(&error)
        }
    };
    (how, service)
}

/// With the head, the attempts that lost are gone, and the copies of the request.
fn check_head(run: &Run, id: u64) {
    let request = lock(&run.world.requests);
    let left = request.get(&id).map(|request| (request.open, request.body_alive.strong_count()));
    drop(request);
    let Some((open, bodies)) = left.filter(|left| *left != (0, 0)) else { return };
    if !run.world.buffered.load(SeqCst) {
        run.world.violate("left-at-head", format!("req {id}: {open} calls, {bodies} bodies"));
    }
}

fn kind(error: &BoxError) -> &'static str {
    if error.is::<NoEndpoint>() {
        "no endpoint"
    } else if error.is::<CircuitOpen>() {
        "circuit open"
    } else if error.is::<Elapsed>() {
        "timeout"
    } else if error.is::<Overloaded>() {
        "overloaded"
    } else {
        "error"
    }
}
