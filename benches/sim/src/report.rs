//! The table, and the limits that our own balancing is held to.

use crate::kinds::Kind;
use crate::measure::{Measure, Measures};
use crate::scenario::Scenario;

/// What was measured in one scenario, policy by policy.
pub(crate) struct Block {
    pub(crate) scenario: &'static Scenario,
    pub(crate) rows: Vec<(Kind, Measures)>,
}

impl Block {
    fn get(&self, policy: Kind, measure: Measure) -> Option<f64> {
        self.rows.iter().find(|(kind, _)| *kind == policy)?.1.get(measure)
    }

    pub(crate) fn print(&self) {
        print!("\n{:<25}", self.scenario.name);
        for &measure in Measure::shown(self.scenario) {
            print!("{:>9}", measure.name());
        }
        println!();
        for (policy, measures) in &self.rows {
            print!("  {:<23}", policy.name());
            for &measure in Measure::shown(self.scenario) {
                match measures.get(measure) {
                    Some(value) if value.is_infinite() => print!("{:>9}", "never"),
                    Some(value) => print!("{value:>9.*}", measure.decimals()),
                    None => print!("{:>9}", ""),
                }
            }
            println!();
        }
    }
}

/// What a measure of ours must keep to.
enum Bound {
    /// At most this part of tower's in the same run.
    OfTower(f64),
    /// At most this part of what it is without hedges.
    OfUnhedged(f64),
    AtMost(f64),
    Between(f64, f64),
}

struct Limit {
    scenario: &'static str,
    policy: Kind,
    measure: Measure,
    bound: Bound,
}

const fn limit(scenario: &'static str, measure: Measure, bound: Bound) -> Limit {
    Limit { scenario, policy: Kind::Ours, measure, bound }
}

/// Of hedges as they are by default.
const fn hedged(scenario: &'static str, measure: Measure, bound: Bound) -> Limit {
    Limit { scenario, policy: Kind::P95, measure, bound }
}

const LIMITS: [Limit; 33] = [
    limit("uniform", Measure::P99, Bound::OfTower(1.0)),
    limit("hetero", Measure::P99, Bound::OfTower(0.72)),
    limit("antagonist", Measure::P99, Bound::OfTower(0.7)),
    limit("antagonist_many_clients", Measure::P99, Bound::OfTower(0.8)),
    limit("blackhole", Measure::FaultErrors, Bound::OfTower(0.02)),
    limit("blackhole", Measure::Stop, Bound::AtMost(0.2)),
    limit("blackhole", Measure::Back, Bound::AtMost(5.0)),
    limit("blackhole_half", Measure::FaultErrors, Bound::OfTower(0.07)),
    limit("blackhole_half", Measure::Stop, Bound::AtMost(0.2)),
    limit("blackhole_half", Measure::Back, Bound::AtMost(5.0)),
    limit("restart_cold", Measure::FaultErrors, Bound::OfTower(0.05)),
    limit("gateway_blackhole_1x3", Measure::FaultErrors, Bound::OfTower(0.002)),
    limit("gateway_blackhole_1x3", Measure::Stop, Bound::AtMost(0.2)),
    limit("gateway_blackhole_1x3", Measure::Back, Bound::AtMost(5.0)),
    // an outage of some seconds is over for its callers soon after its end
    limit("gateway_dead_7s", Measure::Trial, Bound::AtMost(1.6)),
    // two points of a seventh
    limit("weights", Measure::Share, Bound::Between(0.86, 1.14)),
    limit("canary", Measure::Share, Bound::Between(0.5, 1.5)),
    limit("canary_of_20", Measure::Share, Bound::Between(0.5, 1.5)),
    hedged("hedge_stall", Measure::P999, Bound::OfUnhedged(0.25)),
    hedged("hedge_stall", Measure::Extra, Bound::AtMost(5.5)),
    // to take a server that is slow now and then for one that hangs would cost more than hedges gain
    hedged("hedge_noisy_1x3", Measure::P99, Bound::OfUnhedged(1.0)),
    // what the budget allows over the time that is measured: its share, and a second that is banked
    hedged("hedge_over_nocancel", Measure::Extra, Bound::AtMost(5.1)),
    hedged("hedge_over_nocancel", Measure::Errors, Bound::AtMost(0.1)),
    hedged("hedge_hang_1x3", Measure::Stretch, Bound::AtMost(1.3)),
    hedged("hedge_hang_1x3", Measure::MaxInFault, Bound::AtMost(100.0)),
    hedged("hedge_hang_1x3", Measure::ExtraBefore, Bound::AtMost(6.0)),
    hedged("hedge_hang_1x3", Measure::ExtraInFault, Bound::AtMost(8.0)),
    hedged("hedge_hang_1x20", Measure::Stretch, Bound::AtMost(1.3)),
    hedged("hedge_hang_1x20", Measure::MaxInFault, Bound::AtMost(100.0)),
    hedged("hedge_slow40_1x3", Measure::Stretch, Bound::AtMost(1.3)),
    hedged("hedge_slow40_1x3", Measure::MaxInFault, Bound::AtMost(100.0)),
    hedged("hedge_slow40_1x3", Measure::ExtraBefore, Bound::AtMost(6.0)),
    hedged("hedge_slow40_1x3", Measure::ExtraInFault, Bound::AtMost(8.0)),
];

/// Prints how our own balancing stands to each limit of what was measured, and whether all hold.
pub(crate) fn limits_hold(blocks: &[Block]) -> bool {
    let mut all = true;
    let mut heading = "\nours, of tower's or of none where it says so\n";
    for Limit { scenario, policy, measure, bound } in &LIMITS {
        let Some(block) = blocks.iter().find(|block| block.scenario.name == *scenario) else {
            continue;
        };
        let value = |policy| block.get(policy, *measure);
        let reference = match bound {
            Bound::OfUnhedged(_) => Kind::Ours,
            _ => Kind::Tower,
        };
        let (found, wanted, holds) = match (bound, value(*policy), value(reference)) {
            (Bound::OfTower(most), Some(ours), Some(tower)) => {
                (ours / tower, format!("at most {most} of tower's"), ours <= most * tower)
            }
            (Bound::OfUnhedged(most), Some(ours), Some(none)) => {
                (ours / none, format!("at most {most} of none"), ours <= most * none)
            }
            (Bound::AtMost(most), Some(ours), _) => {
                (ours, format!("at most {most}"), ours <= *most)
            }
            (Bound::Between(least, most), Some(ours), _) => {
                (ours, format!("{least} to {most}"), (*least..=*most).contains(&ours))
            }
            _ => continue,
        };
        print!("{}", std::mem::take(&mut heading));
        let verdict = if holds { "holds" } else { "FAILS" };
        println!("  {scenario:<25}{:<10}{found:>9.4}  {wanted:<23} {verdict}", measure.name());
        all &= holds;
    }
    all
}
