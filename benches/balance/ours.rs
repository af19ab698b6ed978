//! The crate's own choice and health, driven with simulated time. This is compiled as a module of
//! `balance`, beside what it drives.

use super::endpoint::EndpointInfo;
use super::pick::Ask;
use super::set::{Band, Member, Snapshot};
use super::situation::Situation;
use crate::circuit::Admission;
use crate::classify::Evidence;
use crate::clock::{self, Instant};
use crate::health::{Health, Roster, Settings};
use crate::outcome::Outcome;
use crate::policies::Policy;
use crate::record::Ending;
use crate::rng::Draws;
use crate::scenario::{Nanos, Scenario};
use crate::world::Truth;
use std::sync::Arc;
use std::time::Duration;

/// One client's set; the service of a member is the number of its server.
pub struct Ours {
    began: Instant,
    roster: Arc<Roster>,
    members: Vec<Arc<Member<usize>>>,
    snapshot: Snapshot<usize>,
    draws: Draws,
}

impl Ours {
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let settings = Settings::default();
        let most = settings.max_in_flight;
        // only what passes since then is looked at
        let began = clock::now();
        let roster = Arc::new(Roster::new(settings, began));
        roster.sow(seed);
        let member = |server: usize| {
            roster.enroll(0);
            // members stand in the order of their names
            let name = format!("{server:03}").into();
            let info = EndpointInfo::new(name, scenario.weight(server) as f32, 0, None);
            let health = Health::new(false, false, false, None);
            Arc::new(Member { roster: roster.clone(), info, health, service: server })
        };
        let members: Vec<_> = (0..scenario.servers).map(member).collect();
        let tiers = vec![vec![Band::of(members.clone())]];
        let snapshot = Snapshot::new(tiers, Situation::new(), most);
        Self { began, roster, members, snapshot, draws: Draws::new(seed) }
    }

    fn at(&self, time: Nanos) -> Instant {
        self.began + Duration::from_nanos(time)
    }
}

impl Policy for Ours {
    type Ticket = Admission;

    fn pick(&mut self, now: Nanos, _: &Truth<'_>) -> (usize, Admission) {
        let now = self.roster.tick(self.at(now));
        let ask = Ask {
            roster: &self.roster,
            now,
            allows: |_: &_| true,
            may_be_lost: true,
            last_hope: true,
        };
        let picked = ask.pick(&self.snapshot, &mut self.draws);
        let (member, admission) = picked.expect("not all of them are ejected");
        member.health.begin();
        (member.service, admission)
    }

    fn done(&mut self, server: usize, ticket: Admission, sent: Nanos, now: Nanos, good: bool) {
        let member = &self.members[server];
        let (started, now) = (Some(self.at(sent)), self.at(now));
        if good {
            return member.health.succeeded(member.place(), ticket, started, now);
        }
        let ending = Ending {
            outcome: Outcome::Failure,
            evidence: Evidence::default(),
            dropped: false,
            started,
            head: None,
        };
        member.health.settle(member.place(), ticket, &ending, now);
    }
}
