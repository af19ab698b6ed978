//! Executes a plan: builds its stack, runs callers and edits, and checks the remains.

use crate::callers::{self, Ask};
use crate::family::{Http, Plain};
use crate::plan::{Plan, Protocol};
use crate::run::Run;
use crate::stack::Stack;
use crate::world::{KINDS, Violation, World, lock};
use crate::{clock, edits, invariants, panics};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::{JoinSet, yield_now};

/// How a plan is executed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    /// The story is kept as text.
    pub(crate) tells: bool,
    /// Attempts that start after their deadline are violations in every stack, also in those that wait for
    /// readiness.
    pub(crate) late: bool,
}

/// The result of a run.
pub(crate) struct Findings {
    pub(crate) violations: Vec<Violation>,
    pub(crate) hash: u64,
    pub(crate) ends: BTreeMap<&'static str, u64>,
    pub(crate) descriptions: Vec<String>,
    pub(crate) story: Vec<String>,
    pub(crate) requests: u64,
    pub(crate) calls: u64,
    pub(crate) virtual_time: Duration,
}

/// Executes a plan with a paused clock on this thread.
pub(crate) fn single(plan: &Plan, options: Options) -> Findings {
    paused(async {
        match plan.protocol {
            Protocol::Plain | Protocol::Slot => execute::<Plain>(plan, options, true).await,
            Protocol::Http | Protocol::Grpc => execute::<Http>(plan, options, true).await,
        }
    })
}

/// Executes a plan on the threads of this runtime, with a clock that runs.
pub(crate) async fn threaded(plan: &Plan, options: Options) -> Findings {
    match plan.protocol {
        Protocol::Plain | Protocol::Slot => execute::<Plain>(plan, options, false).await,
        Protocol::Http | Protocol::Grpc => execute::<Http>(plan, options, false).await,
    }
}

/// Waits for a future with a paused clock, which goes on as soon as nothing else can.
pub(crate) fn paused<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("sim: runtime").block_on(future)
}

async fn execute<F: Ask>(plan: &Plan, options: Options, single: bool) -> Findings {
    let world = World::new(single, options.tells);
    let run = Run::new(world.clone(), plan);
    let stack = Stack::<F>::build(&run, plan);
    // an edit may put in an endpoint that is not ready
    let may_start_late = lock(&run.built).may_start_late() || !plan.edits.is_empty();
    world.may_start_late.store(may_start_late && !options.late, SeqCst);
    serve(&run, &stack, plan).await;
    take_apart(&run, stack, plan).await;
    for text in panics::take_foreign() {
        world.violate("foreign-panic", text);
    }
    let mut built = lock(&run.built);
    let mut violations = world.violations();
    for (class, _) in &mut violations {
        match class.as_str() {
            "sent-twice" if built.first_result => {
                *class = "known: first_result hides a touched backup".into();
            }
            "never-ends" if built.endless_open_times => {
                *class = "known: decorrelated open times without a cap".into();
            }
            _ => {}
        }
    }
    Findings {
        violations,
        hash: world.story_hash().value(),
        ends: world.ends(),
        descriptions: std::mem::take(&mut built.descriptions),
        story: world.take_story(),
        requests: plan.requests(),
        calls: world.backend_calls.load(SeqCst) + world.backup_calls.load(SeqCst),
        virtual_time: world.elapsed(),
    }
}

/// Ends when all callers are gone and all edits are made.
async fn serve<F: Ask>(run: &Arc<Run>, stack: &Stack<F>, plan: &Plan) {
    let mut tasks = JoinSet::new();
    let editing = tokio::spawn(edits::make(run.clone(), stack.set.clone(), plan.edits.clone()));
    for (at, caller) in (0_u64..).zip(&plan.callers) {
        let (run, service, caller) = (run.clone(), stack.service.clone(), caller.clone());
        tasks.spawn(callers::call::<F>(run, service, caller, plan.patient, at * 1_000));
    }
    while let Some(joined) = tasks.join_next().await {
        if joined.is_err() {
            run.world.violate("caller-task", "died".into());
        }
    }
    // a panic in it was collected as a foreign one
    let _ = editing.await;
    let buffered = lock(&run.built).buffers > 0;
    if buffered && run.world.single {
        // requests of callers that left wait in a buffer for readiness
        clock::sleep(Duration::from_secs(90)).await;
    }
    settle().await;
}

/// Drops the stack from the outside to the inside, and checks after each step that nothing is left.
async fn take_apart<F: Ask>(run: &Arc<Run>, stack: Stack<F>, plan: &Plan) {
    let world = &run.world;
    let Stack { service, set } = stack;
    invariants::check(run, set.as_deref(), plan);
    drop(service);
    settle().await;
    let stuck = {
        let built = lock(&run.built);
        invariants::check_passing(world, &built, "left-after-drop");
        built.may_be_stuck()
    };
    drop(set);
    settle().await;
    // inner sets keep their services as long as they have a handle
    let handles = {
        let mut built = lock(&run.built);
        (std::mem::take(&mut built.breakers), std::mem::take(&mut built.nested))
    };
    drop(handles);
    settle().await;
    if !stuck && KINDS.iter().any(|kind| world.live(*kind) != 0) {
        world.violate("lives-on", world.lives());
    }
}

/// Lets all tasks come to rest.
async fn settle() {
    // on the real clock, other threads may still be about to drop something
    let time = if clock::is_real_time() { 60 } else { 2 };
    for _ in 0..50 {
        yield_now().await;
    }
    clock::sleep(Duration::from_millis(time)).await;
    for _ in 0..50 {
        yield_now().await;
    }
}
