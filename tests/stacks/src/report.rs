//! Sums over many runs.

use crate::execute::Findings;
use std::collections::BTreeMap;
use std::time::Duration;

/// More seeds of a class are not listed.
const MAX_SEEDS: usize = 12;

/// Classes with this prefix are known and not fixed: they fail no run.
const KNOWN: &str = "known:";

#[derive(Default)]
pub(crate) struct Sums {
    runs: u64,
    requests: u64,
    calls: u64,
    virtual_time: Duration,
    ends: BTreeMap<&'static str, u64>,
    classes: BTreeMap<String, Class>,
}

/// The runs that violated one thing.
#[derive(Default)]
struct Class {
    runs: u64,
    seeds: Vec<u64>,
    /// The description of the first violation.
    example: String,
}

impl Sums {
    pub(crate) fn add(&mut self, seed: u64, findings: &Findings) {
        self.runs += 1;
        self.requests += findings.requests;
        self.calls += findings.calls;
        self.virtual_time += findings.virtual_time;
        for (how, count) in &findings.ends {
            *self.ends.entry(how).or_default() += count;
        }
        // each class once a run
        let first: BTreeMap<_, _> = findings.violations.iter().rev().cloned().collect();
        for (class, text) in first {
            let class = self.classes.entry(class).or_default();
            class.runs += 1;
            if class.runs == 1 {
                class.example = text;
            }
            if class.seeds.len() < MAX_SEEDS {
                class.seeds.push(seed);
            }
        }
    }

    pub(crate) fn runs(&self) -> u64 {
        self.runs
    }

    pub(crate) fn print(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        println!(
            "{} seeds in {seconds:.1} s ({:.0} a minute), {} requests, {} calls, {:.0} virtual s",
            self.runs,
            self.runs as f64 * 60.0 / seconds,
            self.requests,
            self.calls,
            self.virtual_time.as_secs_f64()
        );
        println!("ends: {:?}", self.ends);
        self.print_classes();
    }

    pub(crate) fn print_classes(&self) {
        for (name, class) in &self.classes {
            println!("{name}: {} seeds, as {:?}\n    {}", class.runs, class.seeds, class.example);
        }
    }

    /// Whether nothing was violated but what is known.
    pub(crate) fn passed(&self) -> bool {
        self.classes.keys().all(|class| is_known(class))
    }
}

pub(crate) fn is_known(class: &str) -> bool {
    class.starts_with(KNOWN)
}
