//! Which endpoint takes a request: all of it is a function of the snapshot, the time and the draws.

use crate::circuit::Admission;
use crate::endpoints::{Availability, Band, Load, Member, SetState, Snapshot, Tier, Weights};
use crate::ewma::{LAST_TICK, Tick};
use crate::rng::Draws;
use std::sync::Arc;

/// So many endpoints are drawn and compared; a set that is not larger is looked at whole.
const DRAWS: usize = 6;
/// Costs that differ by less are the same, and the first one drawn wins: so equal endpoints share by
/// weight, and one that is a little slower keeps its share.
const SAME: f32 = 0.9;
/// A median is taken from so many latencies, and for so many milliseconds.
const SAMPLES: usize = 32;
const TYPICAL_FOR: Tick = 250;

/// A request that wants an endpoint.
pub(super) struct Ask<'a, A> {
    pub(super) set_state: &'a SetState,
    pub(super) now: Tick,
    /// Which endpoints may have it.
    pub(super) allows: A,
    /// It can be sent again if it is lost, and so may be a trial.
    pub(super) may_be_lost: bool,
    /// An endpoint that cools down will do if there is nothing else.
    pub(super) last_hope: bool,
}

/// An endpoint, and the right of a call to it.
pub(super) type Choice<S> = (Arc<Member<S>>, Admission);

/// There is none; one may be there at that time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NoneNow {
    pub(super) soonest: Option<Tick>,
    /// One of them is at its limit.
    pub(super) full: bool,
}

impl<A> Ask<'_, A> {
    /// Chooses an endpoint.
    #[inline]
    pub(super) fn pick<S>(
        &self,
        snapshot: &Snapshot<S>,
        draws: &mut Draws,
    ) -> Result<Choice<S>, NoneNow>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        if self.set_state.typical_is_old(self.now) {
            set_typical(snapshot, self.set_state, self.now);
        }
        if snapshot.situation.is_well(self.set_state.changes(), self.now) {
            if let Some(tier) = snapshot.tiers.first() {
                let look = self.look(snapshot, tier, false);
                if let Some(choice) = tier.bands.first().and_then(|band| look.in_band(band, draws))
                {
                    return Ok(choice);
                }
            }
        }
        self.pick_with_care(snapshot, draws)
    }

    fn look<'a, S>(&'a self, snapshot: &Snapshot<S>, tier: &Tier<S>, panics: bool) -> Look<'a, A> {
        Look { ask: self, mean: tier.mean, most: snapshot.max_in_flight, panics }
    }

    /// Chooses an endpoint where some of them rest, or the nearest are at their limits.
    #[cold]
    #[inline(never)]
    fn pick_with_care<S>(
        &self,
        snapshot: &Snapshot<S>,
        draws: &mut Draws,
    ) -> Result<Choice<S>, NoneNow>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        let loads = snapshot.loads(self.set_state, self.now);
        if snapshot.situation.trial_is_due(self.now, self.may_be_lost) {
            if let Some(choice) = self.trial(snapshot) {
                return Ok(choice);
            }
        }
        let first = tier_of(&loads, (Draws::share(draws.next()) * 100.0) as u32);
        // the tier whose turn it is, and then the others in their order
        let others = (0..loads.len()).filter(|at| Some(*at) != first);
        for at in first.into_iter().chain(others) {
            let (tier, load) = (&snapshot.tiers[at], loads[at]);
            let look = self.look(snapshot, tier, load.panics);
            if let Some(choice) = tier.bands.iter().find_map(|band| look.in_band(band, draws)) {
                return Ok(choice);
            }
        }
        self.soonest(snapshot)
    }

    /// The right to see whether an endpoint that rested is back, if one of them is due.
    fn trial<S>(&self, snapshot: &Snapshot<S>) -> Option<Choice<S>>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        let due = |member: &Arc<Member<S>>| {
            let (endpoint, health) = (member.endpoint_ref(), &member.health);
            if health.is_plain() || member.is_full(snapshot.max_in_flight) {
                return None;
            }
            let admission = match health.availability(endpoint, self.now) {
                Availability::Ejected(next) => {
                    let tries = self.now >= self.due(member, next) && (self.allows)(member);
                    tries.then(|| health.trial(endpoint, self.now)).flatten()
                }
                Availability::CoolTrial if (self.allows)(member) => {
                    health.cool_trial(endpoint, self.now)
                }
                _ => None,
            };
            admission.map(|admission| (member.clone(), admission))
        };
        snapshot.members().find_map(due)
    }

    /// When an ejected endpoint may have this request as its trial, and any at `next`.
    fn due<S>(&self, member: &Member<S>, next: Tick) -> Tick {
        if self.may_be_lost { next } else { member.health.last_resort() }
    }

    /// Nothing is available. If all cool down, the soonest is tried by one call a second: no answer can
    /// make an outage.
    fn soonest<S>(&self, snapshot: &Snapshot<S>) -> Result<Choice<S>, NoneNow>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        let (mut soonest, mut cools) = (None, None);
        let (mut only_rests, mut full) = (true, false);
        for member in snapshot.members().filter(|member| (self.allows)(member)) {
            let is_full = member.is_full(snapshot.max_in_flight);
            full |= is_full;
            match member.health.availability(member.endpoint_ref(), self.now) {
                Availability::Cools(until) => {
                    if !is_full && cools.is_none_or(|(_, found)| until < found) {
                        cools = Some((member, until));
                    }
                    soonest = earlier(soonest, until);
                }
                Availability::Ejected(next) if !is_full => {
                    soonest = earlier(soonest, self.due(member, next));
                }
                Availability::Serves | Availability::Ramps(_) | Availability::CoolTrial => {
                    only_rests = false
                }
                Availability::Ejected(_) | Availability::Down | Availability::Never => {}
            }
        }
        if let Some((member, _)) = cools.filter(|_| only_rests && self.last_hope) {
            match self.set_state.take_last_hope(self.now) {
                Ok(()) => {
                    let admission = member.health.admission().unwrap_or(Admission::UNWATCHED);
                    return Ok((member.clone(), admission));
                }
                Err(next) => soonest = earlier(soonest, next),
            }
        }
        Err(NoneNow { soonest, full })
    }
}

fn earlier(one: Option<Tick>, other: Tick) -> Option<Tick> {
    Some(one.map_or(other, |one| one.min(other)))
}

/// The tier that takes this percent of the load.
fn tier_of(loads: &[Load], percent: u32) -> Option<usize> {
    let mut sum = 0;
    loads.iter().position(|load| {
        sum += load.percent;
        percent < sum
    })
}

/// A look at the members of one tier.
struct Look<'a, A> {
    ask: &'a Ask<'a, A>,
    mean: f32,
    most: u32,
    panics: bool,
}

struct Best<'a, S> {
    member: &'a Arc<Member<S>>,
    cost: f32,
    /// The weight of the first one.
    drawn: f32,
}

impl<A> Look<'_, A> {
    fn in_band<S>(&self, band: &Band<S>, draws: &mut Draws) -> Option<Choice<S>>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        for _ in 0..DRAWS {
            let found = match band.only_chunk() {
                None => self.drawn(band, draws),
                Some((members, weights)) => match weights.of_each() {
                    Some(weight) => {
                        let walk = weights.walk(draws, DRAWS).map(|at| &members[at]);
                        self.least(walk.clone(), weight).or_else(|| self.by_weight(walk, draws))
                    }
                    None if members.len() <= DRAWS => self.whole(members, weights, draws),
                    None => self.drawn(band, draws),
                },
            };
            let member = found.or_else(|| self.scan(band, draws))?;
            let in_panic = self.panics.then_some(Admission::UNWATCHED);
            // one that is ejected between the look and this is not asked again
            if let Some(admission) = member.health.admission().or(in_panic) {
                return Some((member.clone(), admission));
            }
        }
        None
    }

    /// Of members of the same weight the one that costs least, or the first of several that cost the same.
    /// None where that is not all there is to ask.
    #[inline(always)]
    fn least<'b, S: 'b>(
        &self,
        members: impl Iterator<Item = &'b Arc<Member<S>>>,
        weight: f32,
    ) -> Option<&'b Arc<Member<S>>>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        // looked up once, since what is shared may change at any time for all that is known to a compiler
        let Look { ask: Ask { set_state, now, allows, .. }, mean, most, .. } = self;
        let (now, mean, most) = (*now, *mean, *most);
        let (mut best, mut least) = (None, f32::INFINITY);
        for member in members {
            let health = &member.health;
            let in_flight = health.in_flight();
            if !health.is_plain() {
                return None;
            }
            if in_flight >= most || !allows(member) {
                continue;
            }
            let cost = full_cost(health.cost(set_state, now), in_flight, mean, weight);
            if cost < least {
                (best, least) = (Some(member), cost * SAME);
            }
        }
        best
    }

    /// Looks at all of them; the first is drawn by weight.
    fn whole<'b, S>(
        &self,
        members: &'b [Arc<Member<S>>],
        weights: &Weights,
        draws: &mut Draws,
    ) -> Option<&'b Arc<Member<S>>>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        let (first, mut best) = (0..DRAWS).find_map(|_| {
            let at = weights.draw(draws.next());
            Some((at, self.first(&members[at], draws)?))
        })?;
        // from a random one on, or what a sick one leaves would go to the one behind it
        let (before, after) = members.split_at(Draws::below(draws.next(), members.len()));
        for member in after.iter().chain(before) {
            if !std::ptr::eq(member, &members[first]) {
                self.compare(&mut best, member, draws);
            }
        }
        Some(best.member)
    }

    /// Draws some of many by weight; to look at one of them twice changes nothing.
    fn drawn<'b, S>(&self, band: &'b Band<S>, draws: &mut Draws) -> Option<&'b Arc<Member<S>>>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        let mut own = Draws::new(draws.next());
        let drawn = (0..DRAWS).map(|_| {
            let draw = own.next();
            band.draw(draw, || own.next())
        });
        self.by_weight(drawn, draws)
    }

    /// The one that costs least of those that were drawn by weight.
    fn by_weight<'b, S: 'b>(
        &self,
        drawn: impl Iterator<Item = &'b Arc<Member<S>>>,
        draws: &mut Draws,
    ) -> Option<&'b Arc<Member<S>>>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        let mut best = None;
        for member in drawn {
            match &mut best {
                None => best = self.first(member, draws),
                Some(best) => self.compare(best, member, draws),
            }
        }
        best.map(|best| best.member)
    }

    /// Every draw was out: looks from a random one on, so that bad luck never decides.
    #[cold]
    #[inline(never)]
    fn scan<'b, S>(&self, band: &'b Band<S>, draws: &mut Draws) -> Option<&'b Arc<Member<S>>>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        let start = Draws::below(draws.next(), band.len());
        let mut serving = band.from(start).filter(|member| self.weight(member).is_some());
        let first = serving.next()?;
        let mut best = self.best(first, self.weight(first)?);
        serving.take(DRAWS - 1).for_each(|member| self.compare(&mut best, member, draws));
        Some(best.member)
    }

    /// One that was drawn by weight, if it can be chosen; on a ramp only now and then.
    fn first<'b, S>(&self, member: &'b Arc<Member<S>>, draws: &mut Draws) -> Option<Best<'b, S>>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        let share = self.share(member)?;
        let taken = share >= 1.0 || Draws::share(draws.next()) < share;
        taken.then(|| self.best(member, share * member.info.weight_f32()))
    }

    fn best<'b, S>(&self, member: &'b Arc<Member<S>>, weight: f32) -> Best<'b, S> {
        Best { member, cost: self.cost(member, weight), drawn: weight }
    }

    /// Takes the other one if it costs less. One of a smaller weight is asked the less often: it has
    /// nothing to do most of the time, and would else get more than its share whenever others have.
    fn compare<'b, S>(&self, best: &mut Best<'b, S>, member: &'b Arc<Member<S>>, draws: &mut Draws)
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        let Some(weight) = self.weight(member) else { return };
        let part = weight / best.drawn;
        // a power of 1 leaves a canary of a hundredth too much in the simulation, and one of 2 too little to
        // the smallest of three
        if part < 1.0 && Draws::share(draws.next()) >= part * part.sqrt() {
            return;
        }
        let cost = self.cost(member, weight);
        if cost < best.cost * SAME {
            *best = Best { member, cost, ..*best };
        }
    }

    fn cost<S>(&self, member: &Member<S>, weight: f32) -> f32 {
        let slow = member.health.cost(self.ask.set_state, self.ask.now);
        full_cost(slow, member.health.in_flight(), self.mean, weight)
    }

    /// The weight of a member as far as its ramp has come; none where it can't be chosen.
    fn weight<S>(&self, member: &Arc<Member<S>>) -> Option<f32>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        Some(self.share(member)? * member.info.weight_f32())
    }

    /// The share of its weight with which a member can be chosen; none where it can't.
    #[inline]
    fn share<S>(&self, member: &Arc<Member<S>>) -> Option<f32>
    where
        A: Fn(&Arc<Member<S>>) -> bool,
    {
        let plain = member.health.is_plain();
        let share = if plain { 1.0 } else { self.share_with_care(member)? };
        let free = member.health.in_flight() < self.most;
        (free && (self.ask.allows)(member)).then_some(share)
    }

    #[inline(never)]
    fn share_with_care<S>(&self, member: &Member<S>) -> Option<f32> {
        let most = member.info.max_in_flight();
        if most.is_some_and(|most| member.health.in_flight() >= most) {
            return None;
        }
        match member.health.availability(member.endpoint_ref(), self.ask.now) {
            Availability::Serves => Some(1.0),
            Availability::Ramps(share) => Some(share),
            Availability::Ejected(_) | Availability::Down if self.panics => Some(1.0),
            _ => None,
        }
    }
}

/// `C = L · (1 + q/w) / h²`, of which `slow` is `L / h²`.
#[inline]
fn full_cost(slow: f32, in_flight: u32, mean: f32, weight: f32) -> f32 {
    slow + slow * in_flight as f32 * mean / weight
}

/// Takes the median of the latencies anew, from some members that lie evenly among all.
#[cold]
fn set_typical<S>(snapshot: &Snapshot<S>, set_state: &SetState, now: Tick) {
    let step = snapshot.len().div_ceil(SAMPLES).max(1);
    let (mut known, mut count) = ([0.0; SAMPLES], 0);
    let latencies = snapshot.members().step_by(step).map(|member| member.health.nanos());
    for (endpoint, nanos) in known.iter_mut().zip(latencies.filter(|nanos| *nanos > 0.0)) {
        *endpoint = nanos;
        count += 1;
    }
    let known = &mut known[..count];
    known.sort_unstable_by(f32::total_cmp);
    // the lower one of two: what is usual must not be what the slow one of a pair takes
    let median = known.get(count.saturating_sub(1) / 2).copied().unwrap_or(set_state.typical());
    set_state.set_typical(median, now.saturating_add(TYPICAL_FOR).min(LAST_TICK));
}
