//! The backup's turn.

use super::error::BackupTimeout;
use crate::attempt::Link;
use crate::budget::Withdrawal;
use crate::clock::{self, Instant, Sleep};
use crate::error::BoxError;
use crate::outcome::Outcome;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

pin_project! {
    /// The call of the backup. It stands apart, in memory of its own, since most requests never need
    /// it and would carry it from hand to hand.
    pub(super) struct Standby<T, F, Request, Res> {
        #[pin]
        call: Call<T, F>,
        until: Instant,
        // armed when the backup is first waited for
        #[pin]
        limit: Option<Sleep>,
        pub(super) switch: Switch<Request, Res>,
    }
}

pin_project! {
    #[project = CallProjected]
    enum Call<T, F> {
        // it is asked whether it is ready
        Ready { backup: T },
        // and called
        Called { #[pin] future: F },
    }
}

/// Why the backup stands in, and what for.
pub(super) struct Switch<Request, Res> {
    pub(super) because: Outcome,
    /// The first result, as far as it may still be told.
    pub(super) first: Option<Result<Res, BoxError>>,
    /// The first service did none of the work.
    pub(super) untouched: bool,
    /// The request was sent to the first service.
    pub(super) sent: bool,
    /// What the backup will be sent, and what pays for it.
    pub(super) request: Option<Request>,
    pub(super) withdrawal: Option<Withdrawal>,
}

impl<T, F, Request, Res> Standby<T, F, Request, Res> {
    pub(super) fn new(backup: T, until: Instant, switch: Switch<Request, Res>) -> Self {
        Self { call: Call::Ready { backup }, until, limit: None, switch }
    }

    /// Polls the backup ready, calls it with the request that `send` has written the last words into,
    /// and returns its result, or an error when its time is up. A result that is there in time wins.
    pub(super) fn poll_call<E>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        within: Duration,
        send: impl FnOnce(&mut Request, &Switch<Request, Res>, Link),
    ) -> Poll<Result<T::Response, BoxError>>
    where
        T: Service<Request, Error = E, Future = F>,
        F: Future<Output = Result<T::Response, E>>,
        E: Into<BoxError>,
    {
        let mut this = self.project();
        if let CallProjected::Ready { backup } = this.call.as_mut().project() {
            match Link::listen(true, || backup.poll_ready(cx)) {
                (Poll::Ready(Ok(())), link) => {
                    // taken already only if the call panicked
                    let Some(mut request) = this.switch.request.take() else {
                        return Poll::Pending;
                    };
                    if let Some(withdrawal) = this.switch.withdrawal.take() {
                        withdrawal.spend();
                    }
                    send(&mut request, this.switch, link);
                    let future = backup.call(request);
                    this.call.set(Call::Called { future });
                }
                (Poll::Ready(Err(error)), _) => return Poll::Ready(Err(error.into())),
                (Poll::Pending, _) => {}
            }
        }
        if let CallProjected::Called { future } = this.call.as_mut().project() {
            if let Poll::Ready(result) = future.poll(cx) {
                return Poll::Ready(result.map_err(Into::into));
            }
        }
        if this.limit.is_none() {
            this.limit.set(Some(clock::sleep_until(*this.until)));
        }
        match this.limit.as_pin_mut().map(|limit| limit.poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(Err(BackupTimeout::new(within).into())),
            _ => Poll::Pending,
        }
    }

    /// Takes what is told about the first result.
    pub(super) fn take_first(self: Pin<&mut Self>) -> Option<Result<Res, BoxError>> {
        self.project().switch.first.take()
    }
}
