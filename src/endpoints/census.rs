//! How many endpoints each tier has, and how many of them are ejected.

use crate::ratio::Ratio;
use crate::sync::Mutex;
use std::collections::BTreeMap;

/// The endpoints that are not drained, by tier. Its lock orders ejections, drains and returns among each
/// other, so that each endpoint is counted once as ejected; it is taken when one of those happens.
#[derive(Debug, Default)]
pub(crate) struct Census(Mutex<BTreeMap<u8, Count>>);

/// The endpoints of a tier that are not drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) endpoints: u32,
    pub(crate) ejected: u32,
}

impl Count {
    fn serving(self) -> u32 {
        self.endpoints.saturating_sub(self.ejected)
    }
}

impl Census {
    /// Counts an endpoint; `ejected` is asked where no other one can be ejected or leave.
    pub(crate) fn enroll(&self, tier: u8, ejected: impl FnOnce() -> bool) {
        let mut counts = self.0.lock();
        let count = counts.entry(tier).or_default();
        count.endpoints += 1;
        count.ejected += u32::from(ejected());
    }

    pub(crate) fn strike_off(&self, tier: u8, ejected: impl FnOnce() -> bool) {
        if let Some(count) = self.0.lock().get_mut(&tier) {
            count.endpoints = count.endpoints.saturating_sub(1);
            count.ejected = count.ejected.saturating_sub(ejected().into());
        }
    }

    /// Ejects an endpoint if its tier can spare it: not the last one of the set, and of a tier without a
    /// backup not more than this share.
    pub(crate) fn eject<T>(
        &self,
        tier: u8,
        most: Ratio,
        eject: impl FnOnce() -> Option<T>,
    ) -> Option<T> {
        let mut counts = self.0.lock();
        if !may_eject(&counts, tier, most) {
            return None;
        }
        let ejected = eject();
        if ejected.is_some() {
            counts.entry(tier).or_default().ejected += 1;
        }
        ejected
    }

    pub(crate) fn returned(&self, tier: u8) {
        if let Some(count) = self.0.lock().get_mut(&tier) {
            count.ejected = count.ejected.saturating_sub(1);
        }
    }

    #[cfg(test)]
    pub(crate) fn of(&self, tier: u8) -> Count {
        self.0.lock().get(&tier).copied().unwrap_or_default()
    }
}

fn may_eject(counts: &BTreeMap<u8, Count>, tier: u8, most: Ratio) -> bool {
    let serving: u32 = counts.values().map(|count| count.serving()).sum();
    if serving <= 1 {
        return false;
    }
    if counts
        .range(tier.saturating_add(1)..)
        .any(|(later, count)| *later > tier && count.serving() > 0)
    {
        return true;
    }
    let count = counts.get(&tier).copied().unwrap_or_default();
    let share = (f64::from(count.endpoints) * most.get()) as u32;
    let at_least = u32::from(count.endpoints >= 2 && most.get() > 0.0);
    count.ejected < share.max(at_least)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Ratio = Ratio::percent::<50>();

    /// J4
    #[test]
    fn a_tier_spares_its_share_and_a_set_never_its_last() {
        let census = Census::default();
        (0..4).for_each(|_| census.enroll(0, || false));
        let eject = || census.eject(0, HALF, || Some(())).is_some();
        assert_eq!([eject(), eject(), eject()], [true, true, false]);
        census.returned(0);
        assert_eq!(census.of(0), Count { endpoints: 4, ejected: 1 });
        census.enroll(1, || false);
        assert!(eject() && eject() && eject(), "a backup stands behind it");
        assert!(!eject(), "all of them are ejected");
        assert!(census.eject(1, HALF, || Some(())).is_none(), "the last one");
    }

    #[test]
    fn who_leaves_as_ejected_is_no_longer_counted_as_that() {
        let census = Census::default();
        (0..4).for_each(|_| census.enroll(0, || false));
        assert!(census.eject(0, HALF, || Some(())).is_some());
        census.strike_off(0, || true);
        assert_eq!(census.of(0), Count { endpoints: 3, ejected: 0 });
        census.enroll(0, || true);
        assert_eq!(census.of(0), Count { endpoints: 4, ejected: 1 });
        assert!(census.eject(0, HALF, || None::<()>).is_none());
        assert_eq!(census.of(0).ejected, 1, "it changed its mind");
    }
}
