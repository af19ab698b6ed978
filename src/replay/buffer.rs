//! What the copies of one body share: the original, and the frames that are kept of it.

use crate::error::{BoxError, RequestBodyLost};
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

fn lost() -> BoxError {
    RequestBodyLost::new().into()
}

/// Each kept frame takes about a hundred bytes beside its own, which nobody should multiply by sending
/// them a byte at a time.
const MOST_FRAMES: usize = 1_024;

struct SharedBody<B>(Mutex<State<B>>);

struct State<B> {
    source: Source<B>,
    /// The frames that are kept; the first of them has the number `first`.
    frames: VecDeque<Kept>,
    first: usize,
    /// The size of all kept frames, at most `limit`.
    size: usize,
    limit: usize,
    /// Whether a further copy can be asked for, so that every frame has to be kept.
    keeping: bool,
    /// Whether the length was known before the body was sent for the first time.
    exact: bool,
    cursors: Vec<Cursor>,
}

enum Source<B> {
    Open(B),
    Ended,
    /// Failed, or panicked while it was polled.
    Broken,
}

#[derive(Clone)]
enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// Where one reader stands.
enum Cursor {
    At {
        next: usize,
        waker: Option<Waker>,
    },
    /// It can't go on.
    Lost,
    /// It was dropped.
    Gone,
}

type PolledFrame = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// Makes further copies. Dropping it lets go of all frames that no reader needs any more.
pub(super) struct Keeper<B>(Option<Arc<SharedBody<B>>>);

/// A copy for another attempt.
pub(super) enum BodyCopy<B> {
    /// The body has nothing to send.
    Empty,
    Kept(Reader<B>),
}

/// One copy of the body.
pub(super) struct Reader<B> {
    shared: Arc<SharedBody<B>>,
    cursor: usize,
}

impl<B> SharedBody<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        // a body that panicked left nothing half done: see `read_on`
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Keeper<B> {
    pub(super) fn new(body: B, limit: usize) -> (Reader<B>, Self)
    where
        B: Body,
    {
        let exact = body.size_hint().exact().is_some();
        let state = State {
            source: Source::Open(body),
            frames: VecDeque::new(),
            first: 0,
            size: 0,
            limit,
            keeping: true,
            exact,
            cursors: vec![Cursor::At { next: 0, waker: None }],
        };
        let shared = Arc::new(SharedBody(Mutex::new(state)));
        (Reader { shared: shared.clone(), cursor: 0 }, Self(Some(shared)))
    }

    /// Copies of a body that has nothing to send.
    pub(super) fn empty() -> Self {
        Self(None)
    }

    /// A copy for an attempt beside those that run; none when not all is kept any more.
    pub(super) fn beside(&self) -> Option<BodyCopy<B>> {
        self.copy(|_, _| Vec::new())
    }

    /// A copy for an attempt in the place of all others, whose bodies are lost.
    pub(super) fn instead(&self) -> Option<BodyCopy<B>> {
        self.copy(State::lose_all_but)
    }

    fn copy(&self, others: impl FnOnce(&mut State<B>, usize) -> Vec<Waker>) -> Option<BodyCopy<B>> {
        let Some(shared) = &self.0 else { return Some(BodyCopy::Empty) };
        let mut state = shared.lock();
        if !state.keeping || matches!(state.source, Source::Broken) {
            return None;
        }
        let cursor = state.new_cursor();
        let wakers = others(&mut state, cursor);
        drop(state);
        wake(wakers);
        Some(BodyCopy::Kept(Reader { shared: shared.clone(), cursor }))
    }
}

impl<B> Drop for Keeper<B> {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            let mut state = shared.lock();
            state.keeping = false;
            let freed = state.let_go();
            drop(state);
            drop(freed);
        }
    }
}

impl<B> State<B> {
    fn end(&self) -> usize {
        self.first + self.frames.len()
    }

    /// A place at the start, where a dropped reader was if there is one.
    fn new_cursor(&mut self) -> usize {
        let free = self.cursors.iter().position(|cursor| matches!(cursor, Cursor::Gone));
        let cursor = free.unwrap_or(self.cursors.len());
        if free.is_none() {
            self.cursors.push(Cursor::Gone);
        }
        self.cursors[cursor] = Cursor::At { next: 0, waker: None };
        cursor
    }

    /// A waker for the original that wakes, beside this reader, all others that wait for it: the last
    /// one to ask may not come back for what it asked for. None if no other waits.
    fn waker_of_all(&self, reader: usize, own: &Waker) -> Option<Waker> {
        let others = self.cursors.iter().enumerate().filter(|(at, _)| *at != reader);
        let mut wakers: Vec<_> = others
            .filter_map(|(_, cursor)| match cursor {
                Cursor::At { waker, .. } => waker.clone(),
                _ => None,
            })
            .collect();
        if wakers.is_empty() {
            return None;
        }
        wakers.push(own.clone());
        Some(Arc::new(WakeAll(wakers)).into())
    }

    /// Takes all wakers of readers that stand at the end of what is kept.
    fn waiters(&mut self) -> Vec<Waker> {
        self.cursors
            .iter_mut()
            .filter_map(|cursor| match cursor {
                Cursor::At { waker, .. } => waker.take(),
                _ => None,
            })
            .collect()
    }

    fn lose_all_but(&mut self, reader: usize) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for (_, cursor) in self.cursors.iter_mut().enumerate().filter(|(at, _)| *at != reader) {
            if let Cursor::At { waker, .. } = cursor {
                wakers.extend(waker.take());
                *cursor = Cursor::Lost;
            }
        }
        wakers
    }

    /// Removes the frames that nobody can ask for any more, to be dropped outside of the lock.
    fn let_go(&mut self) -> Vec<Kept> {
        if self.keeping {
            return Vec::new();
        }
        let needed = self.cursors.iter().filter_map(|cursor| match cursor {
            Cursor::At { next, .. } => Some(*next),
            _ => None,
        });
        let done = needed.min().unwrap_or(usize::MAX).saturating_sub(self.first);
        let freed: Vec<_> = self.frames.drain(..done.min(self.frames.len())).collect();
        self.first += freed.len();
        self.size -= freed.iter().map(Kept::size).sum::<usize>();
        freed
    }

    /// Keeps a frame that one reader has just taken from the original, if anybody may ask for it.
    /// Returns the readers to wake.
    fn keep(&mut self, frame: &Frame<Bytes>, reader: usize) -> Vec<Waker> {
        let others =
            |(at, cursor): (usize, &Cursor)| at != reader && matches!(cursor, Cursor::At { .. });
        let kept = Kept::of(frame);
        if !self.keeping && !self.cursors.iter().enumerate().any(others) {
            self.first += 1;
            return Vec::new();
        }
        let fits = self.size.saturating_add(kept.size()) <= self.limit;
        if fits && self.frames.len() < MOST_FRAMES {
            self.size += kept.size();
            self.frames.push_back(kept);
            return self.waiters();
        }
        self.keeping = false;
        // stands for the frame that is not kept; `let_go` sees to the others
        self.first += 1;
        self.lose_all_but(reader)
    }
}

impl<B> State<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    fn read(&mut self, reader: usize, cx: &mut Context<'_>) -> (PolledFrame, Vec<Waker>) {
        let Cursor::At { next, .. } = &mut self.cursors[reader] else {
            return (Poll::Ready(Some(Err(lost()))), Vec::new());
        };
        if let Some(kept) = self.frames.get(*next - self.first) {
            *next += 1;
            return (Poll::Ready(Some(Ok(kept.clone().into_frame()))), Vec::new());
        }
        let next = *next;
        // taken out while it is polled: if it panics, it is not polled again
        let source = std::mem::replace(&mut self.source, Source::Broken);
        let Source::Open(mut body) = source else {
            let ended = matches!(source, Source::Ended);
            self.source = source;
            return (Poll::Ready(if ended { None } else { Some(Err(lost())) }), Vec::new());
        };
        let all = self.waker_of_all(reader, cx.waker());
        let source_cx = &mut Context::from_waker(all.as_ref().unwrap_or(cx.waker()));
        // its data is read here as well, which may panic too
        let polled = Pin::new(&mut body).poll_frame(source_cx).map_ok(in_bytes);
        let waker = polled.is_pending().then(|| cx.waker().clone());
        self.cursors[reader] = Cursor::At { next, waker };
        match polled {
            Poll::Pending => {
                self.source = Source::Open(body);
                (Poll::Pending, Vec::new())
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.source = Source::Open(body);
                // one without data adds nothing, and endlessly many of them would add up
                let wakers = if frame.data_ref().is_some_and(Bytes::is_empty) {
                    self.waiters()
                } else {
                    self.cursors[reader] = Cursor::At { next: next + 1, waker: None };
                    self.keep(&frame, reader)
                };
                (Poll::Ready(Some(Ok(frame))), wakers)
            }
            Poll::Ready(Some(Err(error))) => (Poll::Ready(Some(Err(error.into()))), self.waiters()),
            Poll::Ready(None) => {
                self.source = Source::Ended;
                (Poll::Ready(None), self.waiters())
            }
        }
    }
}

impl<B> Reader<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> PolledFrame {
        let mut state = self.shared.lock();
        let kept_before = state.keeping;
        let (frame, wakers) = state.read(self.cursor, cx);
        let too_long = (kept_before && !state.keeping).then_some(state.limit);
        let freed = state.let_go();
        drop(state);
        wake(wakers);
        drop(freed);
        if let Some(limit) = too_long {
            tracing::debug!(target: "tower_failover::replay", limit, "body too long to keep");
        }
        frame
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.shared.lock();
        match &state.cursors[self.cursor] {
            Cursor::At { next, .. } if *next == state.end() => match &state.source {
                Source::Open(body) => body.is_end_stream(),
                Source::Ended => true,
                Source::Broken => false,
            },
            _ => false,
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let state = self.shared.lock();
        let Cursor::At { next, .. } = &state.cursors[self.cursor] else { return SizeHint::new() };
        let kept = state.frames.iter().skip(*next - state.first).map(Kept::data_size);
        let kept = kept.fold(0_u64, |sum, size| sum.saturating_add(size as u64));
        let rest = match &state.source {
            Source::Open(body) => body.size_hint(),
            Source::Ended => SizeHint::with_exact(0),
            Source::Broken => SizeHint::new(),
        };
        let lower = rest.lower().saturating_add(kept);
        let mut hint = SizeHint::new();
        hint.set_lower(lower);
        // a length that is known only now would change how the body is framed, and lose its trailers
        let upper = rest.upper().and_then(|upper| upper.checked_add(kept));
        if let Some(upper) = upper.filter(|upper| state.exact || *upper != lower) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> Drop for Reader<B> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.cursors[self.cursor] = Cursor::Gone;
        let freed = state.let_go();
        // it may have been this reader whom the original would have woken
        let wakers = state.waiters();
        drop(state);
        drop(freed);
        wake(wakers);
    }
}

impl Kept {
    fn of(frame: &Frame<Bytes>) -> Self {
        match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Self::Data(data.clone()),
            (None, trailers) => Self::Trailers(trailers.cloned().unwrap_or_default()),
        }
    }

    fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }

    /// What it counts against the limit.
    fn size(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(trailers) => {
                trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
            }
        }
    }

    fn data_size(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
        }
    }
}

/// The frame with its data in `Bytes`, which costs nothing where it is there already.
pub(super) fn in_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

struct WakeAll(Vec<Waker>);

impl Wake for WakeAll {
    fn wake(self: Arc<Self>) {
        self.0.iter().for_each(Waker::wake_by_ref);
    }
}

fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests;
