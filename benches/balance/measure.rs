//! What is measured in one simulation, and over several seeds.

use crate::scenario::{END, MILLISECOND, Nanos, SECOND, Scenario, TIME_OUT, WARM_UP, WATCHED};

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Milliseconds of the good calls, and of those that timed out.
    P50,
    P99,
    P999,
    /// Per cent of all calls.
    Errors,
    /// Per cent of the calls that were sent while the fault showed.
    FaultErrors,
    /// The watched server's part of the calls, 1 being its fair share.
    Share,
    /// Seconds until its share stays below a fifth of the fair one.
    Stop,
    /// Seconds after healing until it has half its fair share for a second.
    Back,
    /// Seconds after healing until it is sent a call at all.
    Trial,
}

impl Measure {
    pub const ALL: [Self; 9] = [
        Self::P50,
        Self::P99,
        Self::P999,
        Self::Errors,
        Self::FaultErrors,
        Self::Share,
        Self::Stop,
        Self::Back,
        Self::Trial,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50 ms",
            Self::P99 => "p99 ms",
            Self::P999 => "p99.9",
            Self::Errors => "errors %",
            Self::FaultErrors => "in fault",
            Self::Share => "share",
            Self::Stop => "stop s",
            Self::Back => "back s",
            Self::Trial => "trial s",
        }
    }

    /// Digits worth printing.
    pub fn decimals(self) -> usize {
        match self {
            Self::P50 | Self::P99 | Self::P999 | Self::Stop | Self::Back => 1,
            Self::Share | Self::Trial => 2,
            Self::Errors | Self::FaultErrors => 3,
        }
    }
}

/// What came out, where a scenario has it; infinite where it never came.
#[derive(Clone, Default)]
pub struct Measures([Option<f64>; Measure::ALL.len()]);

impl Measures {
    pub fn get(&self, measure: Measure) -> Option<f64> {
        self.0[measure as usize]
    }

    fn set(&mut self, measure: Measure, value: f64) {
        self.0[measure as usize] = Some(value);
    }

    /// The median of each, but of `Trial` the worst: there one client alone decides.
    pub fn over_seeds(all: &[Self]) -> Self {
        let mut over = Self::default();
        for measure in Measure::ALL {
            let mut values: Vec<f64> = all.iter().filter_map(|one| one.get(measure)).collect();
            values.sort_by(f64::total_cmp);
            let middle = values.get(values.len() / 2);
            let shown = if measure == Measure::Trial { values.last() } else { middle };
            if let Some(&value) = shown {
                over.set(measure, value);
            }
        }
        over
    }
}

/// Shares are taken from slices of this length.
const SLICE: Nanos = 100 * MILLISECOND;
const SLICES: usize = (END / SLICE) as usize + 1;

#[derive(Clone, Copy, Default)]
struct Sent {
    all: u32,
    watched: u32,
}

#[derive(Default)]
struct Ended {
    good: u64,
    bad: u64,
}

impl Ended {
    fn count(&mut self, good: bool) {
        *if good { &mut self.good } else { &mut self.bad } += 1;
    }

    fn errors(&self) -> f64 {
        100.0 * self.bad as f64 / (self.good + self.bad).max(1) as f64
    }
}

/// Collects the calls of one simulation.
pub struct Meter<'a> {
    scenario: &'a Scenario,
    microseconds: Vec<u32>,
    ended: Ended,
    in_fault: Ended,
    sent: Vec<Sent>,
    trial: Option<Nanos>,
}

impl<'a> Meter<'a> {
    pub fn new(scenario: &'a Scenario) -> Self {
        let calls = END as f64 / scenario.gap() * scenario.clients as f64;
        Self {
            scenario,
            microseconds: Vec::with_capacity((calls * 1.1) as usize),
            ended: Ended::default(),
            in_fault: Ended::default(),
            sent: vec![Sent::default(); SLICES],
            trial: None,
        }
    }

    pub fn sent(&mut self, server: usize, now: Nanos) {
        let slice = &mut self.sent[(now / SLICE) as usize];
        slice.all += 1;
        if server != WATCHED {
            return;
        }
        slice.watched += 1;
        if let Some(fault) = &self.scenario.fault {
            if self.trial.is_none() && now >= fault.until {
                self.trial = Some(now - fault.until);
            }
        }
    }

    pub fn answered(&mut self, sent: Nanos, now: Nanos, good: bool) {
        self.count(sent, good);
        if good {
            self.took(sent, now - sent);
        }
    }

    /// Counts as an error and as a long call: the percentiles would look better without it.
    pub fn timed_out(&mut self, sent: Nanos) {
        self.count(sent, false);
        self.took(sent, TIME_OUT);
    }

    fn count(&mut self, sent: Nanos, good: bool) {
        if sent < WARM_UP {
            return;
        }
        self.ended.count(good);
        let fault = self.scenario.fault.as_ref();
        if fault.is_some_and(|fault| (fault.from..fault.over()).contains(&sent)) {
            self.in_fault.count(good);
        }
    }

    fn took(&mut self, sent: Nanos, time: Nanos) {
        if sent >= WARM_UP {
            self.microseconds.push((time / 1_000) as u32);
        }
    }

    pub fn finish(mut self) -> Measures {
        let mut measures = Measures::default();
        self.microseconds.sort_unstable();
        for (measure, part) in [(Measure::P50, 0.5), (Measure::P99, 0.99), (Measure::P999, 0.999)] {
            let at = ((self.microseconds.len() - 1) as f64 * part).round() as usize;
            measures.set(measure, f64::from(self.microseconds[at]) / 1e3);
        }
        measures.set(Measure::Errors, self.ended.errors());
        if let Some((from, until)) = self.scenario.window() {
            let slices = (until - from) / SLICE;
            measures.set(Measure::Share, self.share((from / SLICE) as usize, slices as usize));
        }
        if let Some(fault) = &self.scenario.fault {
            measures.set(Measure::FaultErrors, self.in_fault.errors());
            let (from, until) = ((fault.from / SLICE) as usize, (fault.until / SLICE) as usize);
            measures.set(Measure::Stop, seconds(self.stop(from, until)));
            measures.set(Measure::Back, seconds(self.back(until)));
            measures.set(Measure::Trial, self.trial.map_or(f64::INFINITY, |at| at as f64 / 1e9));
        }
        measures
    }

    /// The watched server's part of what was sent in these slices, relative to its fair share.
    fn share(&self, from: usize, slices: usize) -> f64 {
        let mut sum = Sent::default();
        for slice in &self.sent[from..from + slices] {
            sum.all += slice.all;
            sum.watched += slice.watched;
        }
        f64::from(sum.watched) / f64::from(sum.all.max(1)) / self.scenario.fair_share()
    }

    /// Slices until the share over half a second is below a fifth, and stays so in 19 of 20 later
    /// half seconds of the fault.
    fn stop(&self, from: usize, until: usize) -> Option<usize> {
        const HALF: usize = (SECOND / 2 / SLICE) as usize;
        let low: Vec<bool> =
            (from..until - HALF).map(|slice| self.share(slice, HALF) < 0.2).collect();
        (0..low.len()).find(|&slice| {
            let later = &low[slice..];
            let stays = later.iter().filter(|low| **low).count();
            later[0] && later.len() > HALF && stays * 20 >= later.len() * 19
        })
    }

    fn back(&self, healed: usize) -> Option<usize> {
        const WHOLE: usize = (SECOND / SLICE) as usize;
        (0..SLICES - WHOLE - healed).find(|&slice| self.share(healed + slice, WHOLE) >= 0.5)
    }
}

fn seconds(slices: Option<usize>) -> f64 {
    slices.map_or(f64::INFINITY, |slices| slices as f64 * SLICE as f64 / SECOND as f64)
}
