//! What is in a set, as it is changed.

use super::cool_down::CoolDown;
use super::endpoint::EndpointInfo;
use super::set::{Band, Member};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

/// Who comes in the place of whom, by name.
pub(crate) type Changes<S> = BTreeMap<Arc<str>, Option<Arc<Member<S>>>>;

pub(crate) struct Content<S> {
    pub(crate) bands: BTreeMap<(u8, usize), Band<S>>,
    pub(crate) drained: Band<S>,
    /// The zones, nearest first.
    pub(crate) zones: Arc<[Arc<str>]>,
    pub(crate) accounts: HashMap<Arc<str>, Weak<CoolDown>>,
}

impl<S> Content<S> {
    pub(crate) fn zone(&self, info: &EndpointInfo) -> usize {
        let own = info.zone_name();
        let near = |zone: &Arc<str>| Some(zone) == own;
        self.zones.iter().position(near).unwrap_or(self.zones.len())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Member<S>>> {
        self.serving(name).or_else(|| self.drained.get(name))
    }

    pub(crate) fn serving(&self, name: &str) -> Option<&Arc<Member<S>>> {
        self.bands.values().find_map(|band| band.get(name))
    }

    pub(crate) fn put(&mut self, member: Arc<Member<S>>) {
        let key = (member.info.tier(), self.zone(&member.info));
        member.health.enroll(member.endpoint_ref());
        let band = self.bands.entry(key).or_default();
        *band = band.with(member);
    }

    /// Takes a member out of those that serve.
    pub(crate) fn take(&mut self, name: &str) -> Option<Arc<Member<S>>> {
        let (key, member) =
            self.bands.iter().find_map(|(key, band)| Some((*key, band.get(name)?.clone())))?;
        member.health.strike_off(member.endpoint_ref());
        let band = self.bands.entry(key).or_default();
        *band = band.without(name);
        if band.len() == 0 {
            self.bands.remove(&key);
        }
        Some(member)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Arc<Member<S>>> {
        if let Some(member) = self.take(name) {
            return Some(member);
        }
        let member = self.drained.get(name)?.clone();
        self.drained = self.drained.without(name);
        Some(member)
    }

    /// Makes the bands anew.
    pub(crate) fn arrange(&mut self, members: Vec<Arc<Member<S>>>) {
        let mut bands: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for member in members {
            let key = (member.info.tier(), self.zone(&member.info));
            bands.entry(key).or_default().push(member);
        }
        let by_name = |members: &mut Vec<Arc<Member<S>>>| {
            members.sort_by(|one, other| one.info.name().cmp(other.info.name()));
        };
        bands.values_mut().for_each(by_name);
        self.bands = bands.into_iter().map(|(key, band)| (key, Band::of(band))).collect();
    }

    /// Makes one change; returns who has gone.
    pub(crate) fn change(
        &mut self,
        name: &str,
        new: Option<Arc<Member<S>>>,
    ) -> Option<Arc<Member<S>>> {
        let gone = self.remove(name);
        if let Some(member) = new {
            self.put(member);
        }
        gone
    }

    /// Makes many changes, and copies what stays once.
    pub(crate) fn change_many(&mut self, changes: Changes<S>) -> Vec<Arc<Member<S>>> {
        let stays = |member: &Arc<Member<S>>| !changes.contains_key(member.info.name());
        let (mut members, mut gone): (Vec<_>, Vec<_>) = self.members().cloned().partition(stays);
        gone.iter().for_each(|member| member.health.strike_off(member.endpoint_ref()));
        let (drained, left): (Vec<_>, Vec<_>) = self.drained.iter().cloned().partition(stays);
        gone.extend(left);
        self.drained = Band::of(drained);
        for member in changes.into_values().flatten() {
            member.health.enroll(member.endpoint_ref());
            members.push(member);
        }
        self.arrange(members);
        gone
    }

    pub(crate) fn len(&self) -> usize {
        self.bands.values().map(Band::len).sum::<usize>() + self.drained.len()
    }

    pub(crate) fn is_warm(&self, tier: u8) -> bool {
        let bands = self.bands.range((tier, 0)..=(tier, usize::MAX));
        bands.flat_map(|(_, band)| band.iter()).any(|member| member.health.nanos() > 0.0)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Member<S>>> {
        self.bands.values().flat_map(Band::iter)
    }
}
