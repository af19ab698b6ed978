//! Backends: the scripted services at the bottom of a stack.

mod behavior;
mod service;

pub(crate) use behavior::{Action, Behavior};
pub(crate) use service::{BackendService, Progress, Script};

use crate::clock;
use crate::random::Rng;
use crate::run::Run;
use crate::world::{Call, CallEnd, RequestState, World, lock};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// The state that all clones of one backend share.
pub(crate) struct Backend {
    pub(crate) world: Arc<World>,
    pub(crate) name: String,
    /// It is called by a fallback.
    pub(crate) backup: bool,
    pub(crate) hangs: bool,
    pub(crate) panics: bool,
    /// Each behavior lasts until its millisecond, the last one to the end.
    behaviors: Vec<(u64, Behavior)>,
    rng: Mutex<Rng>,
    /// Services that are alive, clones included.
    services: AtomicI64,
    /// The event with which it left the set; 0 while it is in.
    gone_at: AtomicU64,
}

impl Backend {
    /// Draws a backend.
    pub(crate) fn draw(run: &Run, rng: &mut Rng, name: String, backup: bool) -> Arc<Self> {
        let mut behaviors = Vec::new();
        for _ in 0..rng.range(1, 3) {
            let until = rng.range(200, 6_000);
            behaviors.push((until, Behavior::draw(rng, run.hangs, run.panics)));
        }
        Arc::new(Self {
            world: run.world.clone(),
            name,
            backup,
            hangs: run.hangs,
            panics: run.panics,
            behaviors,
            rng: Mutex::new(Rng::new(rng.next())),
            services: AtomicI64::new(0),
            gone_at: AtomicU64::new(0),
        })
    }

    /// How it behaves now.
    fn behavior(&self) -> &Behavior {
        let now = self.world.elapsed();
        let current = self.behaviors.iter().find(|(until, _)| now < clock::ms(*until));
        let (_, behavior) = current.or(self.behaviors.last()).expect("at least one was drawn");
        behavior
    }

    /// Whether it ever behaves like this.
    pub(crate) fn ever(&self, like_this: impl Fn(&Behavior) -> bool) -> bool {
        self.behaviors.iter().any(|(_, behavior)| like_this(behavior))
    }

    /// Draws something that depends on how it behaves.
    pub(crate) fn draw_now<T>(&self, draw: impl FnOnce(&mut Rng, &Behavior) -> T) -> T {
        draw(&mut lock(&self.rng), self.behavior())
    }

    /// The backend is no longer in the set: it gets no request that begins after this event.
    pub(crate) fn leave_set(&self) -> u64 {
        let event = self.world.event();
        self.gone_at.store(event, SeqCst);
        event
    }

    pub(crate) fn return_to_set(&self) {
        self.gone_at.store(0, SeqCst);
    }

    pub(crate) fn services(&self) -> i64 {
        self.services.load(SeqCst)
    }

    pub(crate) fn describe(&self) -> String {
        let behaviors: Vec<_> = self
            .behaviors
            .iter()
            .map(|(until, behavior)| format!("{} up to {until}", behavior.describe()))
            .collect();
        format!("backend {} {behaviors:?}", self.name)
    }

    /// Notes a call, checks that it may be made, and returns its serial.
    fn enter(&self, id: u64, number: u64) -> u64 {
        let world = &self.world;
        world.event();
        let serial = world.serial();
        let calls = if self.backup { &world.backup_calls } else { &world.backend_calls };
        calls.fetch_add(1, SeqCst);
        world.log(|| format!("call req {id} -> {} #{serial}", self.name));
        let mut violations = Vec::new();
        if let Some(request) = lock(&world.requests).get_mut(&id) {
            request.open += 1;
            if !world.buffered.load(SeqCst) {
                violations.extend(self.check_time(id, number, request));
            }
            let repeated = self.check_repeat(id, request);
            let (first, began) = (repeated.is_none(), request.began);
            violations.extend(repeated);
            let (backup, end) = (self.backup, CallEnd::Open);
            request.calls.push(Call { backup, serial, end, number });
            let gone = self.gone_at.load(SeqCst);
            if first && gone != 0 && began > gone {
                violations.push(("call-after-removal", format!("req {id} to {}", self.name)));
            }
        } else {
            violations.push(("unknown-request", format!("req {id} at {}", self.name)));
        }
        for (class, text) in violations {
            world.violate(class, text);
        }
        serial
    }

    /// The request is not over, its attempts count up, and there is time for this one.
    fn check_time(
        &self,
        id: u64,
        number: u64,
        request: &RequestState,
    ) -> Option<(&'static str, String)> {
        let late = || clock::now().checked_duration_since(request.deadline?);
        let (class, text) = if request.over {
            ("call-after-end", String::new())
        } else if number > 0 && request.calls.iter().any(|call| call.number == number) {
            ("number-twice", format!("{number}"))
        } else if number > 1 && !self.world.may_start_late.load(SeqCst) {
            let late = late().filter(|late| !late.is_zero())?;
            ("started-after-deadline", format!("by {late:?}, attempt {number}"))
        } else {
            return None;
        };
        Some((class, format!("req {id} to {}: {text} {:?}", self.name, request.calls)))
    }

    /// A request that must not be repeated is sent again only after calls that did no work.
    fn check_repeat(&self, id: u64, request: &RequestState) -> Option<(&'static str, String)> {
        if request.idempotent {
            return None;
        }
        let touched = request.calls.iter().find(|call| call.end != CallEnd::Untouched)?;
        Some(("sent-twice", format!("req {id} to {} after {touched:?}", self.name)))
    }

    /// Notes the end of a call.
    pub(crate) fn leave(&self, id: u64, serial: u64, end: CallEnd) {
        let world = &self.world;
        world.event();
        world.log(|| format!("done req {id} <- {} #{serial} {end:?}", self.name));
        let mut requests = lock(&world.requests);
        let calls = requests.get_mut(&id).map(|request| request.calls.iter_mut());
        if let Some(call) = calls.and_then(|mut calls| calls.find(|call| call.serial == serial)) {
            call.end = end;
        }
    }
}
