//! The context in which a stack is built, and in which it is checked at the end.

use crate::backend::Backend;
use crate::plan::{Plan, Protocol};
use crate::taps::BreakerTap;
use crate::world::{World, lock};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower_failover::{Budget, Ratio};

/// The initial balance of the shared budget, which earns one attempt a second and banks 1 000 seconds.
pub(crate) const SHARED_BANK: u64 = 1_000;

pub(crate) struct Run {
    pub(crate) world: Arc<World>,
    pub(crate) protocol: Protocol,
    pub(crate) hangs: bool,
    pub(crate) panics: bool,
    /// Some of the layers pay from it.
    pub(crate) shared_budget: Budget,
    pub(crate) built: Mutex<Built>,
    backups: AtomicU64,
}

/// The parts that were built: handles, and facts on which the invariants depend.
#[derive(Default)]
pub(crate) struct Built {
    /// Every part of the stack, as text.
    pub(crate) descriptions: Vec<String>,
    pub(crate) backends: Vec<Arc<Backend>>,
    pub(crate) breakers: Vec<Arc<BreakerTap>>,
    /// The calls in flight of each balancer that is an endpoint.
    pub(crate) nested: Vec<Probe<u64>>,
    /// The extra attempts of each layer that pays from the shared budget.
    pub(crate) shared_payers: Vec<Probe<u64>>,
    /// The counts of each handle, for the digest.
    pub(crate) counts: Vec<Probe<Vec<u64>>>,
    /// The largest number of retries that a layer may make.
    pub(crate) max_retries: u64,
    /// The largest number of hedges that a layer may send.
    pub(crate) max_hedges: u64,
    /// All attempts that layers may make which know nothing of each other, less one.
    pub(crate) more_attempts: u64,
    pub(crate) buffers: u64,
    pub(crate) stalls: bool,
    /// A layer that waits for readiness past a deadline, or starts attempts however little time is left.
    pub(crate) ignores_deadlines: bool,
    pub(crate) first_result: bool,
    pub(crate) endless_open_times: bool,
}

/// Looks at something of the stack.
pub(crate) type Probe<T> = Box<dyn Fn() -> T + Send + Sync>;

impl Built {
    /// Notes a layer that may make `more` attempts of each that reaches it.
    pub(crate) fn multiply_attempts(&mut self, more: u64) {
        self.more_attempts = (self.more_attempts + 1).saturating_mul(more + 1) - 1;
    }

    /// Whether the worker of a buffer may wait for ever for the service below it.
    pub(crate) fn may_be_stuck(&self) -> bool {
        let hangs = |backend: &Arc<Backend>| backend.ever(|behavior| behavior.unready_hang > 0);
        self.buffers > 0
            && (self.breakers.iter().any(|tap| tap.gated) || self.backends.iter().any(hangs))
    }

    /// Whether attempts may start after the deadline.
    pub(crate) fn may_start_late(&self) -> bool {
        let unready = |backend: &Arc<Backend>| backend.ever(|behavior| behavior.unready > 0);
        self.ignores_deadlines || self.backends.iter().any(unready)
    }
}

impl Run {
    pub(crate) fn new(world: Arc<World>, plan: &Plan) -> Arc<Self> {
        let shared_budget = Budget::new()
            .ratio(Ratio::percent::<0>())
            .min_per_second(1)
            .bank(Duration::from_secs(SHARED_BANK));
        Arc::new(Self {
            world,
            protocol: plan.protocol,
            hangs: plan.hangs,
            panics: plan.panics,
            shared_budget,
            built: Mutex::default(),
            backups: AtomicU64::new(0),
        })
    }

    pub(crate) fn describe(&self, text: impl Into<String>) {
        lock(&self.built).descriptions.push(text.into());
    }

    /// The number of a new backup.
    pub(crate) fn next_backup(&self) -> u64 {
        self.backups.fetch_add(1, SeqCst)
    }
}
