//! Runs a model through all its interleavings.

use crate::runner::{Run, Test};
use crate::sync::{self, Loads, Plant, Terms};
use loom::thread;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// So often a thread may be interrupted where it could go on.
const PREEMPTIONS: usize = 3;

pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) run: fn(),
    pub(crate) floors: Floors,
    pub(crate) finds: &'static [Plant],
}

/// So many interleavings there are at least.
#[derive(Clone, Copy)]
pub(crate) enum Floors {
    /// With loads as loads and as updates.
    Both([usize; 2]),
    /// With loads as updates; with loads as loads there are false alarms, for this reason.
    AsUpdates(usize, &'static str),
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
        let holds = [Loads::AsLoads, Loads::AsUpdates].map(move |loads| Test {
            name: format!("{name} ({})", loads.name()),
            run: match floors.of(loads) {
                Ok(floor) => Run::Now(Box::new(move || holds(run, loads, floor))),
                Err(why) => Run::Never(why),
            },
        });
        let found = finds.iter().map(move |&plant| Test {
            name: format!("{name} (finds: {})", plant.name()),
            run: Run::Now(Box::new(move || finds_it(run, floors, plant))),
        });
        holds.into_iter().chain(found).collect()
    }
}

impl Floors {
    fn of(self, loads: Loads) -> Result<usize, &'static str> {
        match (self, loads) {
            (Self::Both([floor, _]), Loads::AsLoads) => Ok(floor),
            (Self::Both([_, floor]) | Self::AsUpdates(floor, _), Loads::AsUpdates) => Ok(floor),
            (Self::AsUpdates(_, why), Loads::AsLoads) => Err(why),
        }
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

/// One of the ways to load has to find it.
fn finds_it(run: fn(), floors: Floors, plant: Plant) -> Result<String, String> {
    let ways = [Loads::AsLoads, Loads::AsUpdates];
    for loads in ways.into_iter().filter(|loads| floors.of(*loads).is_ok()) {
        let Explored { interleavings, failure } = explore(run, Terms { loads, plant: Some(plant) });
        if failure.is_some() {
            return Ok(format!("interleaving {interleavings}, {}", loads.name()));
        }
    }
    Err("the planted bug was not found".to_owned())
}

/// For models: two threads do the first two, and this one the last.
pub(crate) fn side_by_side<T: 'static>(window: &Arc<T>, [one, two, three]: [fn(&T); 3]) {
    let others = [one, two].map(|work| {
        let window = window.clone();
        thread::spawn(move || work(&window))
    });
    three(window);
    others.into_iter().for_each(|other| other.join().unwrap());
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
            Self::Swapped => "two steps are swapped",
            Self::LooksOnce => "nobody looks again",
        }
    }
}
