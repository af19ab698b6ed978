//! What is rare: an endpoint that is not ready at once, and a request for which there is none.

use super::pick::{Choice, NoneNow};
use super::policy::{Allow, Balancer};
use super::state::{Reserved, reserve};
use crate::attempt::{CarryContext, Link, Recorder, RequestContext};
use crate::classify::{Classify, assess};
use crate::clock::{self, Instant, Sleep};
use crate::endpoints::{EndpointSet, Member};
use crate::error::BoxError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower_service::Service;

/// Callers that wait for the same endpoint are let go over this time at least.
const SPREAD: Duration = Duration::from_millis(100);

/// An endpoint's service, which is polled ready.
#[derive(Debug)]
pub(super) struct Opening<S: Send + Sync + 'static> {
    pub(super) reserved: Reserved<S>,
    pub(super) service: S,
}

/// The way to an endpoint that is ready.
pub(super) struct Late<S: Send + Sync + 'static> {
    first: Option<Opening<S>>,
    /// Beside the first one, as long as that is not ready.
    second: Option<Opening<S>>,
    /// Another one was looked for, found or not.
    looked: bool,
    /// Why the last one did not become ready, and which that was.
    failed: Option<(Arc<Member<S>>, BoxError)>,
    until: Option<Instant>,
    wait: Option<Wait<S>>,
    /// Others wait for room, and have their turn first.
    gives_way: bool,
}

// services are never pinned
impl<S: Send + Sync + 'static> Unpin for Late<S> {}

impl<S: Send + Sync + 'static> Late<S> {
    const fn new(first: Option<Opening<S>>, until: Option<Instant>) -> Self {
        Self {
            first,
            second: None,
            looked: false,
            failed: None,
            until,
            wait: None,
            gives_way: false,
        }
    }

    /// There is no endpoint, and one is waited for up to then. `gives_way`: there may be one, but others
    /// wait for it.
    pub(super) fn waiting(until: Instant, gives_way: bool) -> Self {
        Self { gives_way, ..Self::new(None, Some(until)) }
    }

    /// An endpoint was polled, and is not ready.
    #[cold]
    pub(super) fn after<C, P, A, Req>(
        balancer: &Balancer<S, C, P, A>,
        mut opening: Opening<S>,
        polled: Poll<Result<(), S::Error>>,
    ) -> Self
    where
        S: Service<Req>,
        S::Error: Into<BoxError>,
        C: Classify<S::Response, BoxError>,
    {
        let mut late = Self::new(None, None);
        match polled {
            Poll::Ready(Err(error)) => {
                late.unready::<C, P, A, Req>(balancer, opening, error.into())
            }
            _ => {
                opening.reserved.leave();
                late.first = Some(opening);
            }
        }
        late
    }

    fn unready<C, P, A, Req>(
        &mut self,
        balancer: &Balancer<S, C, P, A>,
        mut opening: Opening<S>,
        error: BoxError,
    ) where
        S: Service<Req>,
        C: Classify<S::Response, BoxError>,
    {
        let result: Result<&S::Response, _> = Err(&error);
        let (outcome, evidence) = assess(&balancer.policy.classify, result, None);
        let member = opening.reserved.in_flight().cloned();
        opening.reserved.settle(outcome, evidence);
        self.failed = member.map(|member| (member, error));
    }

    /// The endpoint that is ready first, and the link to it.
    pub(super) fn poll<C, P, A, Req>(
        &mut self,
        balancer: &Balancer<S, C, P, A>,
        request: &Req,
        context: &P::Context,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Opening<S>, Link), BoxError>>
    where
        S: Service<Req> + Clone,
        S::Error: Into<BoxError>,
        C: Classify<S::Response, BoxError>,
        P: CarryContext<Req>,
        A: Allow<Req>,
    {
        if std::mem::take(&mut self.gives_way) {
            // those that were woken before are polled before
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(ready) = self.poll_openings::<C, P, A, Req>(balancer, context, cx) {
                return Poll::Ready(Ok(ready));
            }
            let has_one = self.first.is_some() || self.second.is_some();
            if !self.looked && (has_one || self.failed.is_some()) {
                self.looked = true;
                let first = self.first.as_ref().and_then(|opening| opening.reserved.in_flight());
                let but = first.or(self.failed.as_ref().map(|(member, _)| member));
                let choice = balancer.choose_beside(request, context, clock::now(), but);
                if let Ok(choice) = choice {
                    self.second = Opening::new(choice);
                    continue;
                }
            }
            if has_one {
                return Poll::Pending;
            }
            if let Some((_, error)) = self.failed.take() {
                return Poll::Ready(Err(error));
            }
            ready!(self.wait_for_one(balancer, request, context, cx))?;
        }
    }

    /// Polls the endpoints that are not ready yet; returns the one that is.
    fn poll_openings<C, P, A, Req>(
        &mut self,
        balancer: &Balancer<S, C, P, A>,
        context: &P::Context,
        cx: &mut Context<'_>,
    ) -> Option<(Opening<S>, Link)>
    where
        S: Service<Req>,
        S::Error: Into<BoxError>,
        C: Classify<S::Response, BoxError>,
        P: CarryContext<Req>,
    {
        for second in [false, true] {
            let slot = if second { &mut self.second } else { &mut self.first };
            let Some(mut opening) = slot.take() else { continue };
            opening.reserved.enter();
            let (polled, link) = Link::listen(P::CARRIES, || opening.service.poll_ready(cx));
            match polled {
                Poll::Ready(Ok(())) => {
                    if let Some(loser) = self.first.take().or(self.second.take()) {
                        balancer.give_back(context, loser.reserved);
                    }
                    return Some((opening, link));
                }
                Poll::Ready(Err(error)) => {
                    self.unready::<C, P, A, Req>(balancer, opening, error.into());
                }
                Poll::Pending => {
                    opening.reserved.leave();
                    *slot = Some(opening);
                }
            }
        }
        None
    }

    /// Waits until there may be an endpoint, and takes it; pending for ever where nothing is waited for.
    fn wait_for_one<C, P, A, Req>(
        &mut self,
        balancer: &Balancer<S, C, P, A>,
        request: &Req,
        context: &P::Context,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), BoxError>>
    where
        S: Clone,
        P: CarryContext<Req>,
        A: Allow<Req>,
    {
        let Some(until) = self.until else { return Poll::Pending };
        let wait = self.wait.get_or_insert_with(|| Wait::new(&balancer.shared, until));
        loop {
            wait.listen(cx);
            let now = clock::now();
            match balancer.choose(request, context, now) {
                Ok(choice) => {
                    self.first = Opening::new(choice);
                    self.wait = None;
                    return Poll::Ready(Ok(()));
                }
                Err(none) if wait.is_over(now) => {
                    self.wait = None;
                    return Poll::Ready(Err(balancer.error(none, now)));
                }
                Err(none) => ready!(wait.sleep(none, now, cx)),
            }
        }
    }
}

impl<S: Clone + Send + Sync + 'static> Opening<S> {
    fn new(choice: Choice<S>) -> Option<Self> {
        let mut reserved = reserve(choice);
        // a panic of its `clone` is the endpoint's
        reserved.enter();
        let service = reserved.in_flight()?.service.clone();
        Some(Self { reserved, service })
    }
}

impl<S: Send + Sync + 'static> Opening<S> {
    /// The call that this recorder was made for, whose endpoint was asked and is not ready.
    pub(super) fn of<L: RequestContext>(
        recorder: &mut Recorder<Arc<Member<S>>, L>,
        service: S,
    ) -> Option<Self> {
        let mut reserved = reserve(recorder.take()?);
        // it has not said that it waits
        reserved.enter();
        Some(Self { reserved, service })
    }

    /// The call is made by this recorder; returns the service.
    pub(super) fn hand_over<L: RequestContext>(
        mut self,
        recorder: &mut Recorder<Arc<Member<S>>, L>,
    ) -> S {
        if let Some((member, admission)) = self.reserved.take() {
            recorder.go_to(member, admission, clock::now());
        }
        self.service
    }
}

impl<S: Send + Sync + 'static> fmt::Debug for Late<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late").field("wait", &self.wait).finish_non_exhaustive()
    }
}

/// The wait for an endpoint.
struct Wait<S> {
    shared: Arc<EndpointSet<S>>,
    number: u64,
    until: Instant,
    sleep: Pin<Box<Sleep>>,
    /// How much later than others it asks for an endpoint that comes back.
    jitter: f64,
    /// It waits for the end of a call.
    queued: bool,
}

impl<S> Wait<S> {
    fn new(shared: &Arc<EndpointSet<S>>, until: Instant) -> Self {
        let number = shared.set_state.waiters().number();
        let sleep = Box::pin(clock::sleep_until(until));
        let (shared, jitter) = (shared.clone(), shared.set_state.jitter());
        Self { shared, number, until, sleep, jitter, queued: false }
    }

    /// Before the look for an endpoint, so that no change in between is missed.
    fn listen(&self, cx: &Context<'_>) {
        let set_state = &self.shared.set_state;
        set_state.waiters().wait(self.number, cx.waker());
        set_state.room().wait(self.number, cx.waker());
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    fn queue(&mut self, queued: bool) {
        match (std::mem::replace(&mut self.queued, queued), queued) {
            (false, true) => self.shared.set_state.join_queue(),
            (true, false) => self.shared.set_state.leave_queue(),
            _ => {}
        }
    }

    /// Sleeps up to the time when there may be an endpoint.
    fn sleep(&mut self, none: NoneNow, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.queue(none.full);
        let set_state = &self.shared.set_state;
        if !none.full {
            // the end of a call tells that an endpoint is back, and not when it is this one's turn
            set_state.room().leave(self.number);
        }
        let until = none.soonest.map_or(self.until, |soonest| {
            let rest = Duration::from_millis(soonest.saturating_sub(set_state.tick(now)).max(1));
            let later = SPREAD.max(rest / 10).mul_f64(self.jitter);
            clock::after(now, rest.saturating_add(later)).min(self.until)
        });
        // one that was set before keeps its jitter
        if until < self.sleep.deadline() || self.sleep.deadline() <= now {
            self.sleep.as_mut().reset(until);
        }
        self.sleep.as_mut().poll(cx)
    }
}

impl<S> Drop for Wait<S> {
    fn drop(&mut self) {
        self.queue(false);
        self.shared.set_state.waiters().leave(self.number);
        self.shared.set_state.room().leave(self.number);
    }
}

impl<S> fmt::Debug for Wait<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("number", &self.number).finish_non_exhaustive()
    }
}
