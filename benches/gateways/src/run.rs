//! One run: one gateway, one fault, from the start of the processes to their end.

use crate::BoxError;
use crate::backend::Backends;
use crate::clock::{self, Alarm};
use crate::fault::Fault;
use crate::gateway::{self, Gateway, Programs};
use crate::load;
use crate::measure::{Run, Seen};
use std::time::Duration;

/// Seconds that nothing is measured, that all is well, that the fault lasts, and after it.
const WARM_UP: u32 = 2;
const BEFORE: u32 = 5;
const FAULT: u32 = 7;
const AFTER: u32 = 10;
/// Of one run, with the starts of the processes.
pub(crate) const SECONDS: u32 = WARM_UP + BEFORE + FAULT + AFTER + 1;

/// What is the same in all runs.
pub(crate) struct Setup {
    pub(crate) programs: Programs,
    pub(crate) rate: f64,
    pub(crate) port: u16,
    pub(crate) backends: Vec<u16>,
}

impl Setup {
    pub(crate) async fn run(
        &self,
        gateway: Gateway,
        fault: Fault,
        round: u32,
    ) -> Result<Run, BoxError> {
        gateway::are_free(&self.backends)?;
        gateway::are_free(&[self.port])?;
        let mut backends = Backends::start(&self.backends).await?;
        let running = gateway.start(&self.programs, self.port, &self.backends).await?;

        // the first request is not late
        let first = clock::now() + Duration::from_millis(100);
        let second = |number: u32| first + Duration::from_secs(number.into());
        let count = self.rate * f64::from(WARM_UP + BEFORE + FAULT + AFTER);
        let alarm = Alarm::new();
        let load = load::send(running.ports.clone(), self.rate, first, count as u32);
        let load = tokio::spawn(load);

        alarm.at(second(WARM_UP)).await;
        let from = clock::stamp();
        alarm.at(second(WARM_UP + BEFORE)).await;
        let broken = clock::stamp();
        fault.begin(&mut backends).await?;
        alarm.at(second(WARM_UP + BEFORE + FAULT)).await;
        fault.heal(&mut backends).await?;
        let healed = clock::stamp();
        alarm.at(second(WARM_UP + BEFORE + FAULT + AFTER)).await;
        let until = clock::stamp();

        let answers = load.await?;
        running.end()?;
        let arrivals = backends.end().await?;
        let seen = Seen { from, broken, healed, until, answers, arrivals };
        Ok(seen.sum_up(gateway, fault, round, self.rate))
    }
}
