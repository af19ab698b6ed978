//! How much of the load each tier takes, and when ejections are ignored: pure arithmetic.

use crate::ratio::Ratio;

/// A tier takes more than its available share of the load, since it has room to spare: Envoy's factor.
const OVERPROVISIONING: f64 = 1.4;

/// The endpoints of a tier that are not drained.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Count {
    pub(crate) endpoints: usize,
    pub(crate) available: usize,
    /// Those that cool down, or can't be used for another reason that holds in a panic too.
    pub(crate) resting: usize,
}

/// What a tier takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// In whole percent.
    pub(crate) percent: u32,
    /// Its ejected endpoints serve as well.
    pub(crate) panics: bool,
}

fn carries(available: usize, endpoints: usize) -> u32 {
    let share = available as f64 / endpoints.max(1) as f64;
    // 5 of 7 is 1 / 1.4: rounding must not make it less
    ((share * OVERPROVISIONING * 100.0 + 1e-9) as u32).min(100)
}

/// The loads of the tiers, nearest first. They sum to 100, or are all zero where nothing is available.
pub(crate) fn loads(tiers: &[Count], panic_threshold: Ratio) -> Vec<Load> {
    let mut carried: Vec<u32> =
        tiers.iter().map(|tier| carries(tier.available, tier.endpoints)).collect();
    let mut panics = vec![false; tiers.len()];
    // tiers are filled first
    if carried.iter().sum::<u32>() < 100 {
        for (at, tier) in tiers.iter().enumerate() {
            let judged = tier.endpoints - tier.resting;
            let ejected = (judged - tier.available) as f64 / judged.max(1) as f64;
            if judged > tier.available && ejected >= 1.0 - panic_threshold.get() {
                panics[at] = true;
                carried[at] = carries(judged, tier.endpoints);
            }
        }
    }
    let percents = percents(&carried);
    percents.into_iter().zip(panics).map(|(percent, panics)| Load { percent, panics }).collect()
}

/// Fills the tiers in their order; what they can't carry together is scaled up.
fn percents(carried: &[u32]) -> Vec<u32> {
    let all = carried.iter().sum::<u32>().min(100);
    if all == 0 {
        return vec![0; carried.len()];
    }
    let mut left = 100;
    let mut percents: Vec<u32> = carried
        .iter()
        .map(|carried| {
            let percent = (carried * 100 / all).min(left);
            left -= percent;
            percent
        })
        .collect();
    if let Some(first) = percents.iter_mut().find(|percent| **percent > 0) {
        *first += left;
    }
    percents
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Ratio = Ratio::percent::<50>();

    /// Of 100 endpoints in each tier, none of which panics.
    fn of(available: &[usize]) -> Vec<u32> {
        let resting = |available: usize| 100 - available;
        let tiers: Vec<_> = available
            .iter()
            .map(|available| Count {
                endpoints: 100,
                available: *available,
                resting: resting(*available),
            })
            .collect();
        loads(&tiers, HALF).into_iter().map(|load| load.percent).collect()
    }

    /// Envoy's documentation of priority levels, and its tests.
    #[test]
    fn load_follows_health_from_tier_to_tier() {
        assert_eq!(of(&[100, 100]), [100, 0]);
        assert_eq!(of(&[72, 100]), [100, 0]);
        assert_eq!(of(&[71, 100]), [99, 1]);
        assert_eq!(of(&[50, 100]), [70, 30]);
        assert_eq!(of(&[25, 100]), [35, 65]);
        assert_eq!(of(&[0, 100]), [0, 100]);
        assert_eq!(of(&[25, 25, 100]), [35, 35, 30]);
        assert_eq!(of(&[25, 25]), [50, 50], "what is left carries all");
        assert_eq!(of(&[0, 0]), [0, 0]);
        assert_eq!(of(&[]), [0; 0]);
    }

    /// J3
    #[test]
    fn a_panic_needs_ejections_and_tiers_that_cannot_carry_the_load() {
        let tier = |endpoints, available, resting| Count { endpoints, available, resting };
        let panics = |tiers: &[Count]| {
            loads(tiers, HALF).into_iter().map(|load| load.panics).collect::<Vec<_>>()
        };
        assert_eq!(panics(&[tier(8, 0, 0), tier(2, 2, 0)]), [false, false], "the backups carry it");
        assert_eq!(panics(&[tier(6, 3, 0)]), [true]);
        assert_eq!(panics(&[tier(10, 3, 6)]), [false], "one of four is ejected, the others cool");
        assert_eq!(panics(&[tier(3, 0, 3)]), [false], "a rest that was asked for holds");
        assert_eq!(panics(&[tier(1, 0, 0)]), [true]);
        let load = loads(&[tier(4, 0, 0), tier(0, 0, 0)], HALF);
        assert_eq!(load[0], Load { percent: 100, panics: true });
    }
}
