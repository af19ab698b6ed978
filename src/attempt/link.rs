//! The link between a layer and the services inside of it that read the record of the attempts.

use super::attempts::Attempts;
use super::carry::CarryContext;
use super::context::RequestContext;
use super::reader;

/// Whether a service inside reads the record: found out whenever that is polled ready, and true for the call
/// after it.
///
/// A record is made only for a reader, and given only to one, so that none gets to the client or to a handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    reader_inside: bool,
}

impl Link {
    /// Of a service that was not polled ready.
    pub(crate) const NONE: Self = Self { reader_inside: false };

    /// Polls the service inside ready, for a layer that reads the record itself and says so to those outside.
    /// `carries`: whether requests of this kind can carry a record; otherwise nobody listens.
    #[inline]
    pub(crate) fn poll_ready<T>(&mut self, carries: bool, poll_ready: impl FnOnce() -> T) -> T {
        let (polled, link) = Self::listen(carries, poll_ready);
        *self = link;
        Self::announce(carries);
        polled
    }

    /// Polls a service ready in the midst of a call, when nobody outside listens.
    #[inline]
    pub(crate) fn listen<T>(carries: bool, poll_ready: impl FnOnce() -> T) -> (T, Self) {
        if !carries {
            return (poll_ready(), Self::NONE);
        }
        let (polled, reader_inside) = reader::listen(poll_ready);
        (polled, Self { reader_inside })
    }

    /// Says to those outside that this layer reads the record.
    #[inline]
    pub(crate) fn announce(carries: bool) {
        if carries {
            reader::announce();
        }
    }

    /// Whether a service inside reads the record.
    #[inline]
    pub(crate) const fn has_reader(self) -> bool {
        self.reader_inside
    }

    /// Opens a record for a reader inside, where nobody outside has opened one.
    #[inline]
    pub(crate) fn open(self, context: &mut impl RequestContext) {
        if self.reader_inside {
            context.open();
        }
    }

    /// Puts a record into the request for a reader inside; it is made only for one.
    #[inline]
    pub(crate) fn put<Req>(
        self,
        kind: &impl CarryContext<Req>,
        request: &mut Req,
        record: impl FnOnce() -> Option<Attempts>,
    ) {
        if !self.reader_inside {
            return;
        }
        if let Some(record) = record() {
            kind.put_attempts(request, record);
        }
    }
}
