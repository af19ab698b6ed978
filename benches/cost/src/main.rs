//! What a good call costs, in instructions, clock reads and allocations above the bare service.
//!
//! ```sh
//! cargo run --profile bench -p tower-failover-bench-cost           # the table; needs valgrind
//! cargo run --profile bench -p tower-failover-bench-cost -- retry  # cases whose name contains this
//! ```
//!
//! The program runs itself under callgrind, each case with few and with many calls, and takes the
//! difference: that is exact and repeatable, whatever else the machine does. The inner service
//! answers at once, or (`pending once`) is pending the first time it is polled, as anything that
//! waits for a socket is.

mod callgrind;
mod cases;
mod endpoints;
mod frames;
mod peers;
mod run;
mod services;
mod threads;

use callgrind::above_bare;
use cases::CASES;
use run::run_blocking;
use std::collections::HashMap;
use std::env;
use threads::threads;

fn table(wanted: &str) {
    let mut over = Vec::new();
    let mut measured = HashMap::new();
    for pending in [false, true] {
        println!("\nabove the bare service, {}:\n", if pending { "pending once" } else { "ready" });
        println!("| {:<36} | instructions | limit | clock reads | allocations |", "");
        println!("|{:-<38}|-------------:|------:|------------:|------------:|", "");
        for case in CASES.iter().filter(|case| case.name.contains(wanted)) {
            let name = case.name;
            let [instructions, clocks, allocations] = above_bare(name, pending);
            let limit = case.instructions[usize::from(pending)];
            println!(
                "| {name:<36} | {instructions:>12.1} | {:>5} | {clocks:>11.2} | {allocations:>11.2} |",
                limit.map_or(String::new(), |limit| format!("{limit:.0}")),
            );
            let ours = limit.is_some();
            if limit.is_some_and(|limit| instructions > limit)
                || clocks > case.clock_reads[usize::from(pending)]
                || ours && allocations > 0.0
            {
                over.push(name);
            }
            measured.insert((name, pending), instructions);
        }
    }
    let after = |calls| measured.get(&(calls, false));
    if let (Some(few), Some(many)) =
        (after("breaker, after 750 calls"), after("breaker, after 6000 calls"))
    {
        println!("\n6000 calls in the window cost {:.3} of 750", many / few);
        assert!(many / few <= 1.05, "the cost grows with the calls in the window");
    }
    endpoints::print(wanted, |count| measured.get(&(count, false)).copied());
    for (name, ratio) in threads(wanted) {
        println!("two threads make {ratio:.2} times the calls of one: {name}");
    }
    assert!(over.is_empty(), "over a limit of instructions, clock reads or allocations: {over:?}");
}

fn main() {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["run", case, pending, calls] => {
            run_blocking(case, pending.parse().unwrap(), calls.parse().unwrap());
        }
        [wanted] => table(wanted),
        _ => table(""),
    }
}
