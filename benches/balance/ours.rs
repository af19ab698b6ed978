//! The crate's own choice and health, driven with simulated time. This is compiled as a module of
//! `balance`, beside what it drives.

use super::endpoint::EndpointInfo;
use super::pick::Ask;
use super::set::{Band, Member, Snapshot};
use super::situation::Situation;
use crate::circuit::Admission;
use crate::classify::Evidence;
use crate::clock;
use crate::endpoints::{Health, SetState, SetConfig};
use crate::outcome::Outcome;
use crate::policies::{Known, Policy};
use crate::attempt::Ending;
use crate::rng::Draws;
use crate::scenario::{Nanos, Scenario};
use crate::world::Truth;
use std::sync::Arc;

/// One client's set; the service of a member is the number of its server.
pub struct Ours {
    set_state: Arc<SetState>,
    members: Vec<Arc<Member<usize>>>,
    snapshot: Snapshot<usize>,
    draws: Draws,
}

impl Ours {
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let config = SetConfig::default();
        let most = config.max_in_flight;
        let set_state = Arc::new(SetState::new(config, clock::at(0)));
        set_state.sow(seed);
        let member = |server: usize| {
            // members stand in the order of their names
            let name = format!("{server:03}").into();
            let info = EndpointInfo::new(name, scenario.weight(server) as f32, 0, None);
            let health = Health::new(false, false, false, None);
            let member = Member { set_state: set_state.clone(), info, health, service: server };
            member.health.enroll(member.endpoint_ref());
            Arc::new(member)
        };
        let members: Vec<_> = (0..scenario.servers).map(member).collect();
        let tiers = vec![vec![Band::of(members.clone())]];
        let snapshot = Snapshot::new(tiers, Situation::new(), most);
        Self { set_state, members, snapshot, draws: Draws::new(seed) }
    }
}

impl Policy for Ours {
    type Ticket = Admission;

    fn pick(
        &mut self,
        now: Nanos,
        tried: &[usize],
        may_follow: bool,
        _: &Truth<'_>,
    ) -> Option<(usize, Admission)> {
        let now = self.set_state.tick(clock::at(now));
        let ask = Ask {
            set_state: &self.set_state,
            now,
            allows: |member: &Arc<Member<usize>>| !tried.contains(&member.service),
            may_be_lost: may_follow,
            last_hope: tried.is_empty(),
        };
        let (member, admission) = ask.pick(&self.snapshot, &mut self.draws).ok()?;
        member.health.begin();
        Some((member.service, admission))
    }

    fn done(&mut self, server: usize, ticket: Admission, sent: Nanos, now: Nanos, good: bool) {
        let member = &self.members[server];
        let (started, now) = (Some(clock::at(sent)), clock::at(now));
        if good {
            return member.health.succeeded(member.endpoint_ref(), ticket, started, now);
        }
        let ending = Ending { started, ..Ending::at_once(Outcome::Failure, Evidence::default()) };
        member.health.settle(member.endpoint_ref(), ticket, &ending, now);
    }

    fn lost(&mut self, server: usize, ticket: Admission, sent: Nanos, now: Nanos) {
        let member = &self.members[server];
        let ending = Ending {
            started: Some(clock::at(sent)),
            dropped: true,
            lost: true,
            ..Ending::at_once(Outcome::Neutral, Evidence::default())
        };
        member.health.settle(member.endpoint_ref(), ticket, &ending, clock::at(now));
    }

    fn known(&self, server: usize) -> Known {
        let health = &self.members[server].health;
        Known { failures: health.outcome_counts().failures, ejections: health.ejections() }
    }
}
