//! Ways to leave something out of a plan.

use super::Plan;

/// Plans with one thing less than this one, the largest steps first.
pub(crate) fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut offer = |change: &dyn Fn(&mut Plan)| {
        let mut less = plan.clone();
        change(&mut less);
        plans.push(less);
    };
    let callers = plan.callers.len();
    if callers > 1 {
        offer(&|less| less.callers.truncate(callers / 2));
        offer(&|less| drop(less.callers.drain(..callers / 2)));
    }
    for (at, caller) in plan.callers.iter().enumerate() {
        if callers > 1 {
            offer(&|less| drop(less.callers.remove(at)));
        }
        if caller.requests > 1 {
            offer(&|less| less.callers[at].requests -= 1);
        }
    }
    for at in 0..plan.layers.len() {
        offer(&|less| drop(less.layers.remove(at)));
    }
    for at in 0..plan.edits.len() {
        offer(&|less| drop(less.edits.remove(at)));
    }
    for (at, endpoint) in plan.endpoints.iter().enumerate() {
        if plan.balance.is_some() {
            offer(&|less| drop(less.endpoints.remove(at)));
        }
        for layer in 0..endpoint.layers.len() {
            offer(&|less| drop(less.endpoints[at].layers.remove(layer)));
        }
    }
    if plan.balance.is_some() {
        offer(&|less| less.balance = None);
    }
    plans
}
