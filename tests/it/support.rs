//! What the tests share: the paused clock, and services that do as they are told.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower::Service;
use tower_failover::BoxError;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[expect(clippy::disallowed_methods, reason = "the clock of the tests is paused")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the clock of the tests is paused")]
pub(crate) async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// What the future returns, and how long it took.
pub(crate) async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let start = now();
    let output = future.await;
    (output, start.elapsed())
}

type Answers<Res> = Box<dyn FnMut(usize) -> Result<Res, BoxError> + Send>;

/// A service that answers as it is told, after a fixed time, and notes its calls. Clones are the same
/// service.
pub(crate) struct Scripted<Req, Res, Note = Req> {
    script: Arc<Script<Req, Res, Note>>,
    takes: Duration,
}

struct Script<Req, Res, Note> {
    opened: Instant,
    note: fn(&Req) -> Note,
    answers: Mutex<Answers<Res>>,
    calls: Mutex<Vec<(Duration, Note)>>,
}

impl<Req: Clone, Res> Scripted<Req, Res> {
    /// Answers the n-th call, counted from 1, with what the closure says.
    pub(crate) fn new(
        answers: impl FnMut(usize) -> Result<Res, BoxError> + Send + 'static,
    ) -> Self {
        Self::noting(Req::clone, answers)
    }

    /// Answers with these, one after another; one more call is a mistake.
    pub(crate) fn list(answers: impl IntoIterator<Item = Result<Res, BoxError>>) -> Self
    where
        Res: Send + 'static,
    {
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        Self::new(move |call| answers.pop_front().unwrap_or_else(|| panic!("call {call}")))
    }
}

impl<Req, Res, Note> Scripted<Req, Res, Note> {
    /// Notes of each request what the first function says.
    pub(crate) fn noting(
        note: fn(&Req) -> Note,
        answers: impl FnMut(usize) -> Result<Res, BoxError> + Send + 'static,
    ) -> Self {
        let answers: Answers<Res> = Box::new(answers);
        let script = Script {
            opened: now(),
            note,
            answers: Mutex::new(answers),
            calls: Mutex::new(Vec::new()),
        };
        Self { script: Arc::new(script), takes: Duration::ZERO }
    }

    /// Takes this long for every answer.
    pub(crate) fn taking(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }

    /// When the calls came, since the service was made.
    pub(crate) fn times(&self) -> Vec<Duration> {
        self.calls(|(at, _)| *at)
    }

    pub(crate) fn notes(&self) -> Vec<Note>
    where
        Note: Clone,
    {
        self.calls(|(_, note)| note.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.times().len()
    }

    fn calls<T>(&self, map: impl Fn(&(Duration, Note)) -> T) -> Vec<T> {
        let calls = self.script.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().map(map).collect()
    }
}

impl<Req, Res: Send + 'static, Note> Service<Req> for Scripted<Req, Res, Note> {
    type Response = Res;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Res, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let script = &self.script;
        let mut calls = script.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push((script.opened.elapsed(), (script.note)(&request)));
        let number = calls.len();
        drop(calls);
        let answer = script.answers.lock().unwrap_or_else(PoisonError::into_inner).as_mut()(number);
        let takes = self.takes;
        Box::pin(async move {
            if !takes.is_zero() {
                sleep(takes).await;
            }
            answer
        })
    }
}

impl<Req, Res, Note> Clone for Scripted<Req, Res, Note> {
    fn clone(&self) -> Self {
        Self { script: self.script.clone(), takes: self.takes }
    }
}

/// A service that is pending once before it is ready for a call, whose clones are never ready, and
/// which panics when it is called unready.
pub(crate) struct Hostile<S> {
    inner: S,
    prompt: bool,
    asked: bool,
    ready: bool,
}

impl<S> Hostile<S> {
    pub(crate) const fn new(inner: S) -> Self {
        Self { inner, prompt: false, asked: false, ready: false }
    }

    /// Is ready as soon as it is asked, as a load shed has to have it.
    pub(crate) const fn prompt(mut self) -> Self {
        self.prompt = true;
        self
    }
}

impl<S: Clone> Clone for Hostile<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), prompt: self.prompt, asked: false, ready: false }
    }
}

impl<S: Service<Req>, Req> Service<Req> for Hostile<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if !std::mem::replace(&mut self.asked, true) && !self.prompt {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = self.inner.poll_ready(cx);
        self.ready |= matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    fn call(&mut self, request: Req) -> S::Future {
        assert!(std::mem::take(&mut self.ready), "called before it was ready");
        self.asked = false;
        self.inner.call(request)
    }
}

/// Knows how many of its clones are still held.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe(Arc<()>);

impl Probe {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn held(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

// so that a probe can be the owner of bytes
impl AsRef<[u8]> for Probe {
    fn as_ref(&self) -> &[u8] {
        b"probe"
    }
}

/// The events of one thread, as text.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Writes down all events of this thread, until the guard is dropped.
    pub(crate) fn follow(&self) -> tracing::subscriber::DefaultGuard {
        // with a single subscriber, `tracing` asks the thread that first meets an event whether it is
        // wanted at all: this one wants every event on all threads, and does nothing with it
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
