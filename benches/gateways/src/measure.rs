//! What came out of a run, and how several are read and written.

use crate::BoxError;
use crate::fault::Fault;
use crate::gateway::Gateway;
use crate::load::Answer;
use serde::{Deserialize, Serialize};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One run. Times of requests are in ms, of good answers only but for `max`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) gw: String,
    pub(crate) fault: String,
    pub(crate) round: u32,
    pub(crate) rate: f64,
    /// Seconds from the fault's begin to its end.
    #[serde(default = "seven")]
    pub(crate) fault_s: f64,
    pub(crate) before: Phase,
    pub(crate) during: Phase,
    pub(crate) after: Phase,
    /// Seconds from the fault's begin until the last request was due that failed; 0 if none did.
    pub(crate) last_err_s: f64,
    /// The faulty backend's part of all attempts in the fault.
    pub(crate) bad_share_during: f64,
    /// Seconds after healing until a second begins in which it has half of its former part.
    pub(crate) back_s: Option<f64>,
}

fn seven() -> f64 {
    7.0
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Phase {
    pub(crate) n: usize,
    pub(crate) err: usize,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub(crate) max: Option<f64>,
    /// What the backends were asked for each request.
    pub(crate) attempts_per_req: f64,
}

impl Run {
    /// Reads a file of one run or of many, or a folder of such files.
    pub(crate) fn read(path: &Path) -> Result<Vec<Self>, BoxError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum File {
            Many(Vec<Run>),
            One(Box<Run>),
        }
        let files = if path.is_dir() { json_files(path)? } else { vec![path.to_path_buf()] };
        let mut runs = Vec::new();
        for file in files {
            let named = |error: BoxError| format!("{}: {error}", file.display());
            let text = fs::read_to_string(&file).map_err(|error| named(error.into()))?;
            match serde_json::from_str(&text).map_err(|error| named(error.into()))? {
                File::Many(many) => runs.extend(many),
                File::One(one) => runs.push(*one),
            }
        }
        if runs.is_empty() {
            return Err(format!("{}: there are no runs", path.display()).into());
        }
        Ok(runs)
    }

    pub(crate) fn write(runs: &[Self], path: &Path) -> Result<(), BoxError> {
        let text = serde_json::to_string_pretty(runs)?;
        fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// Seconds after healing when the last request was due that failed.
    pub(crate) fn late_error(&self) -> Option<f64> {
        (self.last_err_s > self.fault_s).then_some(self.last_err_s - self.fault_s)
    }

    pub(crate) fn is_of(&self, gateway: Gateway, fault: Fault) -> bool {
        self.gw == gateway.name() && self.fault == fault.to_string()
    }
}

fn json_files(folder: &Path) -> Result<Vec<PathBuf>, BoxError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        files.push(entry?.path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(files)
}

/// What was seen in a run; all times are stamps.
pub(crate) struct Seen {
    pub(crate) from: u64,
    pub(crate) broken: u64,
    pub(crate) healed: u64,
    pub(crate) until: u64,
    pub(crate) answers: Vec<Answer>,
    /// Of each backend, the faulty one last.
    pub(crate) arrivals: Vec<Vec<u64>>,
}

impl Seen {
    pub(crate) fn sum_up(&self, gateway: Gateway, fault: Fault, round: u32, rate: f64) -> Run {
        let &Self { from, broken, healed, until, .. } = self;
        let later_errors =
            self.answers.iter().filter(|answer| !answer.good && answer.due >= broken);
        let last_error = later_errors.map(|answer| answer.due).max();
        Run {
            gw: gateway.name().into(),
            fault: fault.to_string(),
            round,
            rate,
            fault_s: seconds(healed - broken),
            // who was asked before and is still waiting when it breaks sees the fault
            before: self.phase(from..broken, |answer| answer.due >= from && answer.ended < broken),
            during: self
                .phase(broken..healed, |answer| answer.ended >= broken && answer.due < healed),
            after: self.phase(healed..until, |answer| answer.due >= healed),
            last_err_s: last_error.map_or(0.0, |due| seconds(due - broken)),
            bad_share_during: self.last_ones_share(broken..healed),
            back_s: self.back(),
        }
    }

    fn phase(&self, span: Range<u64>, belongs: impl Fn(&Answer) -> bool) -> Phase {
        let all: Vec<&Answer> = self.answers.iter().filter(|answer| belongs(answer)).collect();
        let mut good: Vec<f64> =
            all.iter().filter(|answer| answer.good).map(|answer| answer.ms()).collect();
        good.sort_by(f64::total_cmp);
        let part = |part: f64| {
            let at = (part * good.len() as f64) as usize;
            good.get(at.min(good.len().saturating_sub(1))).copied()
        };
        let due = self.answers.iter().filter(|answer| span.contains(&answer.due)).count();
        let arrived: usize = self.arrivals.iter().map(|one| within(one, &span)).sum();
        Phase {
            n: all.len(),
            err: all.len() - good.len(),
            p50: part(0.5),
            p90: part(0.9),
            p99: part(0.99),
            p999: part(0.999),
            max: all.iter().map(|answer| answer.ms()).max_by(f64::total_cmp),
            attempts_per_req: arrived as f64 / due.max(1) as f64,
        }
    }

    fn last_ones_share(&self, span: Range<u64>) -> f64 {
        let all: usize = self.arrivals.iter().map(|one| within(one, &span)).sum();
        let last = self.arrivals.last().map_or(0, |one| within(one, &span));
        last as f64 / all.max(1) as f64
    }

    fn back(&self) -> Option<f64> {
        const STEP: u64 = 100_000;
        const WHOLE: u64 = 1_000_000;
        let enough = self.last_ones_share(self.from..self.broken) / 2.0;
        let mut begins =
            (self.healed..).step_by(STEP as usize).take_while(|begin| begin + WHOLE <= self.until);
        let back = begins.find(|&begin| self.last_ones_share(begin..begin + WHOLE) >= enough)?;
        Some(seconds(back - self.healed))
    }
}

fn within(stamps: &[u64], span: &Range<u64>) -> usize {
    stamps.iter().filter(|stamp| span.contains(stamp)).count()
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}
