//! A request on its way to an endpoint: chosen, held in reserve, or waited for.

use super::error::NoEndpoint;
use super::pick::{Ask, Choice, NoneNow};
use super::policy::{Allow, Balancer};
use crate::attempt::CarryContext;
use crate::attempt::{AttemptObserver, Ending, Recorder};
use crate::attempt::{Attempts, RequestContext};
use crate::circuit::Admission;
use crate::classify::Evidence;
use crate::clock::{self, Instant};
use crate::endpoints::{Member, Snapshot};
use crate::error::BoxError;
use crate::ewma::Tick;
use crate::outcome::Outcome;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A endpoint that is held for a call which was not made yet; it is given back when it is dropped.
pub(super) struct Reserved<S: Send + Sync> {
    /// Taken when the call is made.
    member: Option<Arc<Member<S>>>,
    admission: Admission,
    /// The service is at work in this very moment, or has panicked.
    inside: bool,
}

impl<S: Send + Sync> Reserved<S> {
    pub(super) fn new((member, admission): Choice<S>) -> Self {
        Self { member: Some(member), admission, inside: false }
    }

    pub(super) fn member(&self) -> Option<&Arc<Member<S>>> {
        self.member.as_ref()
    }

    /// The service is about to work.
    #[inline]
    pub(super) fn enter(&mut self) {
        self.inside = true;
    }

    pub(super) fn leave(&mut self) {
        self.inside = false;
    }

    /// There was no room for it.
    #[cold]
    #[inline(never)]
    fn give_back(self) {}

    /// Somebody else holds the endpoint from now on.
    fn hand_over(mut self) {
        self.member = None;
    }

    /// The call that was to be made by this recorder, and is not ready to be.
    pub(super) fn of<L: RequestContext>(recorder: &mut Recorder<Arc<Member<S>>, L>) -> Option<Self>
    where
        S: 'static,
    {
        let (member, admission) = recorder.leave_seat()?;
        // its service was asked, and has not said that it waits
        Some(Self { member: Some(member), admission, inside: true })
    }

    /// The call is made.
    pub(super) fn sit_down<L: RequestContext>(mut self, recorder: &mut Recorder<Arc<Member<S>>, L>)
    where
        S: 'static,
    {
        if let Some(member) = self.member.take() {
            recorder.take_seat(member, self.admission, clock::now());
        }
    }

    /// The service failed to become ready; returns which that was.
    #[cold]
    pub(super) fn settle(mut self, outcome: Outcome, evidence: Evidence) -> Option<Arc<Member<S>>> {
        let member = self.member.take()?;
        member.settle(self.admission, &Ending::at_once(outcome, evidence));
        Some(member)
    }
}

impl<S: Send + Sync> Drop for Reserved<S> {
    fn drop(&mut self) {
        if let Some(member) = self.member.take() {
            if self.inside {
                let ending = Ending::at_once(Outcome::Failure, Evidence::default());
                member.settle(self.admission, &Ending { dropped: true, ..ending });
            } else {
                member.health.give_back(member.endpoint_ref(), self.admission, clock::now());
            }
        }
    }
}

impl<S: Send + Sync> fmt::Debug for Reserved<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserved").field("member", &self.member).finish_non_exhaustive()
    }
}

impl<S: Send + Sync, C, P, A> Balancer<S, C, P, A> {
    /// The set's own number among all.
    fn id(&self) -> u64 {
        Arc::as_ptr(&self.shared) as usize as u64
    }

    /// Chooses an endpoint for a request: one that no attempt went to, if there is one. The call counts as
    /// in flight from then on.
    #[inline]
    pub(super) fn choose<Req>(
        &self,
        request: &Req,
        context: &impl RequestContext,
        now: Instant,
    ) -> Result<Choice<S>, NoneNow>
    where
        A: Allow<Req>,
    {
        match context.attempts() {
            None => {
                let allows = |member: &Arc<Member<S>>| self.allows(request, member);
                self.choose_among(now, true, true, allows)
            }
            Some(attempts) => self.choose_untried(request, attempts, now, attempts.may_go_again()),
        }
    }

    /// Chooses another endpoint than this one, which is not ready.
    pub(super) fn choose_beside<Req>(
        &self,
        request: &Req,
        context: &impl RequestContext,
        now: Instant,
        but: Option<&Arc<Member<S>>>,
    ) -> Result<Choice<S>, NoneNow>
    where
        A: Allow<Req>,
    {
        if let Some(attempts) = context.attempts() {
            return self.choose_untried(request, attempts, now, false);
        }
        let others = |member: &Arc<Member<S>>| {
            but.is_none_or(|but| !Arc::ptr_eq(member, but)) && self.allows(request, member)
        };
        self.choose_among(now, true, true, others)
    }

    #[inline]
    fn allows<Req>(&self, request: &Req, member: &Member<S>) -> bool
    where
        A: Allow<Req>,
    {
        A::ALL || self.policy.allow.allows(request, &member.info)
    }

    #[inline]
    fn choose_among(
        &self,
        now: Instant,
        may_be_lost: bool,
        last_hope: bool,
        allows: impl Fn(&Arc<Member<S>>) -> bool,
    ) -> Result<Choice<S>, NoneNow> {
        let set_state = &*self.shared.set_state;
        let snapshot = self.shared.snapshot();
        let ask = Ask { set_state, now: set_state.tick(now), allows, may_be_lost, last_hope };
        loop {
            let choice = ask.pick(&snapshot, &mut set_state.draws())?;
            if choice.0.begin(snapshot.max_in_flight) {
                return Ok(choice);
            }
            Reserved::new(choice).give_back();
        }
    }

    /// `or_again`: one that was tried will do, if there is no other.
    fn choose_untried<Req>(
        &self,
        request: &Req,
        attempts: &Attempts,
        now: Instant,
        or_again: bool,
    ) -> Result<Choice<S>, NoneNow>
    where
        A: Allow<Req>,
    {
        let tried = attempts.tried_of(self.id());
        let untried =
            |member: &Arc<Member<S>>| !tried.contains(&member.id()) && self.allows(request, member);
        let (may_be_lost, only) = (attempts.may_follow(), tried.is_empty() || !or_again);
        let choice = match self.choose_among(now, may_be_lost, only, untried) {
            Err(_) if !only => {
                let allows = |member: &Arc<Member<S>>| self.allows(request, member);
                self.choose_among(now, may_be_lost, true, allows)?
            }
            choice => choice?,
        };
        let (member, admission) = choice;
        // gives the endpoint back if the filter panics when it is asked what is left
        let endpoint = Reserved::new((member.clone(), admission));
        let left = |other: &Arc<Member<S>>| !Arc::ptr_eq(other, &member) && untried(other);
        let tick = self.shared.set_state.tick(now);
        attempts.set_untried_left(is_any_left(&self.shared.snapshot(), left, tick));
        attempts.mark_tried(self.id(), member.id());
        endpoint.hand_over();
        Ok((member, admission))
    }

    /// A endpoint goes back, since another endpoint was ready first: it was not tried.
    #[cold]
    pub(super) fn give_back(&self, context: &impl RequestContext, endpoint: Reserved<S>) {
        if let Some((attempts, member)) = context.attempts().zip(endpoint.member()) {
            attempts.unmark_tried(self.id(), member.id());
            attempts.set_untried_left(true);
        }
    }

    /// When there may be an endpoint, from now.
    pub(super) fn error(&self, none: NoneNow, now: Instant) -> BoxError {
        let now = self.shared.set_state.tick(now);
        let after = |soonest: Tick| Duration::from_millis(soonest.saturating_sub(now));
        NoEndpoint::new(none.soonest.map(after)).into()
    }
}

/// Whether another attempt would find an endpoint.
fn is_any_left<S>(
    snapshot: &Snapshot<S>,
    left: impl Fn(&Arc<Member<S>>) -> bool,
    now: Tick,
) -> bool {
    snapshot.members().any(|member| left(member) && member.serves(now, snapshot.max_in_flight))
}

/// What a service inside reads of the record, if it does.
#[inline]
pub(super) fn hand_on<Req, P: CarryContext<Req>>(
    kind: &P,
    request: &mut Req,
    context: &P::Context,
    reader_inside: bool,
) {
    if let Some(attempts) = context.attempts().filter(|_| reader_inside) {
        kind.put_attempts(request, attempts.clone());
    }
}
