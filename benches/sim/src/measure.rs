//! What is measured in one simulation, and over several seeds.

use crate::client::Known;
use crate::scenario::{END, MILLISECOND, Nanos, SECOND, Scenario, WARM_UP, WATCHED};

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Milliseconds of the good requests, and of those that timed out.
    P50,
    P99,
    P999,
    /// Per cent of all requests.
    Errors,
    /// Per cent of the requests that were made while the fault showed.
    FaultErrors,
    /// The watched server's part of the calls, 1 being its fair share.
    Share,
    /// Seconds until its share stays below a fifth of the fair one.
    Stop,
    /// Seconds after healing until it has half its fair share for a second.
    Back,
    /// Seconds after healing until it is sent a call at all.
    Trial,
    /// Calls beside the first ones, per cent of the requests.
    Extra,
    /// Requests whose hedge was due and at first not paid for, per cent of all.
    Denied,
    /// Calls that servers without a fault were blamed for, per cent of the requests.
    Blamed,
    /// How often clients ejected servers without a fault.
    Ejected,
    /// Milliseconds, before the fault and while it showed.
    P99Before,
    P99InFault,
    MaxInFault,
    /// The 99th percentile while the fault showed, in parts of that before.
    Stretch,
    ExtraBefore,
    ExtraInFault,
}

impl Measure {
    const ALL: [Self; 19] = [
        Self::P50,
        Self::P99,
        Self::P999,
        Self::Errors,
        Self::FaultErrors,
        Self::Share,
        Self::Stop,
        Self::Back,
        Self::Trial,
        Self::Extra,
        Self::Denied,
        Self::Blamed,
        Self::Ejected,
        Self::P99Before,
        Self::P99InFault,
        Self::MaxInFault,
        Self::Stretch,
        Self::ExtraBefore,
        Self::ExtraInFault,
    ];
    /// What is shown of the choice.
    const CHOICE: &[Self] = Self::ALL.split_at(9).0;
    /// What is shown of hedges.
    const HEDGES: &[Self] = &[
        Self::P50,
        Self::P99,
        Self::P999,
        Self::Errors,
        Self::Extra,
        Self::Denied,
        Self::Blamed,
        Self::Ejected,
    ];
    const HEDGES_IN_FAULT: &[Self] = &[
        Self::P50,
        Self::P99Before,
        Self::P99InFault,
        Self::Stretch,
        Self::MaxInFault,
        Self::Errors,
        Self::ExtraBefore,
        Self::ExtraInFault,
        Self::Denied,
        Self::Share,
        Self::Blamed,
        Self::Ejected,
    ];

    /// The columns of a scenario.
    pub(crate) fn shown(scenario: &Scenario) -> &'static [Self] {
        match (scenario.is_hedged(), &scenario.fault) {
            (false, _) => Self::CHOICE,
            (true, None) => Self::HEDGES,
            (true, Some(_)) => Self::HEDGES_IN_FAULT,
        }
    }

    pub(crate) fn name(self) -> &'static str {
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
            Self::Extra => "extra %",
            Self::Denied => "denied %",
            Self::Blamed => "blamed %",
            Self::Ejected => "ejected",
            Self::P99Before => "p99 ms",
            Self::P99InFault => "in fault",
            Self::MaxInFault => "max",
            Self::Stretch => "stretch",
            Self::ExtraBefore => "extra %",
            Self::ExtraInFault => "in fault",
        }
    }

    /// Digits worth printing.
    pub(crate) fn decimals(self) -> usize {
        match self {
            Self::Ejected => 0,
            Self::P50 | Self::P99 | Self::P999 | Self::Stop | Self::Back => 1,
            Self::P99Before | Self::P99InFault | Self::MaxInFault => 1,
            Self::Share | Self::Trial | Self::Stretch => 2,
            Self::Extra | Self::Denied | Self::ExtraBefore | Self::ExtraInFault => 2,
            Self::Errors | Self::FaultErrors | Self::Blamed => 3,
        }
    }
}

/// What came out, where a scenario has it; infinite where it never came.
#[derive(Clone, Default)]
pub(crate) struct Measures([Option<f64>; Measure::ALL.len()]);

impl Measures {
    pub(crate) fn get(&self, measure: Measure) -> Option<f64> {
        self.0[measure as usize]
    }

    fn set(&mut self, measure: Measure, value: f64) {
        self.0[measure as usize] = Some(value);
    }

    /// The median of each, but the worst of what one client or one request alone decides.
    pub(crate) fn over_seeds(all: &[Self]) -> Self {
        let mut over = Self::default();
        for measure in Measure::ALL {
            let mut values: Vec<f64> = all.iter().filter_map(|one| one.get(measure)).collect();
            values.sort_by(f64::total_cmp);
            let middle = values.get(values.len() / 2);
            let worst = matches!(measure, Measure::Trial | Measure::MaxInFault);
            let shown = if worst { values.last() } else { middle };
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

/// The requests of some time.
#[derive(Default)]
struct Ended {
    microseconds: Vec<u32>,
    good: u64,
    bad: u64,
    extra: u64,
}

impl Ended {
    fn count(&mut self, good: bool) {
        *if good { &mut self.good } else { &mut self.bad } += 1;
    }

    fn took(&mut self, time: Nanos) {
        self.microseconds.push((time / 1_000) as u32);
    }

    /// Per cent of the requests.
    fn percent(&self, part: u64) -> f64 {
        100.0 * part as f64 / (self.good + self.bad).max(1) as f64
    }

    /// In milliseconds.
    fn percentile(&mut self, part: f64) -> f64 {
        self.microseconds.sort_unstable();
        let at = (self.microseconds.len().saturating_sub(1) as f64 * part).round() as usize;
        self.microseconds.get(at).map_or(f64::NAN, |time| f64::from(*time) / 1e3)
    }
}

/// Collects the requests of one simulation.
pub(crate) struct Meter<'a> {
    scenario: &'a Scenario,
    all: Ended,
    before: Ended,
    in_fault: Ended,
    healthy: Known,
    denied: u64,
    sent: Vec<Sent>,
    trial: Option<Nanos>,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        let requests = END as f64 / scenario.gap() * scenario.clients as f64;
        let microseconds = Vec::with_capacity((requests * 1.1) as usize);
        Self {
            scenario,
            all: Ended { microseconds, ..Ended::default() },
            before: Ended::default(),
            in_fault: Ended::default(),
            healthy: Known::default(),
            denied: 0,
            sent: vec![Sent::default(); SLICES],
            trial: None,
        }
    }

    pub(crate) fn sent(&mut self, server: usize, now: Nanos) {
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

    /// Does this to all the sums that a request of that time is in.
    fn with(&mut self, sent: Nanos, act: impl Fn(&mut Ended)) {
        if sent < WARM_UP {
            return;
        }
        act(&mut self.all);
        match &self.scenario.fault {
            Some(fault) if sent < fault.from => act(&mut self.before),
            Some(fault) if sent < fault.over() => act(&mut self.in_fault),
            _ => {}
        }
    }

    pub(crate) fn answered(&mut self, sent: Nanos, now: Nanos) {
        self.with(sent, |ended| {
            ended.count(true);
            ended.took(now - sent);
        });
    }

    /// One that timed out counts as an error and as a long one: the percentiles would look better without.
    pub(crate) fn failed(&mut self, sent: Nanos, now: Nanos, timed_out: bool) {
        self.with(sent, |ended| {
            ended.count(false);
            if timed_out {
                ended.took(now - sent);
            }
        });
    }

    /// A request of that time has another call.
    pub(crate) fn extra(&mut self, sent: Nanos) {
        self.with(sent, |ended| ended.extra += 1);
    }

    /// So many requests had no hedge paid for at first, of those that are measured.
    pub(crate) fn denied(&mut self, requests: u64) {
        self.denied = requests;
    }

    /// What a client thinks of a server in the end.
    pub(crate) fn known(&mut self, server: usize, known: Known) {
        if server != WATCHED || self.scenario.fault.is_none() {
            self.healthy.failures += known.failures;
            self.healthy.ejections += known.ejections;
        }
    }

    pub(crate) fn finish(mut self) -> Measures {
        let mut measures = Measures::default();
        for (measure, part) in [(Measure::P50, 0.5), (Measure::P99, 0.99), (Measure::P999, 0.999)] {
            measures.set(measure, self.all.percentile(part));
        }
        measures.set(Measure::Errors, self.all.percent(self.all.bad));
        measures.set(Measure::Extra, self.all.percent(self.all.extra));
        measures.set(Measure::Denied, self.all.percent(self.denied));
        measures.set(Measure::Blamed, self.all.percent(self.healthy.failures));
        measures.set(Measure::Ejected, self.healthy.ejections as f64);
        if let Some((from, until)) = self.scenario.window() {
            let slices = (until - from) / SLICE;
            measures.set(Measure::Share, self.share((from / SLICE) as usize, slices as usize));
        }
        if let Some(fault) = &self.scenario.fault {
            let (p99, in_fault) = (self.before.percentile(0.99), self.in_fault.percentile(0.99));
            measures.set(Measure::P99Before, p99);
            measures.set(Measure::P99InFault, in_fault);
            measures.set(Measure::Stretch, in_fault / p99);
            measures.set(Measure::MaxInFault, self.in_fault.percentile(1.0));
            measures.set(Measure::ExtraBefore, self.before.percent(self.before.extra));
            measures.set(Measure::ExtraInFault, self.in_fault.percent(self.in_fault.extra));
            measures.set(Measure::FaultErrors, self.in_fault.percent(self.in_fault.bad));
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
