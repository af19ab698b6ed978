//! How well calls are balanced: a simulation, the same on every machine.
//!
//! ```sh
//! cargo run --profile bench -p tower-failover-bench-sim
//! cargo run --profile bench -p tower-failover-bench-sim -- --only uniform,blackhole --policies tower --seeds 1
//! ```
//!
//! Clients send calls to servers that queue them, some of which fail, fall silent or get slow; each
//! client has a policy of its own that sees its own calls only, and where the scenario is one of hedges,
//! a delay and a budget of its own. The figures are medians over the seeds, but for the first trial and
//! the longest request in a fault, of which the latest and the longest are shown.

mod agenda;
mod client;
mod clock;
mod kinds;
mod measure;
mod peers;
mod random;
mod report;
mod scenario;
mod shipped;
mod wire;
mod world;

use kinds::Kind;
use measure::Measures;
use report::Block;
use scenario::{SCENARIOS, Scenario};
use std::env;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

struct Options {
    scenarios: Vec<&'static Scenario>,
    /// None: all that a scenario compares.
    policies: Option<Vec<Kind>>,
    seeds: u64,
}

impl Options {
    /// # Panics
    ///
    /// For what is not known.
    fn read(mut args: impl Iterator<Item = String>) -> Self {
        let mut options = Self { scenarios: SCENARIOS.iter().collect(), policies: None, seeds: 5 };
        while let Some(option) = args.next() {
            let value = args.next().unwrap_or_else(|| panic!("{option} needs a value"));
            match option.as_str() {
                "--only" => options.scenarios = named(&value, &SCENARIOS.each_ref(), |s| s.name),
                "--policies" => {
                    options.policies = Some(named(&value, &Kind::ALL, |kind| kind.name()));
                }
                "--seeds" => options.seeds = value.parse().expect("a number of seeds"),
                _ => panic!("unknown option {option}"),
            }
        }
        options
    }
}

fn named<T: Copy>(list: &str, all: &[T], name: fn(&T) -> &'static str) -> Vec<T> {
    let find = |wanted| all.iter().find(|one| name(one) == wanted);
    list.split(',')
        .map(|wanted| *find(wanted).unwrap_or_else(|| panic!("there is no {wanted}")))
        .collect()
}

/// Simulates each policy with each seed, on all processors.
fn measure(scenario: &'static Scenario, options: &Options) -> Block {
    let seeds = options.seeds as usize;
    let wanted = |kind: &&Kind| options.policies.as_ref().is_none_or(|all| all.contains(kind));
    let policies: Vec<Kind> = scenario.policies.iter().filter(wanted).copied().collect();
    let runs: Vec<OnceLock<Measures>> =
        (0..policies.len() * seeds).map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    let simulate = || {
        loop {
            let at = next.fetch_add(1, Relaxed);
            let Some(run) = runs.get(at) else { break };
            run.get_or_init(|| policies[at / seeds].measure(scenario, (at % seeds) as u64 + 1));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(simulate);
        }
    });
    let runs: Vec<Measures> = runs.into_iter().filter_map(OnceLock::into_inner).collect();
    let medians = runs.chunks(seeds).map(Measures::over_seeds);
    Block { scenario, rows: policies.into_iter().zip(medians).collect() }
}

/// Fails where our own balancing does not keep to a limit.
fn main() -> ExitCode {
    let options = Options::read(env::args().skip(1));
    let mut blocks = Vec::new();
    for scenario in &options.scenarios {
        let block = measure(scenario, &options);
        block.print();
        blocks.push(block);
    }
    if report::limits_hold(&blocks) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
