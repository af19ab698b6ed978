//! A request on its way to an endpoint: chosen, held in reserve, or waited for.

use super::error::NoEndpoint;
use super::pick::{Ask, Choice, NoneNow};
use super::policy::{Allow, Balancer};
use crate::attempt::{Attempts, Recorder, RequestContext};
use crate::clock::Instant;
use crate::endpoints::{Member, Snapshot};
use crate::error::BoxError;
use crate::ewma::Tick;
use std::sync::Arc;
use std::time::Duration;

/// An endpoint that is held for a call which was not made yet. It is the recorder of a call that is not
/// polled: dropped, it gives its place back, or has failed where the service has panicked in the midst of
/// `poll_ready`.
pub(super) type Reserved<S> = Recorder<Arc<Member<S>>, ()>;

pub(super) fn reserve<S: Send + Sync + 'static>((member, admission): Choice<S>) -> Reserved<S> {
    Recorder::new(member, admission, None, ())
}

/// There was no room for it.
#[cold]
#[inline(never)]
fn give_back<S: Send + Sync + 'static>(choice: Choice<S>) {
    drop(reserve(choice));
}

impl<S: Send + Sync + 'static, C, P, A> Balancer<S, C, P, A> {
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
            give_back(choice);
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
        // gives the place back if the filter panics when it is asked what is left
        let mut reserved = reserve((member.clone(), admission));
        let left = |other: &Arc<Member<S>>| !Arc::ptr_eq(other, &member) && untried(other);
        let tick = self.shared.set_state.tick(now);
        attempts.set_untried_left(is_any_left(&self.shared.snapshot(), left, tick));
        attempts.mark_tried(self.id(), member.id());
        let _ = reserved.take();
        Ok((member, admission))
    }

    /// A place goes back, since another endpoint was ready first: it was not tried.
    #[cold]
    pub(super) fn give_back(&self, context: &impl RequestContext, reserved: Reserved<S>) {
        if let Some((attempts, member)) = context.attempts().zip(reserved.in_flight()) {
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
