//! Bodies that follow a script, of requests and of responses.

use crate::backend::Progress;
use crate::clock;
use crate::world::{Kind, Live, World};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;
use tower::BoxError;

pub(crate) type SimBody = UnsyncBoxBody<Bytes, BoxError>;

pub(crate) fn boxed<B>(body: B) -> SimBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    UnsyncBoxBody::new(body.map_err(Into::into))
}

/// A comment of an event stream.
pub(crate) const PING: &[u8] = b": ping\n\n";

/// A part of a body.
pub(crate) enum Item {
    Data(Bytes),
    Trailers(HeaderMap),
    Error,
    Hang,
    Panic,
    /// Comments without an end.
    Pings,
}

/// The parts of a body that are still to come, with the milliseconds before each.
pub(crate) type Items = VecDeque<(u64, Item)>;

pub(crate) struct Scripted {
    items: Items,
    sleep: Option<Pin<Box<Sleep>>>,
    progress: Progress,
    tells_end: bool,
    tells_size: bool,
    world: Arc<World>,
    kind: Kind,
    alive: Arc<()>,
    _live: Live,
}

impl Scripted {
    /// A body that keeps its end and its size to itself.
    pub(crate) fn new(world: &Arc<World>, kind: Kind, items: Items) -> Self {
        Self {
            items,
            sleep: None,
            progress: Progress::Open,
            tells_end: false,
            tells_size: false,
            world: world.clone(),
            kind,
            alive: Arc::default(),
            _live: Live::new(world, kind),
        }
    }

    /// Whether `is_end_stream` is true after the last item, before the end was polled.
    pub(crate) fn tells_end(mut self, tells: bool) -> Self {
        self.tells_end = tells;
        self
    }

    pub(crate) fn tells_size(mut self, tells: bool) -> Self {
        self.tells_size = tells;
        self
    }

    /// By which to know whether this body is alive.
    pub(crate) fn alive(&self) -> Weak<()> {
        Arc::downgrade(&self.alive)
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some((delay, item)) = self.items.front() else { return Poll::Ready(None) };
        if *delay > 0 {
            let time = clock::ms(*delay);
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(clock::sleep(time)));
            ready!(sleep.as_mut().poll(cx));
        }
        self.sleep = None;
        match item {
            Item::Hang => return Poll::Pending,
            Item::Panic => panic!("sim: panic in body"),
            Item::Pings => return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PING))))),
            Item::Data(_) | Item::Trailers(_) | Item::Error => {}
        }
        Poll::Ready(self.items.pop_front().map(|(_, item)| match item {
            Item::Data(data) => Ok(Frame::data(data)),
            Item::Trailers(trailers) => Ok(Frame::trailers(trailers)),
            _ => Err("sim: body broken".into()),
        }))
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let violation = match self.progress {
            Progress::Open => None,
            Progress::Polled => Some("body-polled-after-panic"),
            Progress::Over => Some("body-polled-after-end"),
        };
        if let Some(class) = violation {
            self.world.violate(class, format!("{:?}", self.kind));
        }
        self.progress = Progress::Polled;
        let polled = self.step(cx);
        self.progress = match &polled {
            Poll::Ready(None | Some(Err(_))) => Progress::Over,
            _ => Progress::Open,
        };
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.tells_end && self.items.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if !self.tells_size {
            return SizeHint::default();
        }
        let sizes = self.items.iter().map(|(_, item)| match item {
            Item::Data(data) => data.len() as u64,
            _ => 0,
        });
        SizeHint::with_exact(sizes.sum())
    }
}
