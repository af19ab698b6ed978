//! Runs a model through all its interleavings.

use crate::runner::Test;
use crate::sync::{self, Loads, Plant, Terms};
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// So often a thread may be interrupted where it could go on.
const PREEMPTIONS: usize = 3;

pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
    /// So many interleavings there are at least, with loads as loads and as updates.
    pub(crate) floors: [usize; 2],
    pub(crate) finds: &'static [Plant],
}

/// What came of it.
struct Explored {
    interleavings: usize,
    /// The panic that ended it.
    failure: Option<String>,
}

impl Model {
    pub(crate) fn tests(&self) -> Vec<Test> {
        let &Self { name, run, floors, finds } = self;
        let holds = [(Loads::AsLoads, floors[0]), (Loads::AsUpdates, floors[1])].map(
            move |(loads, floor)| Test {
                name: format!("{name} ({})", loads.name()),
                run: Box::new(move || holds(run, loads, floor)),
            },
        );
        let found = finds.iter().map(move |&plant| Test {
            name: format!("{name} (finds: {})", plant.name()),
            run: Box::new(move || finds_it(run, plant)),
        });
        holds.into_iter().chain(found).collect()
    }
}

fn holds(run: fn(), loads: Loads, floor: usize) -> Result<String, String> {
    let Explored { interleavings, failure } = explore(run, Terms { loads, plant: None });
    match failure {
        Some(failure) => Err(format!("in interleaving {interleavings}: {failure}")),
        None if interleavings < floor.max(2) => {
            Err(format!("{interleavings} interleavings, and {floor} are expected"))
        }
        None => Ok(format!("{interleavings} interleavings")),
    }
}

/// One of both ways to load has to find it.
fn finds_it(run: fn(), plant: Plant) -> Result<String, String> {
    for loads in [Loads::AsLoads, Loads::AsUpdates] {
        let Explored { interleavings, failure } = explore(run, Terms { loads, plant: Some(plant) });
        if failure.is_some() {
            return Ok(format!("interleaving {interleavings}, {}", loads.name()));
        }
    }
    Err("the planted bug was not found".to_owned())
}

fn explore(run: fn(), terms: Terms) -> Explored {
    sync::set(terms);
    let runs = Arc::new(AtomicUsize::new(0));
    let count = runs.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            count.fetch_add(1, Relaxed);
            run();
        });
    }));
    let said = SAID.take();
    Explored { interleavings: runs.load(Relaxed), failure: result.err().map(|_| said) }
}

thread_local!(static SAID: RefCell<String> = const { RefCell::new(String::new()) });

/// Keeps what a panic says, instead of printing it.
pub(crate) fn listen_to_panics() {
    panic::set_hook(Box::new(|panic| {
        SAID.with_borrow_mut(|said| {
            // others that follow from it are of no interest
            if said.is_empty() {
                *said = panic.to_string();
            }
        });
    }));
}

impl Loads {
    fn name(self) -> &'static str {
        match self {
            Self::AsLoads => "loads as loads",
            Self::AsUpdates => "loads as updates",
        }
    }
}

impl Plant {
    fn name(self) -> &'static str {
        match self {
            Self::Torn => "updates are torn",
            Self::Relaxed => "all is relaxed",
            Self::NoLock => "the lock locks nothing",
            Self::KeptPermit => "a dropped trial keeps its permit",
            Self::Renewed => "a late answer counts as a new one",
        }
    }
}
