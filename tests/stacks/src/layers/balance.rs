//! Settings of a balancer.

use super::settings::{Delays, HangAfter, Rule, nonzero, ratio_of};
use crate::clock::ms;
use crate::random::Rng;
use crate::run::Run;
use crate::world::lock;
use tower_failover::balance::{BalanceLayer, LatencyUntil};

/// The settings of a balancer that decide whether a request may find no endpoint.
pub(crate) struct Admission {
    pub(crate) limit: Option<u32>,
    pub(crate) waits: bool,
    pub(crate) filter: Filter,
}

/// Allows an endpoint for some of the requests; 0 allows all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter(u64);

impl Filter {
    pub(super) const ALL: Self = Self(0);

    pub(crate) fn allows(self, id: u64, name: &str) -> bool {
        self == Self::ALL || (id + name.bytes().map(u64::from).sum::<u64>()) % self.0 != 0
    }
}

pub(super) fn set<C, P>(
    layer: BalanceLayer<C, P>,
    seed: u64,
    run: &Run,
) -> (BalanceLayer<C, P>, Admission) {
    let rng = &mut Rng::new(seed);
    let mut text = "balance(".to_owned();
    let layer = set_ejection(layer.seed(rng.next()), rng, &mut text);
    let mut admission = Admission { limit: None, waits: false, filter: Filter::ALL };
    let mut layer = set_admission(layer, rng, &mut admission, &mut text);
    if rng.chance(20) {
        layer = layer.latency(LatencyUntil::Total);
    }
    layer = match HangAfter::draw(rng) {
        HangAfter::Default => layer,
        HangAfter::Time(time) => layer.hang_after(time),
        HangAfter::Never => layer.no_hang_after(),
    };
    if rng.chance(20) {
        layer = layer.body_hang_after(ms(rng.pick(&[0, 50, 1_000])));
    }
    if rng.chance(30) {
        admission.filter = Filter(rng.range(2, 4));
        text += &format!("filter {}, ", admission.filter.0);
    }
    lock(&run.built).ignores_deadlines |= admission.waits;
    run.describe(text + ")");
    (layer, admission)
}

fn set_ejection<C, P>(
    mut layer: BalanceLayer<C, P>,
    rng: &mut Rng,
    text: &mut String,
) -> BalanceLayer<C, P> {
    for _ in 0..rng.below(3) {
        let rule = Rule::draw(rng);
        *text += &format!("{rule:?}, ");
        layer = layer.eject_on(rule);
    }
    if rng.chance(50) {
        layer = layer.eject_for(Delays::draw(rng).backoff);
    }
    if rng.chance(50) {
        let share = rng.pick(&[0.0, 0.3, 1.0]);
        *text += &format!("max_ejected {share}, ");
        layer = layer.max_ejected(ratio_of(share));
    }
    if rng.chance(40) {
        let time = rng.pick(&[0, 100, 1_000_000]);
        *text += &format!("max_cool_down {time}, ");
        layer = layer.max_cool_down(ms(time));
    }
    if rng.chance(40) {
        layer = layer.slow_start(ms(rng.pick(&[0, 100])));
    }
    if rng.chance(40) {
        let share = rng.pick(&[0.0, 0.3, 1.0]);
        *text += &format!("panic_threshold {share}, ");
        layer = layer.panic_threshold(ratio_of(share));
    }
    layer
}

fn set_admission<C, P>(
    mut layer: BalanceLayer<C, P>,
    rng: &mut Rng,
    admission: &mut Admission,
    text: &mut String,
) -> BalanceLayer<C, P> {
    if rng.chance(40) {
        let limit = rng.pick(&[1, 2, 5]);
        *text += &format!("max_in_flight {limit}, ");
        admission.limit = Some(limit);
        layer = layer.max_in_flight(nonzero(limit));
    }
    if rng.chance(30) {
        layer = layer.zones(["z1", "z0"]);
    }
    if rng.chance(40) {
        let time = rng.pick(&[1, 100, 5_000, 100_000]);
        *text += &format!("wait_for {time}, ");
        admission.waits = true;
        layer = layer.wait_for(ms(time));
    }
    layer
}

/// Balances over a set of endpoints: a macro, as the filter is a part of the type.
macro_rules! balance {
    ($layer:expr, $seed:expr, $run:expr, $endpoints:expr) => {{
        let (layer, admission) = crate::layers::balance::set($layer, $seed, $run);
        let filter = admission.filter;
        let service = if filter == Filter::ALL {
            layer.layer($endpoints).erase()
        } else {
            let allow = move |request: &Self::Request, info: &EndpointInfo| {
                filter.allows(Self::id(request), info.name())
            };
            layer.allow(allow).layer($endpoints).erase()
        };
        (service, admission)
    }};
}
pub(super) use balance;
