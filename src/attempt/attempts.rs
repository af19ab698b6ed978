//! The record that travels with a request through nested layers.

use super::deadline::Deadline;
use super::reader;
use crate::budget::Budget;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

/// What the layers of one call know of it together: which attempt this is, how many extra ones there
/// were, what was tried and what is left to try.
///
/// It bounds the attempts of nested layers: a request makes at most 1 + `max_retries` + `max_hedges`
/// of them, since each layer compares the record's count of its own kind with its own limit.
///
/// # How it travels
///
/// In the extensions of HTTP and gRPC requests, and through a [`Slot`](crate::replay::Slot) in others.
/// A layer makes one only if a service inside it reads one, and a service that reads it takes it out
/// of the request. So no record gets to the client or to a handler, from where it could leak into
/// calls that are not part of this one. A service says that it reads records by calling
/// [`announce_reader`](Self::announce_reader) in `poll_ready`; all layers of this crate do. Services
/// between them that do not pass `poll_ready` on, such as tower's `Buffer`, hide the reader, and the
/// layers on both sides count for themselves. One that polls several services ready and calls another
/// of them, such as tower's `Steer`, passes a record to a service that did not ask: don't put it
/// between layers of this crate and handlers that send extensions on.
///
/// # Clones
///
/// Clones share the counts.
///
/// # Example: a balancer of your own
///
/// ```
/// # #[cfg(feature = "http")]
/// # fn example(mut request: http::Request<()>) {
/// use tower_failover::Attempts;
///
/// // in `poll_ready`
/// Attempts::announce_reader();
///
/// // in `call`
/// if let Some(attempts) = request.extensions_mut().remove::<Attempts>() {
///     let (this_set, chosen) = (7, 1);
///     attempts.mark_tried(this_set, chosen);
///     attempts.set_untried_left((0..3).any(|endpoint| !attempts.was_tried(this_set, endpoint)));
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Attempts {
    shared: Arc<SharedRecord>,
    number: u32,
    hedge: bool,
    /// Another attempt may follow this one.
    may_follow: bool,
    /// This one is of no use where another went already.
    elsewhere: bool,
    deadline: Option<Deadline>,
}

/// Hedges run side by side, so that each count is changed by one read-modify-write. `SeqCst`, although no
/// word is compared with another one: they are written once an attempt, and less would save nothing.
struct SharedRecord {
    started: AtomicU32,
    retries: AtomicU32,
    hedges: AtomicU32,
    untried_left: AtomicBool,
    /// Whether an attempt failed that may have done the work.
    touched: AtomicBool,
    tried: Mutex<Tried>,
    /// The budgets that this request paid into, by their id; a fifth one gets nothing.
    paid: [AtomicUsize; 4],
}

/// The endpoints that attempts went to, by their sets. Few requests make more than some attempts.
#[derive(Debug, Default)]
struct Tried {
    first: [(u64, u64); 4],
    count: usize,
    others: Vec<(u64, u64)>,
}

impl Tried {
    fn push(&mut self, tried: (u64, u64)) {
        match self.first.get_mut(self.count) {
            Some(place) => {
                *place = tried;
                self.count += 1;
            }
            None => self.others.push(tried),
        }
    }

    fn remove(&mut self, tried: (u64, u64)) {
        if let Some(at) = self.first[..self.count].iter().position(|other| *other == tried) {
            self.count -= 1;
            self.first.swap(at, self.count);
        } else {
            self.others.retain(|other| *other != tried);
        }
    }

    fn iter(&self) -> impl Iterator<Item = &(u64, u64)> {
        self.first[..self.count].iter().chain(&self.others)
    }
}

impl Attempts {
    /// Opens the record of a call; its first attempt has number 1.
    pub(crate) fn new() -> Self {
        let shared = SharedRecord {
            started: AtomicU32::new(1),
            retries: AtomicU32::new(0),
            hedges: AtomicU32::new(0),
            untried_left: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            tried: Mutex::default(),
            paid: Default::default(),
        };
        Self {
            shared: Arc::new(shared),
            number: 1,
            hedge: false,
            may_follow: true,
            elsewhere: false,
            deadline: None,
        }
    }

    /// The record for the attempt after all that were started. What the one before found to be left
    /// to try is forgotten: this one may go another way.
    pub(crate) fn next(&self) -> Self {
        let number = self.shared.started.fetch_add(1, SeqCst).saturating_add(1);
        self.set_untried_left(false);
        Self { number, hedge: false, elsewhere: false, ..self.clone() }
    }

    /// The same for an attempt beside those that run.
    pub(crate) fn next_hedge(&self) -> Self {
        self.shared.hedges.fetch_add(1, SeqCst);
        Self { hedge: true, ..self.next() }
    }

    /// The same with the stricter of its deadline and this one.
    pub(crate) fn until(self, deadline: Option<Deadline>) -> Self {
        Self { deadline: self.deadline.into_iter().chain(deadline).min(), ..self }
    }

    /// Returns the number of this attempt among all of the request; the first is 1.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Tells whether this attempt is a hedge, sent beside another one.
    #[must_use]
    pub const fn is_hedge(&self) -> bool {
        self.hedge
    }

    /// Returns how many attempts were started so far, this one included.
    #[must_use]
    pub fn started(&self) -> u32 {
        self.shared.started.load(SeqCst)
    }

    /// Returns how many of them were retries.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.shared.retries.load(SeqCst)
    }

    /// Returns how many of them were hedges.
    #[must_use]
    pub fn hedges(&self) -> u32 {
        self.shared.hedges.load(SeqCst)
    }

    /// Returns by when the request must be answered, if that is known.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }

    /// The same, which says whether another attempt may follow.
    pub(crate) fn followed(self, may_follow: bool) -> Self {
        Self { may_follow, ..self }
    }

    /// The same, which goes to an endpoint that was not tried, or nowhere.
    pub(crate) fn elsewhere(self) -> Self {
        Self { elsewhere: true, ..self }
    }

    /// Whether it may go where another attempt went, if there is nowhere else.
    pub(crate) const fn may_go_again(&self) -> bool {
        !self.elsewhere
    }

    /// Tells whether another attempt may follow if this one fails: the request may be repeated, and there
    /// is a retry left. A balancer prefers such requests for trying out an endpoint that has failed.
    #[must_use]
    pub const fn may_follow(&self) -> bool {
        self.may_follow
    }

    /// Notes that an attempt went to this endpoint of this set.
    pub fn mark_tried(&self, set: u64, endpoint: u64) {
        self.tried().push((set, endpoint));
    }

    /// The attempt went to another endpoint after all.
    pub(crate) fn unmark_tried(&self, set: u64, endpoint: u64) {
        self.tried().remove((set, endpoint));
    }

    /// The endpoints of this set that attempts went to.
    pub(crate) fn tried_of(&self, set: u64) -> Vec<u64> {
        let tried = self.tried();
        tried.iter().filter(|tried| tried.0 == set).map(|tried| tried.1).collect()
    }

    /// Tells whether an attempt went to this endpoint of this set.
    #[must_use]
    pub fn was_tried(&self, set: u64, endpoint: u64) -> bool {
        self.tried().iter().any(|tried| *tried == (set, endpoint))
    }

    /// Whether a balancer has noted where an attempt went, and so says what is left to try.
    pub(crate) fn is_balanced(&self) -> bool {
        self.tried().iter().next().is_some()
    }

    /// Says whether another attempt would find an endpoint that is available and was not tried: a
    /// retry then goes there at once. Default: no.
    pub fn set_untried_left(&self, left: bool) {
        self.shared.untried_left.store(left, SeqCst);
    }

    /// Tells whether another attempt would find an endpoint that is available and was not tried.
    #[must_use]
    pub fn untried_left(&self) -> bool {
        self.shared.untried_left.load(SeqCst)
    }

    /// Says, in the midst of `poll_ready`, that this service takes the record out of its requests.
    pub fn announce_reader() {
        reader::announce();
    }

    /// Notes that this budget was paid; tells whether it was not before.
    pub(crate) fn note_paid(&self, budget: &Budget) -> bool {
        for paid in &self.shared.paid {
            match paid.compare_exchange(0, budget.id(), SeqCst, SeqCst) {
                Ok(_) => return true,
                Err(id) if id == budget.id() => return false,
                Err(_) => {}
            }
        }
        false
    }

    /// Notes an attempt that failed, and whether it left the other side untouched; tells whether an earlier
    /// one did not.
    pub(super) fn note_touched(&self, untouched: bool) -> bool {
        self.shared.touched.fetch_or(!untouched, SeqCst)
    }

    fn tried(&self) -> std::sync::MutexGuard<'_, Tried> {
        self.shared.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempts")
            .field("number", &self.number)
            .field("hedge", &self.hedge)
            .field("started", &self.started())
            .field("retries", &self.retries())
            .field("hedges", &self.hedges())
            .finish_non_exhaustive()
    }
}

/// A retry that was decided on and counts already, for other layers to see. It does not count if it is
/// dropped before [`made`](Self::made).
#[derive(Debug)]
pub(crate) struct CountedRetry(Option<Arc<SharedRecord>>);

impl CountedRetry {
    pub(crate) fn new(attempts: &Attempts) -> Self {
        attempts.shared.retries.fetch_add(1, SeqCst);
        Self(Some(attempts.shared.clone()))
    }

    /// The retry is made, and counts for good.
    pub(crate) fn made(mut self) {
        self.0 = None;
    }
}

impl Drop for CountedRetry {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.retries.fetch_sub(1, SeqCst);
        }
    }
}

impl fmt::Debug for SharedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRecord").field("retries", &self.retries).finish_non_exhaustive()
    }
}
