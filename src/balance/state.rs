//! A request on its way to an endpoint: chosen, held in reserve, or waited for.

use super::error::NoEndpoint;
use super::pick::{Ask, NoneNow};
use super::policy::{Allow, Core};
use super::set::{Member, Seat, Snapshot};
use crate::attempts::Luggage;
use crate::circuit::Admission;
use crate::classify::Evidence;
use crate::clock::Instant;
use crate::error::BoxError;
use crate::ewma::Tick;
use crate::outcome::Outcome;
use crate::record::{Ending, Ledger, Recorder};
use crate::replay::Carry;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A place that is held for a call which was not made yet; it is given back when it is dropped.
pub(super) struct Reserved<S: Send + Sync> {
    /// Taken when the call is made.
    member: Option<Arc<Member<S>>>,
    admission: Admission,
    pub(super) started: Instant,
    /// The service is at work in this very moment, or has panicked.
    inside: bool,
}

impl<S: Send + Sync> Reserved<S> {
    fn new(member: Arc<Member<S>>, admission: Admission, started: Instant) -> Self {
        member.health.begin();
        Self { member: Some(member), admission, started, inside: false }
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

    /// The call was made.
    #[inline]
    pub(super) fn seat<L: Luggage>(mut self, luggage: L) -> Option<Recorder<Seat<S>, L>>
    where
        S: 'static,
    {
        let member = self.member.take()?;
        Some(Recorder::new(Seat(member), self.admission, Some(self.started), luggage))
    }

    /// The service failed to become ready.
    #[cold]
    pub(super) fn settle(mut self, outcome: Outcome, evidence: Evidence) {
        if let Some(member) = self.member.take() {
            let started = Some(self.started);
            let ending = Ending { started, ..Ending::at_once(outcome, evidence) };
            member.settle(self.admission, &ending);
        }
    }
}

impl<S: Send + Sync> Drop for Reserved<S> {
    fn drop(&mut self) {
        if let Some(member) = self.member.take() {
            let outcome = if self.inside { Outcome::Failure } else { Outcome::Neutral };
            let ending = Ending { dropped: true, ..Ending::at_once(outcome, Evidence::default()) };
            member.settle(self.admission, &ending);
        }
    }
}

impl<S: Send + Sync> fmt::Debug for Reserved<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserved").field("member", &self.member).finish_non_exhaustive()
    }
}

/// A request that was not sent yet, and what it brings along.
pub(super) struct Unsent<Req, L> {
    pub(super) request: Req,
    pub(super) luggage: L,
}

impl<S: Send + Sync, C, P, A> Core<S, C, P, A> {
    /// The set's own number among all.
    fn id(&self) -> u64 {
        Arc::as_ptr(&self.shared) as usize as u64
    }

    /// Chooses an endpoint for a request: one that no attempt went to, if there is one.
    #[inline]
    pub(super) fn choose<Req, L>(
        &self,
        unsent: &Unsent<Req, L>,
        but: Option<&Reserved<S>>,
        started: Instant,
    ) -> Result<Reserved<S>, NoneNow>
    where
        L: Luggage,
        A: Allow<Req>,
    {
        let snapshot = self.shared.snapshot();
        let roster = &*self.shared.roster;
        let (now, mut draws) = (roster.tick(started), roster.draws());
        let allows = |member: &Arc<Member<S>>| {
            A::ALL || self.policy.allow.allows(&unsent.request, &member.info)
        };
        let Some(attempts) = unsent.luggage.attempts() else {
            let other = |member: &Arc<Member<S>>| {
                let same = but.and_then(Reserved::member);
                allows(member) && same.is_none_or(|same| !Arc::ptr_eq(member, same))
            };
            let ask = Ask { roster, now, allows: other, may_be_lost: true, last_hope: true };
            let (member, admission) = ask.pick(&snapshot, &mut draws)?;
            return Ok(Reserved::new(member, admission, started));
        };
        let tried = attempts.tried_of(self.id());
        let may_be_lost = attempts.may_follow();
        let fresh = |member: &Arc<Member<S>>| !tried.contains(&member.id()) && allows(member);
        let last_hope = tried.is_empty();
        let ask = Ask { roster, now, allows: fresh, may_be_lost, last_hope };
        let picked = match ask.pick(&snapshot, &mut draws) {
            // to choose another one beside one that is held, and to get that one again, helps nobody
            Err(none) if last_hope || but.is_some() => Err(none),
            Err(_) => Ask { roster, now, allows, may_be_lost, last_hope: true }
                .pick(&snapshot, &mut draws),
            picked => picked,
        };
        let (member, admission) = picked?;
        attempts.mark_tried(self.id(), member.id());
        let left = |other: &Arc<Member<S>>| !Arc::ptr_eq(other, &member) && fresh(other);
        attempts.set_untried_left(is_any_left(&snapshot, left, now));
        Ok(Reserved::new(member, admission, started))
    }

    /// When there may be an endpoint, from now.
    pub(super) fn error(&self, none: NoneNow, now: Instant) -> BoxError {
        let now = self.shared.roster.tick(now);
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
pub(super) fn hand_on<Req, P, L>(kind: &P, unsent: &mut Unsent<Req, L>, reader_inside: bool)
where
    P: Carry<Req>,
    L: Luggage,
{
    if let Some(attempts) = unsent.luggage.attempts().filter(|_| reader_inside) {
        kind.put(&mut unsent.request, attempts.clone());
    }
}
