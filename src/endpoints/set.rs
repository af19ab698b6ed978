//! The set as one moment has it. Changes make another snapshot, which shares with the one before all
//! that is the same: members stand in chunks, and only the chunk of the changed one is copied.

use super::availability::Availability;
use super::endpoint::EndpointInfo;
use super::endpoint_ref::EndpointRef;
use super::health::Health;
use super::set_state::SetState;
use super::situation::{Situation, Survey};
use super::tiers::Load;
use super::weights::Weights;
use crate::attempt::{AttemptObserver, Ending};
use crate::circuit::Admission;
use crate::clock::{self, Instant};
use crate::ewma::Tick;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// So many members are copied for one change; one draw finds any of them.
pub(crate) const CHUNK: usize = 1_024;

/// An endpoint that is in the set, or was when a call to it began.
// in this order, so that what a call writes stands in one line with the count of the `Arc` before it
#[repr(C)]
pub(crate) struct Member<S> {
    pub(crate) health: Health,
    pub(crate) set_state: Arc<SetState>,
    pub(crate) info: EndpointInfo,
    pub(crate) service: S,
}

impl<S> Member<S> {
    #[inline]
    pub(crate) fn endpoint_ref(&self) -> EndpointRef<'_> {
        let (name, tier, account) = (self.info.name(), self.info.tier(), self.info.rest());
        EndpointRef { set_state: &self.set_state, name, tier, account }
    }

    /// Whether it can be chosen.
    pub(crate) fn serves(&self, now: Tick, most: u32) -> bool {
        let availability = self.health.availability(self.endpoint_ref(), now);
        !self.is_full(most) && matches!(availability, Availability::Serves | Availability::Ramps(_))
    }

    /// Whether it is at its limit, or at that of all.
    pub(crate) fn is_full(&self, most: u32) -> bool {
        self.health.in_flight() >= self.limit(most)
    }

    #[inline]
    fn limit(&self, most: u32) -> u32 {
        if self.health.is_plain() {
            return most;
        }
        self.info.max_in_flight().map_or(most, |own| own.min(most))
    }

    /// Counts a call; tells whether there is room for it, which another thread may just have taken.
    #[inline]
    pub(crate) fn begin(&self, most: u32) -> bool {
        let before = self.health.begin();
        before < most && (self.health.is_plain() || before < self.limit(most))
    }

    /// Unlike any other while it is in use.
    pub(crate) fn id(self: &Arc<Self>) -> u64 {
        Arc::as_ptr(self) as usize as u64
    }
}

impl<S: Send + Sync> AttemptObserver for Member<S> {
    fn answered(&self, admission: Admission, started: Option<Instant>, head: Instant) {
        self.health.answered(self.endpoint_ref(), admission, started, head);
    }

    #[inline]
    fn succeeded(&self, admission: &Admission, started: &Option<Instant>) {
        self.health.succeeded(self.endpoint_ref(), *admission, *started, clock::now());
    }

    #[cold]
    fn settle(&self, admission: Admission, ending: &Ending) {
        self.health.settle(self.endpoint_ref(), admission, ending, clock::now());
    }

    fn hang_after(&self) -> Option<Duration> {
        self.set_state.config().hang_after.time(|| self.health.latency())
    }

    fn body_hang_after(&self) -> Option<Duration> {
        self.set_state.config().body_hang_after
    }
}

impl<S> fmt::Debug for Member<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("info", &self.info).field("health", &self.health).finish()
    }
}

/// Some members of a band, by name.
struct Chunk<S> {
    members: Box<[Arc<Member<S>>]>,
    weights: Weights,
}

impl<S> Chunk<S> {
    fn new(members: Vec<Arc<Member<S>>>) -> Arc<Self> {
        let weights = Weights::new(members.iter().map(|member| member.info.weight()));
        Arc::new(Self { members: members.into(), weights })
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.members.binary_search_by(|member| member.info.name().cmp(name))
    }
}

/// The members of a tier that are equally near, by name.
pub(crate) struct Band<S> {
    chunks: Arc<[Arc<Chunk<S>>]>,
    weights: Arc<Weights>,
    len: usize,
}

impl<S> Band<S> {
    fn new(chunks: Vec<Arc<Chunk<S>>>) -> Self {
        let weights = Weights::new(chunks.iter().map(|chunk| chunk.weights.sum()));
        let len = chunks.iter().map(|chunk| chunk.members.len()).sum();
        Self { chunks: chunks.into(), weights: Arc::new(weights), len }
    }

    /// `members` in the order of their names.
    pub(crate) fn of(members: Vec<Arc<Member<S>>>) -> Self {
        // half full where there are several, so that there is room for others
        let size = if members.len() > CHUNK { CHUNK / 2 } else { CHUNK };
        let mut members = members.into_iter().peekable();
        let mut chunks = Vec::new();
        while members.peek().is_some() {
            chunks.push(Chunk::new(members.by_ref().take(size).collect()));
        }
        Self::new(chunks)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn weight(&self) -> f64 {
        self.weights.sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Member<S>>> + Clone {
        self.chunks.iter().flat_map(|chunk| chunk.members.iter())
    }

    /// All members, from this one on and round.
    pub(crate) fn from(&self, start: usize) -> impl Iterator<Item = &Arc<Member<S>>> {
        self.iter().cycle().skip(start).take(self.len)
    }

    #[inline]
    pub(crate) fn draw(&self, draw: u64, again: impl FnOnce() -> u64) -> &Arc<Member<S>> {
        match &*self.chunks {
            [only] => &only.members[only.weights.draw(draw)],
            chunks => {
                let chunk = &chunks[self.weights.draw(draw)];
                &chunk.members[chunk.weights.draw(again())]
            }
        }
    }

    /// The members of a band of one chunk, and their weights.
    #[inline]
    pub(crate) fn only_chunk(&self) -> Option<(&[Arc<Member<S>>], &Weights)> {
        match &*self.chunks {
            [only] => Some((&only.members, &only.weights)),
            _ => None,
        }
    }

    /// The chunk in which a name belongs.
    fn chunk(&self, name: &str) -> usize {
        let after = |chunk: &Arc<Chunk<S>>| match chunk.members.first() {
            Some(first) => first.info.name().cmp(name) == Ordering::Greater,
            None => false,
        };
        self.chunks.partition_point(|chunk| !after(chunk)).saturating_sub(1)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Member<S>>> {
        let chunk = self.chunks.get(self.chunk(name))?;
        chunk.find(name).ok().map(|at| &chunk.members[at])
    }

    pub(crate) fn with(&self, member: Arc<Member<S>>) -> Self {
        let at = self.chunk(member.info.name());
        let Some(chunk) = self.chunks.get(at) else { return Self::of(vec![member]) };
        let mut members = chunk.members.to_vec();
        match chunk.find(member.info.name()) {
            Ok(same) => members[same] = member,
            Err(endpoint) => members.insert(endpoint, member),
        }
        self.replaced(at, members)
    }

    pub(crate) fn without(&self, name: &str) -> Self {
        let at = self.chunk(name);
        let mut members =
            self.chunks.get(at).map(|chunk| chunk.members.to_vec()).unwrap_or_default();
        members.retain(|member| member.info.name() != name);
        self.replaced(at, members)
    }

    /// The weight of one of them has changed.
    pub(crate) fn reweighed(&self, name: &str) -> Self {
        let at = self.chunk(name);
        let members = self.chunks.get(at).map(|chunk| chunk.members.to_vec());
        self.replaced(at, members.unwrap_or_default())
    }

    fn replaced(&self, at: usize, mut members: Vec<Arc<Member<S>>>) -> Self {
        let mut chunks = self.chunks.to_vec();
        let tail = if members.len() > CHUNK { members.split_off(CHUNK / 2) } else { Vec::new() };
        let new = [members, tail].into_iter().filter(|members| !members.is_empty()).map(Chunk::new);
        let end = (at + 1).min(chunks.len());
        chunks.splice(at..end, new);
        Self::new(chunks)
    }
}

impl<S> Clone for Band<S> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), weights: self.weights.clone(), len: self.len }
    }
}

impl<S> Default for Band<S> {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

/// The bands of a tier, the nearest first.
pub(crate) struct Tier<S> {
    pub(crate) bands: Box<[Band<S>]>,
    /// The mean weight of its members.
    pub(crate) mean: f32,
}

impl<S> Tier<S> {
    fn new(bands: Vec<Band<S>>) -> Self {
        let count: usize = bands.iter().map(Band::len).sum();
        let sum: f64 = bands.iter().map(Band::weight).sum();
        Self { bands: bands.into(), mean: (sum / count.max(1) as f64) as f32 }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Member<S>>> {
        self.bands.iter().flat_map(Band::iter)
    }
}

/// All that a pick looks at.
pub(crate) struct Snapshot<S> {
    pub(crate) tiers: Box<[Tier<S>]>,
    pub(crate) situation: Situation,
    pub(crate) max_in_flight: u32,
}

impl<S> Snapshot<S> {
    /// `tiers`: their bands, none of which is empty.
    pub(crate) fn new(tiers: Vec<Vec<Band<S>>>, situation: Situation, max_in_flight: u32) -> Self {
        Self { tiers: tiers.into_iter().map(Tier::new).collect(), situation, max_in_flight }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Member<S>>> {
        self.tiers.iter().flat_map(Tier::members)
    }

    /// The loads of the tiers.
    pub(crate) fn loads(&self, set_state: &SetState, now: Tick) -> Arc<[Load]> {
        let size = (self.tiers.len(), self.len());
        self.situation.loads(set_state.changes(), now, size, || {
            self.survey(Survey::new(set_state.config().panic_threshold), now)
        })
    }

    fn survey(&self, mut survey: Survey, now: Tick) -> Survey {
        for tier in &self.tiers {
            let endpoints = tier.members().map(|member| {
                let availability = member.health.availability(member.endpoint_ref(), now);
                (availability, member.health.last_resort())
            });
            survey.add_tier(endpoints, now);
        }
        survey
    }

    pub(crate) fn len(&self) -> usize {
        self.tiers.iter().flat_map(|tier| tier.bands.iter()).map(Band::len).sum()
    }
}

impl<S> fmt::Debug for Snapshot<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("endpoints", &self.len()).finish_non_exhaustive()
    }
}
