//! The state that all parts of one run share: requests, live objects, violations and the story.

use crate::clock;
use crate::story::{Hash, Line, Story};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// More violations of one run are not kept: they follow from the first ones.
const MAX_VIOLATIONS: usize = 20;

/// Locks; panics are part of most plans and must not poison anything.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kinds of objects that are counted while they are alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Future,
    ResponseBody,
    RequestBody,
    Request,
    Response,
}

pub(crate) const KINDS: [Kind; 6] = [
    Kind::Service,
    Kind::Future,
    Kind::ResponseBody,
    Kind::RequestBody,
    Kind::Request,
    Kind::Response,
];

/// Counts its holder as alive.
pub(crate) struct Live(Arc<World>, Kind);

impl Live {
    pub(crate) fn new(world: &Arc<World>, kind: Kind) -> Self {
        world.live[kind as usize].fetch_add(1, SeqCst);
        Self(world.clone(), kind)
    }
}

impl Clone for Live {
    fn clone(&self) -> Self {
        Self::new(&self.0, self.1)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let left = self.0.live[self.1 as usize].fetch_sub(1, SeqCst);
        if left <= 0 {
            self.0.violate("live-count", format!("{:?} below zero", self.1));
        }
    }
}

/// How a call of a backend ended: whether the request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallEnd {
    /// On its way, or dropped.
    Open,
    /// Certainly did no work: 429, refused, unsuitable.
    Untouched,
    /// Throttled, possibly after some work.
    Throttled,
    Other,
}

/// One call of a backend.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) backup: bool,
    pub(crate) serial: u64,
    pub(crate) end: CallEnd,
    /// The number of the attempt, as the request states it; 0 where it can't.
    pub(crate) number: u64,
}

/// The body that a backend must receive.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpectedRequest {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trailers: bool,
    pub(crate) fails: bool,
}

/// The body that a caller must receive.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpectedResponse {
    pub(crate) bytes: Bytes,
    /// The body ends well, with these trailers or none.
    pub(crate) clean: bool,
    pub(crate) trailers: Option<String>,
}

/// The state of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestState {
    /// The event with which it began.
    pub(crate) began: u64,
    pub(crate) calls: Vec<Call>,
    pub(crate) idempotent: bool,
    pub(crate) body: ExpectedRequest,
    /// Calls whose futures are alive.
    pub(crate) open: i64,
    pub(crate) over: bool,
    pub(crate) deadline: Option<Instant>,
    /// Alive as long as the request's own body is.
    pub(crate) body_alive: Weak<()>,
}

/// A class, by which violations are summed, and a description.
pub(crate) type Violation = (String, String);

pub(crate) struct World {
    live: [AtomicI64; KINDS.len()],
    violations: Mutex<Vec<Violation>>,
    /// Sorted, so that violations come in the same order in every process.
    pub(crate) requests: Mutex<BTreeMap<u64, RequestState>>,
    /// By serial of the call.
    pub(crate) responses: Mutex<BTreeMap<u64, ExpectedResponse>>,
    ends: Mutex<BTreeMap<&'static str, u64>>,
    /// Rises with everything that happens at a backend or in the set.
    events: AtomicU64,
    serials: AtomicU64,
    /// None where threads run side by side and nobody reads it.
    story: Option<Mutex<Story>>,
    began: Instant,
    pub(crate) backend_calls: AtomicU64,
    pub(crate) backup_calls: AtomicU64,
    /// The run has one thread and a paused clock.
    pub(crate) single: bool,
    /// The worker of tower's `Buffer` outlives callers: calls may begin after their request's end.
    pub(crate) buffered: AtomicBool,
    /// Attempts may start after the deadline, which does not bound the wait for readiness.
    pub(crate) may_start_late: AtomicBool,
}

impl World {
    pub(crate) fn new(single: bool, tells: bool) -> Arc<Self> {
        Arc::new(Self {
            live: Default::default(),
            violations: Mutex::default(),
            requests: Mutex::default(),
            responses: Mutex::default(),
            ends: Mutex::default(),
            events: AtomicU64::new(0),
            serials: AtomicU64::new(0),
            story: (single || tells).then(|| Mutex::new(Story::new(tells))),
            began: clock::now(),
            backend_calls: AtomicU64::new(0),
            backup_calls: AtomicU64::new(0),
            single,
            buffered: AtomicBool::new(false),
            may_start_late: AtomicBool::new(false),
        })
    }

    /// The time since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        clock::now() - self.began
    }

    /// The instant at this millisecond of the plan.
    pub(crate) fn at(&self, millis: u64) -> Instant {
        self.began + clock::ms(millis)
    }

    /// Notes that something happened, and returns its number.
    pub(crate) fn event(&self) -> u64 {
        self.events.fetch_add(1, SeqCst) + 1
    }

    /// The number of the last event.
    pub(crate) fn last_event(&self) -> u64 {
        self.events.load(SeqCst)
    }

    /// The serial of a new call.
    pub(crate) fn serial(&self) -> u64 {
        self.serials.fetch_add(1, SeqCst) + 1
    }

    pub(crate) fn violate(&self, class: &str, text: String) {
        let at = self.elapsed();
        self.log(|| Line { event: format!("VIOLATION {class}"), note: format!(": {text}") });
        let mut violations = lock(&self.violations);
        if violations.len() < MAX_VIOLATIONS {
            violations.push((class.to_owned(), format!("[{at:?}] {text}")));
        }
    }

    pub(crate) fn log<L: Into<Line>>(&self, line: impl FnOnce() -> L) {
        let Some(story) = &self.story else { return };
        let line = line().into();
        lock(story).add(self.elapsed(), &line);
    }

    /// Adds numbers that are part of no event, such as the counts of a handle, to the story's hash.
    pub(crate) fn log_counts(&self, counts: &[u64]) {
        if let Some(story) = &self.story {
            lock(story).add_counts(counts);
        }
    }

    /// Leaves everything from here on out of the story's hash, if a request is under way that began before
    /// this event.
    pub(crate) fn close_hash_if_any_began_before(&self, event: u64) {
        let ended = |request: &RequestState| request.over && !self.buffered.load(SeqCst);
        let open = |request: &RequestState| request.began < event && !ended(request);
        if !lock(&self.requests).values().any(open) {
            return;
        }
        if let Some(story) = &self.story {
            lock(story).close_hash();
        }
    }

    /// Counts how a request ended for its caller.
    pub(crate) fn end(&self, how: &'static str) {
        *lock(&self.ends).entry(how).or_default() += 1;
    }

    pub(crate) fn live(&self, kind: Kind) -> i64 {
        self.live[kind as usize].load(SeqCst)
    }

    /// Everything that is alive, as text.
    pub(crate) fn lives(&self) -> String {
        let lives = KINDS.map(|kind| format!("{kind:?} {}", self.live(kind)));
        lives.join(", ")
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        lock(&self.violations).clone()
    }

    pub(crate) fn ends(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.ends).clone()
    }

    pub(crate) fn story_hash(&self) -> Hash {
        self.story.as_ref().map_or_else(Hash::new, |story| lock(story).hash())
    }

    pub(crate) fn take_story(&self) -> Vec<String> {
        self.story.as_ref().map(|story| lock(story).take_lines()).unwrap_or_default()
    }
}
