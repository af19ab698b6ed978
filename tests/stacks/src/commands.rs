//! The commands. Each returns whether all violations were known ones.

use crate::arguments::{Arguments, Command};
use crate::clock::{self, Stopwatch};
use crate::execute::{Findings, Options, single, threaded};
use crate::plan::{Plan, plan, smaller};
use crate::report::{Sums, is_known};
use crate::story::Hash;
use crate::{amplification, budgets, watchdog};
use std::ops::Range;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// Without `--twice`, one plan in 20 is executed twice.
const TWICE_EVERY: u64 = 20;
/// The longest time for which a plan is made smaller.
const MAX_SHRINKING: Duration = Duration::from_secs(120);
const THREADS: usize = 4;
const PLANS_AT_ONCE: usize = 24;

pub(crate) fn execute(arguments: &Arguments) -> bool {
    let options = Options { late: arguments.late, tells: false };
    match &arguments.command {
        Command::Seeds(range) => {
            let watch = Stopwatch::start();
            let (sums, _) = sum_up(range.clone(), arguments.twice, options);
            sums.print(watch.elapsed());
            sums.passed()
        }
        Command::Digest(range) => {
            let (sums, hash) = sum_up(range.clone(), arguments.twice, options);
            println!("digest {:016x} of {} runs", hash.value(), sums.runs());
            sums.print_classes();
            sums.passed()
        }
        Command::One(seed) => tell(&plan(*seed), options),
        Command::Shrink(seed, class) => shrink(*seed, class, options),
        Command::Threads(range) => threads(range.clone(), options),
        Command::Amplification => {
            amplification::print();
            true
        }
        Command::Budgets(range) => budgets::check(range.clone()),
    }
}

/// The sums of these seeds, and the hash of their stories.
fn sum_up(seeds: Range<u64>, twice: bool, options: Options) -> (Sums, Hash) {
    let (mut sums, mut hash) = (Sums::default(), Hash::new());
    for seed in seeds {
        watchdog::beat(seed);
        let plan = plan(seed);
        let mut findings = single(&plan, options);
        if (twice || seed % TWICE_EVERY == 0) && single(&plan, options).hash != findings.hash {
            findings.violations.push(("not-reproducible".into(), String::new()));
        }
        hash.add_number(seed);
        hash.add_number(findings.hash);
        sums.add(seed, &findings);
    }
    (sums, hash)
}

fn tell(plan: &Plan, options: Options) -> bool {
    println!("{plan:#?}");
    watchdog::beat(plan.seed);
    let findings = single(plan, Options { tells: true, ..options });
    for line in &findings.descriptions {
        println!("| {line}");
    }
    for line in &findings.story {
        println!("{line}");
    }
    for (class, text) in &findings.violations {
        println!("{class}: {text}");
    }
    findings.violations.iter().all(|(class, _)| is_known(class))
}

fn shrink(seed: u64, class: &str, options: Options) -> bool {
    let violates = |plan: &Plan| {
        watchdog::beat(seed);
        let Findings { violations, .. } = single(plan, options);
        violations.iter().any(|(found, _)| found == class)
    };
    let mut plan = plan(seed);
    if !violates(&plan) {
        println!("seed {seed} does not show {class}");
        return true;
    }
    let watch = Stopwatch::start();
    let still_violates = |plan: &Plan| watch.elapsed() < MAX_SHRINKING && violates(plan);
    while let Some(less) = smaller(&plan).into_iter().find(still_violates) {
        plan = less;
    }
    tell(&plan, options)
}

fn threads(seeds: Range<u64>, options: Options) -> bool {
    clock::use_real_time();
    let watch = Stopwatch::start();
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_time().build();
    let mut sums = Sums::default();
    runtime.expect("sim: runtime").block_on(async {
        let mut tasks = JoinSet::new();
        for seed in seeds {
            watchdog::beat(seed);
            // on the real clock, a request that takes long may only wait for a processor
            let plan = Plan { patient: false, ..plan(seed) };
            tasks.spawn(async move { (seed, threaded(&plan, options).await) });
            if tasks.len() >= PLANS_AT_ONCE {
                add_next(&mut tasks, &mut sums).await;
            }
        }
        while !tasks.is_empty() {
            add_next(&mut tasks, &mut sums).await;
        }
    });
    sums.print(watch.elapsed());
    sums.passed()
}

/// Adds the findings of the next run that ends.
async fn add_next(tasks: &mut JoinSet<(u64, Findings)>, sums: &mut Sums) {
    let Some(ended) = tasks.join_next().await else { return };
    let (seed, findings) = ended.expect("a run catches the panics of its callers");
    watchdog::beat(seed);
    sums.add(seed, &findings);
}
