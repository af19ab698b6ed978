//! A service that does as it is told, and notes its calls.

use super::clock::{now, sleep};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;
use tower::Service;
use tower_failover::BoxError;

/// What a [`Scripted`] service says when it is polled ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Gate {
    Open,
    /// It is pending, and wakes who waits when the gate is no longer shut.
    Shut,
    /// It fails with this text.
    Broken(&'static str),
    Panics,
}

/// What a [`Scripted`] service does with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Act {
    /// Answers as its script says.
    Answers,
    AnswersAfter(Duration),
    /// Fails with the text `failed`.
    Fails,
    FailsAfter(Duration),
    /// Never answers.
    Hangs,
    PanicsInCall,
    /// The future panics after this time.
    PanicsAfter(Duration),
}

/// Where a service may panic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Place {
    Ready,
    Call,
    /// In the future, after this time.
    Future(Duration),
}

pub(super) type Work<Res> = Pin<Box<dyn Future<Output = Result<Res, BoxError>> + Send>>;
type Answers<Req, Res> = Box<dyn FnMut(Req, usize) -> Work<Res> + Send>;
type Acts<Req> = Box<dyn FnMut(&Req, usize) -> Act + Send>;
type Gates = Box<dyn FnMut(usize) -> Gate + Send>;

/// A service that answers as its script says, and notes its calls. Clones are the same service, but each
/// has to be polled ready before it is called: one that was not panics.
pub(crate) struct Scripted<Req, Res, Note = Req> {
    script: Arc<Script<Req, Res, Note>>,
    takes: Duration,
    ready: bool,
}

struct Script<Req, Res, Note> {
    opened: Instant,
    note: fn(&Req) -> Note,
    answers: Mutex<Answers<Req, Res>>,
    acts: Mutex<Acts<Req>>,
    gates: Mutex<Gates>,
    waiting: Mutex<Vec<Waker>>,
    clone_panics: AtomicBool,
    calls: Mutex<Vec<(Duration, Note)>>,
    polls: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl<Req, Res: Send + 'static> Scripted<Req, Res> {
    /// Answers the n-th call, counted from 1, with what the closure says.
    pub(crate) fn new(answers: impl FnMut(usize) -> Result<Res, BoxError> + Send + 'static) -> Self
    where
        Req: Clone,
    {
        Self::noting(Req::clone, answers)
    }

    /// Answers with these, one after another; one more call is a mistake.
    pub(crate) fn list(answers: impl IntoIterator<Item = Result<Res, BoxError>>) -> Self
    where
        Req: Clone,
    {
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        Self::new(move |call| answers.pop_front().unwrap_or_else(|| panic!("call {call}")))
    }
}

impl<Req, Res: Send + 'static> Scripted<Req, Res, ()> {
    /// Does with a request, which is the n-th counted from 1, what the closure says; notes only when.
    pub(crate) fn doing<F>(mut answers: impl FnMut(Req, usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<Res, BoxError>> + Send + 'static,
    {
        Self::open(|_| (), move |request, call| Box::pin(answers(request, call)))
    }
}

impl<Req, Res: Send + 'static, Note> Scripted<Req, Res, Note> {
    /// Notes of each request what the first function says.
    pub(crate) fn noting(
        note: fn(&Req) -> Note,
        mut answers: impl FnMut(usize) -> Result<Res, BoxError> + Send + 'static,
    ) -> Self {
        Self::open(note, move |request, call| {
            drop(request);
            Box::pin(ready(answers(call)))
        })
    }

    pub(super) fn open(
        note: fn(&Req) -> Note,
        answers: impl FnMut(Req, usize) -> Work<Res> + Send + 'static,
    ) -> Self {
        let script = Script {
            opened: now(),
            note,
            answers: Mutex::new(Box::new(answers)),
            acts: Mutex::new(Box::new(|_, _| Act::Answers)),
            gates: Mutex::new(Box::new(|_| Gate::Open)),
            waiting: Mutex::default(),
            clone_panics: AtomicBool::default(),
            calls: Mutex::default(),
            polls: AtomicUsize::default(),
            running: AtomicUsize::default(),
            most: AtomicUsize::default(),
        };
        Self { script: Arc::new(script), takes: Duration::ZERO, ready: false }
    }

    /// Takes this long for every answer.
    pub(crate) fn taking(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }

    /// Does with each request, which is the n-th counted from 1, what the closure says.
    pub(crate) fn acts(self, acts: impl FnMut(&Req, usize) -> Act + Send + 'static) -> Self {
        *locked(&self.script.acts) = Box::new(acts);
        self
    }

    /// Says what the closure says when it is polled ready, for the n-th time counted from 1.
    pub(crate) fn gates(self, gates: impl FnMut(usize) -> Gate + Send + 'static) -> Self {
        *locked(&self.script.gates) = Box::new(gates);
        self
    }

    /// Panics the n-th time, counted from 1, that it gets to this place.
    pub(crate) fn panicking(self, place: Place, nth: usize) -> Self {
        let act = match place {
            Place::Ready => {
                return self.gates(move |poll| if poll == nth { Gate::Panics } else { Gate::Open });
            }
            Place::Call => Act::PanicsInCall,
            Place::Future(after) => Act::PanicsAfter(after),
        };
        self.acts(move |_, call| if call == nth { act } else { Act::Answers })
    }
}

/// What it does from now on.
impl<Req, Res, Note> Scripted<Req, Res, Note> {
    pub(crate) fn act(&self, act: Act) {
        *locked(&self.script.acts) = Box::new(move |_, _| act);
    }

    pub(crate) fn gate(&self, gate: Gate) {
        *locked(&self.script.gates) = Box::new(move |_| gate);
        if gate != Gate::Shut {
            let waiting = std::mem::take(&mut *locked(&self.script.waiting));
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    pub(crate) fn clone_panics(&self, panics: bool) {
        self.script.clone_panics.store(panics, SeqCst);
    }

    /// Forgets its calls.
    pub(crate) fn forget(&self) {
        locked(&self.script.calls).clear();
    }
}

/// What it has seen.
impl<Req, Res, Note> Scripted<Req, Res, Note> {
    /// When the calls came, since the service was made.
    pub(crate) fn times(&self) -> Vec<Duration> {
        self.calls(|(at, _)| *at)
    }

    /// How long after this moment they came.
    pub(crate) fn times_since(&self, since: Instant) -> Vec<Duration> {
        self.calls(|(at, _)| self.script.opened + *at - since)
    }

    /// When they came, in milliseconds.
    pub(crate) fn made(&self) -> Vec<u128> {
        self.calls(|(at, _)| at.as_millis())
    }

    pub(crate) fn notes(&self) -> Vec<Note>
    where
        Note: Clone,
    {
        self.calls(|(_, note)| note.clone())
    }

    /// How often it was called.
    pub(crate) fn count(&self) -> usize {
        locked(&self.script.calls).len()
    }

    /// How often it was polled ready.
    pub(crate) fn polls(&self) -> usize {
        self.script.polls.load(SeqCst)
    }

    /// The futures of its calls that are still held and have not ended.
    pub(crate) fn running(&self) -> usize {
        self.script.running.load(SeqCst)
    }

    /// The most that were running at a time.
    pub(crate) fn most(&self) -> usize {
        self.script.most.load(SeqCst)
    }

    /// Its clones beside this one, and the calls that are running.
    pub(crate) fn held(&self) -> usize {
        Arc::strong_count(&self.script) - 1
    }

    fn calls<T>(&self, map: impl Fn(&(Duration, Note)) -> T) -> Vec<T> {
        locked(&self.script.calls).iter().map(map).collect()
    }
}

impl<Req, Res: Send + 'static, Note> Service<Req> for Scripted<Req, Res, Note>
where
    Req: 'static,
    Note: Send + 'static,
{
    type Response = Res;
    type Error = BoxError;
    type Future = Work<Res>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let poll = self.script.polls.fetch_add(1, SeqCst) + 1;
        let gate = locked(&self.script.gates)(poll);
        match gate {
            Gate::Open => {
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Gate::Shut => {
                locked(&self.script.waiting).push(cx.waker().clone());
                Poll::Pending
            }
            Gate::Broken(text) => Poll::Ready(Err(text.into())),
            Gate::Panics => panic!("panics when it is polled ready"),
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called before it was ready");
        let script = &self.script;
        let number = {
            let mut calls = locked(&script.calls);
            calls.push((script.opened.elapsed(), (script.note)(&request)));
            calls.len()
        };
        let act = locked(&script.acts)(&request, number);
        assert!(act != Act::PanicsInCall, "panics when it is called");
        let running = Running::start(script);
        let (takes, answer) = match act {
            Act::AnswersAfter(time) => (time, locked(&script.answers)(request, number)),
            Act::Answers => (self.takes, locked(&script.answers)(request, number)),
            Act::Fails => (Duration::ZERO, failed()),
            Act::FailsAfter(time) => (time, failed()),
            Act::Hangs | Act::PanicsInCall => (Duration::ZERO, Box::pin(pending()) as _),
            Act::PanicsAfter(time) => (time, panics()),
        };
        Box::pin(async move {
            let _running = running;
            if !takes.is_zero() {
                sleep(takes).await;
            }
            answer.await
        })
    }
}

fn failed<Res: Send + 'static>() -> Work<Res> {
    Box::pin(ready(Err("failed".into())))
}

fn panics<Res: Send + 'static>() -> Work<Res> {
    Box::pin(async { panic!("panics when its future is polled") })
}

impl<Req, Res, Note> Clone for Scripted<Req, Res, Note> {
    fn clone(&self) -> Self {
        assert!(!self.script.clone_panics.load(SeqCst), "panics when it is cloned");
        Self { script: self.script.clone(), takes: self.takes, ready: false }
    }
}

// nothing of requests and answers, so that a test can look for those in the `Debug` of a layer
impl<Req, Res, Note> fmt::Debug for Scripted<Req, Res, Note> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

/// A call that has neither ended nor been dropped.
struct Running<Req, Res, Note>(Arc<Script<Req, Res, Note>>);

impl<Req, Res, Note> Running<Req, Res, Note> {
    fn start(script: &Arc<Script<Req, Res, Note>>) -> Self {
        let running = script.running.fetch_add(1, SeqCst) + 1;
        script.most.fetch_max(running, SeqCst);
        Self(script.clone())
    }
}

impl<Req, Res, Note> Drop for Running<Req, Res, Note> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

// a test goes on after a panic of a closure
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
