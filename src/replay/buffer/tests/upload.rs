//! An upload that a test drives, and copies of it.

use super::*;
use crate::replay::ReplayBody;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
pub(super) use tokio_test::task;
use tokio_test::task::Spawn;

pub(super) const LIMIT: usize = 16;

/// What the original does when it is polled next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A frame of so many bytes.
    Data(usize),
    /// Trailers that count so many bytes.
    Trailers(usize),
    End,
    Fail,
    Panic,
}

pub(super) use Step::{Data, End, Fail, Panic, Trailers};

#[derive(Default)]
pub(super) struct Script {
    pub(super) steps: VecDeque<Step>,
    waker: Option<Waker>,
    /// Tells how long it is.
    pub(super) known: bool,
    /// Tells after its last frame that there is no other.
    pub(super) announces_end: bool,
    sent: Sent,
    live: Arc<AtomicUsize>,
}

/// What was taken from the original so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) bytes: usize,
    pub(super) trailers: usize,
    pub(super) ended: bool,
    pub(super) broken: bool,
}

/// The test's hold on an upload. Where no step is planned, the upload is pending.
#[derive(Clone, Default)]
pub(super) struct Plan(Arc<Mutex<Script>>);

impl Plan {
    pub(super) fn of(steps: impl IntoIterator<Item = Step>) -> Self {
        let plan = Self::default();
        plan.script().steps.extend(steps);
        plan
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn give(&self, step: Step) {
        let mut script = self.script();
        script.steps.push_back(step);
        let waker = script.waker.take();
        drop(script);
        wake(waker.into_iter().collect());
    }

    pub(super) fn keep(&self) -> (Copied, Keeper<Original>) {
        let (body, keeper) = ReplayBody::keep(Original(self.clone()), LIMIT);
        (task::spawn(body), keeper.expect("it is not known to be too long"))
    }

    pub(super) fn sent(&self) -> Sent {
        self.script().sent
    }

    /// How many bytes of sent frames are still in memory.
    pub(super) fn live(&self) -> usize {
        self.script().live.load(SeqCst)
    }

    /// Whether nothing holds the original any more.
    pub(super) fn is_freed(&self) -> bool {
        self.live() == 0 && Arc::strong_count(&self.0) == 1
    }
}

/// A piece of memory that tells when it is freed.
pub(super) struct Probe(Vec<u8>, Arc<AtomicUsize>);

impl Probe {
    /// Bytes that count on from `first`.
    fn bytes(first: usize, len: usize, live: &Arc<AtomicUsize>) -> Bytes {
        live.fetch_add(len, SeqCst);
        let counting = (first..first + len).map(|at| at as u8).collect();
        Bytes::from_owner(Self(counting, live.clone()))
    }
}

impl AsRef<[u8]> for Probe {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), SeqCst);
    }
}

pub(super) struct Original(pub(super) Plan);

impl Body for Original {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut script = self.0.script();
        assert!(!script.sent.ended && !script.sent.broken, "polled after its end");
        let Some(step) = script.steps.pop_front() else {
            script.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        script.waker = None;
        Poll::Ready(match step {
            Data(len) => {
                let bytes = Probe::bytes(script.sent.bytes, len, &script.live);
                script.sent.bytes += len;
                Some(Ok(Frame::data(bytes)))
            }
            Trailers(size) => {
                script.sent.trailers = size;
                Some(Ok(Frame::trailers(trailers(size))))
            }
            End => {
                script.sent.ended = true;
                None
            }
            Fail => {
                script.sent.broken = true;
                Some(Err("the upload broke".into()))
            }
            Panic => {
                script.sent.broken = true;
                // without the message
                std::panic::resume_unwind(Box::new("the upload panicked"))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        let script = self.0.script();
        script.announces_end && matches!(script.steps.front(), Some(End))
    }

    fn size_hint(&self) -> SizeHint {
        let script = self.0.script();
        let left = script.steps.iter().map(|step| if let Data(len) = step { *len } else { 0 });
        if script.known {
            SizeHint::with_exact(left.sum::<usize>() as u64)
        } else {
            SizeHint::new()
        }
    }
}

pub(super) fn trailers(size: usize) -> HeaderMap {
    let value = "v".repeat(size - 1).parse().unwrap();
    HeaderMap::from_iter([(http::HeaderName::from_static("t"), value)])
}

/// A copy with a task of its own, which can be asked whether it was woken.
pub(super) type Copied = Spawn<ReplayBody<Original>>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    Data(Vec<u8>),
    Trailers(HeaderMap),
    End,
    /// The error of the original.
    Failed,
    Lost,
}

pub(super) fn read(copy: &mut Copied) -> Poll<Seen> {
    copy.enter(|cx, body| body.poll_frame(cx)).map(|frame| match frame {
        None => Seen::End,
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => Seen::Data(data.to_vec()),
            Err(frame) => Seen::Trailers(frame.into_trailers().unwrap()),
        },
        Some(Err(error)) if error.is::<RequestBodyLost>() => Seen::Lost,
        Some(Err(_)) => Seen::Failed,
    })
}

pub(super) fn seen(bytes: std::ops::Range<u8>) -> Poll<Seen> {
    Poll::Ready(Seen::Data(bytes.collect()))
}

/// Reads on until the copy ends or waits.
pub(super) fn read_all(copy: &mut Copied) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Poll::Ready(one) = read(copy) {
        all.push(one);
        if !matches!(all.last(), Some(Seen::Data(_) | Seen::Trailers(_))) {
            break;
        }
    }
    all
}

pub(super) fn beside(keeper: &Keeper<Original>) -> Copied {
    task::spawn(ReplayBody::of(keeper.beside().expect("all is kept")))
}

pub(super) fn instead(keeper: &Keeper<Original>) -> Copied {
    task::spawn(ReplayBody::of(keeper.instead().expect("all is kept")))
}

/// A first copy and one beside it, both waiting for the original.
pub(super) fn two_waiting(plan: &Plan) -> (Copied, Copied, Keeper<Original>) {
    let (mut first, keeper) = plan.keep();
    let mut second = beside(&keeper);
    assert!(read(&mut first).is_pending() && read(&mut second).is_pending());
    (first, second, keeper)
}
