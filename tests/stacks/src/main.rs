//! Executes random stacks of the library's layers and checks them. Each stack comes from a seed.
//!
//! ```sh
//! cargo run --locked --profile stacks -p tower-failover-stacks -- seeds 0 20000
//! ```
//!
//! The tests in `tests/it` check that each layer does its job. This program checks the promises that hold for
//! any layers, in any order and with any settings: a request that must not be repeated is not sent
//! twice, no request has more attempts than are allowed, bodies arrive whole, budgets and counts add up,
//! and nothing is left at the end.
//!
//! # Commands
//!
//! | command | effect |
//! |---|---|
//! | `seeds FROM COUNT` | executes the plans of these seeds, and sums up the violations by class |
//! | `digest FROM COUNT` | does the same, and prints one hash of all stories |
//! | `one SEED` | prints the plan of a seed, its stack and its story |
//! | `shrink SEED CLASS` | removes every part of a plan that this violation does not need, and prints the rest |
//! | `threads FROM COUNT` | executes 24 plans at a time on four threads and the real clock, at a hundred times the speed |
//! | `amp` | prints the attempts per request in an outage, with one to three tiers that retry |
//! | `budgets FROM COUNT` | checks the bound of a budget in every span of an outage |
//!
//! | flag | effect |
//! |---|---|
//! | `--twice` | executes every plan twice and compares the stories; the default is every twentieth plan |
//! | `--late` | reports attempts that start after their deadline in every stack, see [Known](#known) |
//! | `--backtrace` | prints a backtrace of every panic that is not part of a plan |
//!
//! The exit code is 1 after a violation that is not known, 2 after a wrong call, and 3 when a run hangs for a
//! minute.
//!
//! # Plans
//!
//! A plan holds:
//!
//! - the protocol: plain values, plain values with a slot for the record of the attempts, HTTP or gRPC;
//! - the layers, from the outside to the inside, and a balancer or none;
//! - the endpoints, with layers of their own;
//! - edits, which change the set of endpoints and steer circuits while the stack serves;
//! - callers, and how many requests each of them sends.
//!
//! Each of these parts is only a kind and a seed. The settings of a layer, the behavior of a backend and the
//! requests of a caller are drawn later, each from the seed of its own part. So `shrink` can remove one
//! part without changing the others: it tries to remove half of the callers, one caller, one
//! request, one layer, one edit, one endpoint or the balancer, keeps the plan if it still violates the class,
//! and ends when nothing more can be removed.
//!
//! A run has one thread and a paused clock, so a seed always gives the same story. Backends succeed, fail,
//! throttle, refuse, hang, panic, break bodies and are not ready, and change their behavior up to twice. Callers
//! drop futures at any poll, leave after some time, poll with wakers that are replaced, and stop in the
//! middle of a body. Some plans have *patient* callers, which never leave: all their requests must end.
//!
//! # The digest
//!
//! Two builds of the library have the same digest if all their stories are the same: every call of a backend and
//! its end, every request and its end, edits and violations, each with its virtual time, and the main
//! counts of all handles at the end. Two things do not enter the digest:
//!
//! - The library's own words, which are error messages and `Debug` output. They may be reworded.
//! - The rest of a run after an endpoint was inserted that may get the memory of a removed one, while
//!   requests are under way that began before the removal. The record of a request identifies endpoints
//!   and budgets by their addresses, so it depends on the allocator whether the new endpoint counts as tried.
//!
//! Nothing else differs between processes: every layer that draws has a seed, there is one thread, and all
//! maps are sorted. The wall clock is read only for a `Retry-After` that is a date, and the dates that backends
//! send are too far off for the day of the run to matter.
//!
//! # Known
//!
//! A class that begins with `known:` is a defect or a limit that was analysed and not fixed. Its runs are
//! counted, and they do not fail the command.
//!
//! One limit has no class: a deadline does not bound the wait for readiness, nor any attempt where
//! `min_attempt` is zero. In stacks that wait or have this setting, an attempt may start after its deadline; with
//! `--late` this is reported too.

mod amplification;
mod arguments;
mod backend;
mod budgets;
mod callers;
mod clock;
mod commands;
mod edits;
mod execute;
mod family;
mod invariants;
mod layers;
mod load;
mod panics;
mod plan;
mod random;
mod report;
mod run;
mod stack;
mod story;
mod taps;
mod watchdog;
mod world;

use arguments::{Arguments, USAGE};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse(std::env::args().skip(1)) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    panics::collect(arguments.backtrace);
    watchdog::start();
    if commands::execute(&arguments) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
