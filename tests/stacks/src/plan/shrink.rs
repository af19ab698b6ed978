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
    let half = plan.callers.len() / 2;
    if half > 0 {
        offer(&|less| less.callers.truncate(half));
        offer(&|less| less.callers = plan.callers[half..].to_vec());
    }
    for (at, caller) in plan.callers.iter().enumerate() {
        if half > 0 {
            offer(&|less| less.callers = without(&plan.callers, at));
        }
        if caller.requests > 1 {
            offer(&|less| less.callers[at].requests -= 1);
        }
    }
    for at in 0..plan.layers.len() {
        offer(&|less| less.layers = without(&plan.layers, at));
    }
    for at in 0..plan.edits.len() {
        offer(&|less| less.edits = without(&plan.edits, at));
    }
    for (at, endpoint) in plan.endpoints.iter().enumerate() {
        if plan.balance.is_some() {
            offer(&|less| less.endpoints = without(&plan.endpoints, at));
        }
        for layer in 0..endpoint.layers.len() {
            offer(&|less| less.endpoints[at].layers = without(&endpoint.layers, layer));
        }
    }
    if plan.balance.is_some() {
        offer(&|less| less.balance = None);
    }
    plans
}

fn without<T: Clone>(list: &[T], at: usize) -> Vec<T> {
    let (before, after) = list.split_at(at);
    [before, &after[1..]].concat()
}
