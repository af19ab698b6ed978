//! What one call of a case costs.

use crate::run::run_blocking;
use std::collections::HashMap;
use std::env;
use std::fs;
use std::process::Command;

const FEW: u64 = 1_000;
const MANY: u64 = 11_000;

/// Instructions and clock reads of one run.
fn callgrind(case: &str, pending: bool, calls: u64) -> (f64, f64) {
    let file = env::temp_dir().join(format!("cost-{}.callgrind", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-line=no"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe().unwrap())
        .args(["run", case, &pending.to_string(), &calls.to_string()])
        .output()
        .expect("valgrind is installed");
    let log = String::from_utf8_lossy(&output.stderr);
    let (_, total) = log.split_once("Collected : ").unwrap_or_else(|| panic!("{log}"));
    let total = total.lines().next().unwrap().trim().parse().unwrap();
    let clocks = clock_reads(&fs::read_to_string(&file).unwrap());
    fs::remove_file(file).unwrap();
    (total, clocks)
}

/// Adds up the looks at the clock in callgrind's output, where names are given once and then go by number.
/// The look that tokio's driver takes each time it turns while any timer is set is the runtime's own.
fn clock_reads(profile: &str) -> f64 {
    let mut names = HashMap::new();
    let (mut reads, mut of_runtime, mut of_clock) = (0.0, false, false);
    for line in profile.lines() {
        if let Some(function) = line.strip_prefix("fn=").or(line.strip_prefix("cfn=")) {
            let (number, name) = function.split_once(' ').unwrap_or((function, ""));
            let name = names.entry(number).or_insert(name);
            if line.starts_with("fn=") {
                of_runtime = name.contains("tokio::runtime::time::Driver");
            } else {
                of_clock = name.contains("Timespec") && name.ends_with("::now") && !of_runtime;
            }
        } else if let Some(calls) = line.strip_prefix("calls=").filter(|_| of_clock) {
            reads += calls.split(' ').next().unwrap().parse::<f64>().unwrap();
            of_clock = false;
        }
    }
    reads
}

/// Instructions and clock reads of one call.
fn per_call(case: &str, pending: bool) -> (f64, f64) {
    let (few, many) = (callgrind(case, pending, FEW), callgrind(case, pending, MANY));
    let calls = (MANY - FEW) as f64;
    ((many.0 - few.0) / calls, (many.1 - few.1) / calls)
}

fn allocations(case: &str, pending: bool) -> f64 {
    // what a thread makes once, as its source of random numbers, is not the cost of a call
    run_blocking(case, pending, FEW);
    let count = |calls| {
        allocation_counter::measure(|| run_blocking(case, pending, calls)).count_total as f64
    };
    (count(MANY) - count(FEW)) / (MANY - FEW) as f64
}

/// What one case costs above bare: instructions, clock reads, allocations.
pub(crate) fn above_bare(case: &str, pending: bool) -> [f64; 3] {
    let bare = match case.split_once(": ") {
        Some(("http", _)) => "http: bare",
        Some(("frames", _)) => "frames: bare",
        _ => "bare",
    };
    let (instructions, clocks) = per_call(case, pending);
    let (own, own_clocks) = per_call(bare, pending);
    let allocations = allocations(case, pending) - allocations(bare, pending);
    [instructions - own, clocks - own_clocks, allocations]
}
