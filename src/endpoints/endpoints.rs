//! The handle of a set: what is in it, from outside.

use super::availability::Availability;
use super::config::SetConfig;
use super::content::{Changes, Content};
use super::endpoint::{Endpoint, EndpointInfo};
use super::failure_state::OutcomeCounts;
use super::gate::Beginning;
use super::health::Health;
use super::set::{Band, CHUNK, Member, Snapshot};
use super::set_state::SetState;
use super::situation::Situation;
use super::weight::Weight;
use crate::clock;
use crate::error::InvalidSetting;
use crate::ewma::Tick;
use crate::snapshot_cell::{Guard, SnapshotCell};
use crate::sync::{Mutex, MutexGuard};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A set of endpoints: made from [`Endpoint`]s, wrapped by a [`BalanceLayer`](crate::balance::BalanceLayer), and
/// changed while it serves.
///
/// ```
/// # use tower::service_fn;
/// use tower_failover::balance::{Endpoint, Endpoints};
///
/// # let service = |_: &str| service_fn(|_: ()| async { Ok::<_, std::io::Error>(()) });
/// let endpoints: Endpoints<_> = ["a", "b"].map(|name| Endpoint::new(name, service(name))).into_iter().collect();
/// endpoints.reweight("a", 3.0)?;
/// assert!(endpoints.drain("b"));
/// assert_eq!(endpoints.len(), 2);
/// # Ok::<(), tower_failover::InvalidSetting>(())
/// ```
///
/// # Clones
///
/// Clones are handles of one set.
pub struct Endpoints<S> {
    pub(crate) shared: Arc<EndpointSet<S>>,
}

pub(crate) struct EndpointSet<S> {
    pub(crate) set_state: Arc<SetState>,
    snapshot: SnapshotCell<Snapshot<S>>,
    content: Mutex<Content<S>>,
}

impl<S> EndpointSet<S> {
    pub(crate) fn snapshot(&self) -> Guard<Snapshot<S>> {
        self.snapshot.find()
    }

    /// Takes the settings of a layer for the whole set.
    pub(crate) fn tell(&self, config: SetConfig, zones: Arc<[Arc<str>]>) {
        let mut content = self.content.lock();
        if config.watches_successes() {
            content.members().for_each(|member| member.health.watch());
        }
        if zones != content.zones {
            content.zones = zones;
            let members = content.members().cloned().collect();
            content.arrange(members);
        }
        self.set_state.tell(config);
        self.publish(content, false);
    }

    /// `same`: those that were there serve as before, and those that are new serve.
    fn publish(&self, content: MutexGuard<'_, Content<S>>, same: bool) {
        let mut tiers: Vec<Vec<Band<S>>> = Vec::new();
        let mut last = None;
        for (&(tier, _), band) in &content.bands {
            if last != Some(tier) {
                tiers.push(Vec::new());
            }
            last = Some(tier);
            if let Some(bands) = tiers.last_mut() {
                bands.push(band.clone());
            }
        }
        let situation =
            if same { self.snapshot().situation.carried_on() } else { Situation::new() };
        let most = self.set_state.config().max_in_flight;
        self.snapshot.replace(Snapshot::new(tiers, situation, most));
        drop(content);
        self.set_state.waiters().wake();
    }

    fn member(
        &self,
        content: &mut Content<S>,
        warm: &mut HashMap<u8, bool>,
        endpoint: Endpoint<S>,
        now: Tick,
    ) -> Member<S> {
        let Endpoint { name, service, weight, tier, mut extras } = endpoint;
        if let Some(account) = extras.as_mut().and_then(|extras| extras.account.as_mut()) {
            match content.accounts.get(&account.name).and_then(Weak::upgrade) {
                Some(rest) => account.rest = rest,
                None => {
                    if content.accounts.len() == content.accounts.capacity() {
                        content.accounts.retain(|_, rest| rest.strong_count() > 0);
                    }
                    content.accounts.insert(account.name.clone(), Arc::downgrade(&account.rest));
                }
            }
        }
        let config = self.set_state.config();
        let ramps = !config.slow_start.is_zero()
            && *warm.entry(tier).or_insert_with(|| content.is_warm(tier));
        let info = EndpointInfo::new(name, weight, tier, extras);
        let health = Health::new(Beginning {
            watched: config.watches_successes(),
            has_account: info.rest().is_some(),
            limited: info.max_in_flight().is_some(),
            ramp: ramps.then_some((now, config.slow_start)),
        });
        Member { set_state: self.set_state.clone(), info, health, service }
    }

    fn now(&self) -> Tick {
        self.set_state.tick(clock::now())
    }

    /// All of them, also those that are drained.
    pub(crate) fn everybody(&self) -> Vec<Arc<Member<S>>> {
        let content = self.content.lock();
        content.members().chain(content.drained.iter()).cloned().collect()
    }
}

impl<S> Endpoints<S> {
    /// Makes an empty set.
    #[must_use]
    pub fn new() -> Self {
        let set_state = Arc::new(SetState::new(SetConfig::default(), clock::now()));
        let snapshot = Snapshot::new(Vec::new(), Situation::new(), u32::MAX);
        let content = Content {
            bands: BTreeMap::new(),
            drained: Band::default(),
            zones: Arc::default(),
            accounts: HashMap::new(),
        };
        let (snapshot, content) = (SnapshotCell::new(snapshot), Mutex::new(content));
        Self { shared: Arc::new(EndpointSet { set_state, snapshot, content }) }
    }

    /// Puts an endpoint in. One of the same name is replaced: calls to that go on, and how they end does
    /// not touch the new one. An endpoint that comes into a tier which serves already starts slowly, see
    /// [`slow_start`](crate::balance::BalanceLayer::slow_start).
    pub fn insert(&self, endpoint: Endpoint<S>) {
        self.apply([Edit::Insert(endpoint)]);
    }

    /// Takes an endpoint out; tells whether it was there. Calls to it go on.
    #[expect(clippy::must_use_candidate, reason = "most callers know")]
    pub fn remove(&self, name: &str) -> bool {
        self.apply([Edit::Remove(name.into())])
    }

    /// Gives an endpoint another weight; tells whether it is there.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::weight`].
    pub fn reweight(
        &self,
        name: &str,
        weight: impl TryInto<Weight, Error: Into<InvalidSetting>>,
    ) -> Result<bool, InvalidSetting> {
        let weight = weight.try_into().map_err(Into::into)?.get() as f32;
        let mut content = self.shared.content.lock();
        let Some(member) = content.get(name) else { return Ok(false) };
        member.info.set_weight(weight);
        for band in content.bands.values_mut().filter(|band| band.get(name).is_some()) {
            *band = band.reweighed(name);
        }
        self.shared.publish(content, true);
        Ok(true)
    }

    /// Sends no new calls to an endpoint; tells whether it was there and served. It stays in the set, and
    /// calls to it go on.
    #[expect(clippy::must_use_candidate, reason = "most callers know")]
    pub fn drain(&self, name: &str) -> bool {
        let mut content = self.shared.content.lock();
        let Some(member) = content.take(name) else { return false };
        content.drained = content.drained.with(member);
        self.shared.publish(content, true);
        true
    }

    /// Lets an endpoint serve again that was drained; tells whether it was.
    #[expect(clippy::must_use_candidate, reason = "most callers know")]
    pub fn undrain(&self, name: &str) -> bool {
        let mut content = self.shared.content.lock();
        let Some(member) = content.drained.get(name).cloned() else { return false };
        content.drained = content.drained.without(name);
        content.put(member);
        self.shared.publish(content, false);
        true
    }

    /// Returns how many endpoints there are, drained ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.content.lock().len()
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how the endpoints stand, by tier and name: plain data, each read at one moment.
    #[must_use]
    pub fn snapshot(&self) -> Vec<EndpointSnapshot> {
        let now = self.shared.now();
        let (mut members, drained): (Vec<_>, Vec<_>) = {
            let content = self.shared.content.lock();
            (content.members().cloned().collect(), content.drained.iter().cloned().collect())
        };
        let draining = members.len();
        members.extend(drained);
        let mut found: Vec<_> = members
            .iter()
            .enumerate()
            .map(|(at, member)| EndpointSnapshot::of(member, at >= draining, now))
            .collect();
        found.sort_by(|one, other| (one.tier, &one.name).cmp(&(other.tier, &other.name)));
        found
    }

    /// Makes some changes at once; tells whether there were any.
    pub(crate) fn apply(&self, edits: impl IntoIterator<Item = Edit<S>>) -> bool {
        // what makes them may run anything, and so nothing is locked yet
        let edits: Vec<_> = edits.into_iter().collect();
        let now = self.shared.now();
        let mut content = self.shared.content.lock();
        let (mut gone, mut warm) = (Vec::new(), HashMap::new());
        let mut changes: Changes<S> = BTreeMap::new();
        for edit in edits {
            let (name, new) = match edit {
                Edit::Insert(endpoint) => {
                    let name = endpoint.name.clone();
                    let member = self.shared.member(&mut content, &mut warm, endpoint, now);
                    (name, Some(Arc::new(member)))
                }
                Edit::Remove(name) => (name, None),
            };
            gone.extend(changes.insert(name, new).flatten());
        }
        let mut changed = changes.values().any(Option::is_some);
        if changes.len() * CHUNK > content.len() && changes.len() > 1 {
            gone.extend(content.change_many(changes));
        } else {
            gone.extend(changes.into_iter().filter_map(|(name, new)| content.change(&name, new)));
        }
        changed |= !gone.is_empty();
        if changed {
            gone.iter().for_each(|member| member.health.leave());
            self.shared.publish(content, true);
        }
        // services are dropped where nothing is locked, since that may run anything
        drop(gone);
        changed
    }
}

/// A change of a set.
pub(crate) enum Edit<S> {
    Insert(Endpoint<S>),
    Remove(Arc<str>),
}

impl<S> Extend<Endpoint<S>> for Endpoints<S> {
    fn extend<I: IntoIterator<Item = Endpoint<S>>>(&mut self, endpoints: I) {
        self.apply(endpoints.into_iter().map(Edit::Insert));
    }
}

impl<S> FromIterator<Endpoint<S>> for Endpoints<S> {
    fn from_iter<I: IntoIterator<Item = Endpoint<S>>>(endpoints: I) -> Self {
        let mut set = Self::new();
        set.extend(endpoints);
        set
    }
}

impl<S> Default for Endpoints<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Clone for Endpoints<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<S> fmt::Debug for Endpoints<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoints").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// How an endpoint stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointState {
    /// It serves.
    Available,
    /// It is new or was ejected, and gets a growing share.
    Ramp,
    /// It rests because it failed.
    Ejected,
    /// One call is out to see whether it is back.
    Trial,
    /// It rests because it asked to.
    Cooling,
    /// A probe found it down.
    Down,
    /// A probe found that calls to it can't go well until somebody does something.
    Misconfigured,
    /// It gets no new calls, since somebody said so.
    Draining,
}

impl EndpointState {
    /// A short name for events and pages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Ramp => "ramp",
            Self::Ejected => "ejected",
            Self::Trial => "trial",
            Self::Cooling => "cooling",
            Self::Down => "down",
            Self::Misconfigured => "misconfigured",
            Self::Draining => "draining",
        }
    }
}

/// What can be seen of an endpoint: plain data.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndpointSnapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Its tier.
    pub tier: u8,
    /// Its zone.
    pub zone: Option<Arc<str>>,
    /// Its weight.
    pub weight: f64,
    /// Whether it serves.
    pub state: EndpointState,
    /// The share of good answers of late, times what probes found: from 0 to 1.
    pub health: f64,
    /// Calls in flight, up to the ends of their bodies.
    pub in_flight: u32,
    /// The average of its latency.
    pub latency: Option<Duration>,
    /// For how long it rests: up to the end of its cool-down, or to its next trial.
    pub out_for: Option<Duration>,
    /// How often it was ejected, trials that failed included.
    pub ejections: u64,
    /// How its calls ended.
    pub counts: OutcomeCounts,
}

impl EndpointSnapshot {
    fn of<S>(member: &Arc<Member<S>>, drained: bool, now: Tick) -> Self {
        let (info, health) = (&member.info, &member.health);
        let availability = health.availability(member.endpoint_ref(), now);
        let until = match availability {
            Availability::Ejected(until) | Availability::Cools(until) => Some(until),
            _ => None,
        };
        let state = match availability {
            _ if drained => EndpointState::Draining,
            Availability::Serves => EndpointState::Available,
            Availability::Ramps(_) => EndpointState::Ramp,
            Availability::Ejected(_) if health.is_on_trial(now) => EndpointState::Trial,
            Availability::Ejected(_) => EndpointState::Ejected,
            Availability::Cools(_) | Availability::CoolTrial => EndpointState::Cooling,
            Availability::Down => EndpointState::Down,
            Availability::Never => EndpointState::Misconfigured,
        };
        Self {
            name: info.shared_name().clone(),
            tier: info.tier(),
            zone: info.zone_name().cloned(),
            weight: info.weight(),
            state,
            health: health.health(now).into(),
            in_flight: health.in_flight(),
            latency: health.latency(),
            out_for: until.map(|until| Duration::from_millis(until.saturating_sub(now))),
            ejections: health.ejections(),
            counts: health.outcome_counts(),
        }
    }
}
