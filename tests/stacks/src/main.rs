//! Random stacks of the library's layers, executed and checked, each from a seed.
//!
//! ```sh
//! cargo run --locked --profile stacks -p tower-failover-stacks -- seeds 0 20000
//! ```
//!
//! The tests in `tests/it` ask whether a layer does what it is for. This program asks whether any layers, in
//! any order and with any settings, keep the promises that hold for all of them: a request that must
//! not be repeated is not sent twice, no more attempts are made than are allowed, bodies arrive whole,
//! budgets and counts add up, and nothing is left when all is over.
//!
//! # Commands
//!
//! | command | does |
//! |---|---|
//! | `seeds FROM COUNT` | executes the plans of these seeds, and sums up what was violated, by class |
//! | `digest FROM COUNT` | the same, and prints one hash of all that happened |
//! | `one SEED` | prints the plan of a seed, its stack and its story |
//! | `shrink SEED CLASS` | leaves out of a plan whatever this violation does not need, and prints the rest |
//! | `threads FROM COUNT` | executes 24 plans at a time on four threads, on the real clock, a hundred times as fast |
//! | `amp` | attempts per request in an outage, with one to three tiers that retry |
//! | `budgets FROM COUNT` | checks the bound of a budget in every span of an outage |
//!
//! | flag | does |
//! |---|---|
//! | `--twice` | executes every plan twice and compares the stories; without it, every twentieth plan |
//! | `--late` | does not excuse attempts that start after their deadline, see [Known](#known) |
//! | `--backtrace` | prints a backtrace of every panic that no plan holds |
//!
//! The exit code is 1 if anything was violated that is not known, 2 for a wrong call, and 3 if a run hangs
//! for a minute.
//!
//! # Plans
//!
//! A plan is what a seed means: the protocol (plain values, plain values with a slot for the record of the
//! attempts, HTTP, gRPC), the layers from the outside to the inside, a balancer or none, endpoints with layers
//! of their own, edits of the set and of circuits while the stack serves, and callers. A plan says of each
//! part only its kind and a seed. The settings of a layer, the behaviour of a backend and the requests of
//! a caller are drawn from the seed of their part, so one part can be left out without a change of the others.
//! This is how `shrink` works: it leaves out half of the callers, one caller, one request, one layer,
//! one edit, one endpoint or the balancer, keeps what still violates the class, and ends where nothing more
//! can go.
//!
//! A run has one thread and a paused clock, so a seed gives the same story each time. Backends succeed,
//! fail, throttle, refuse, hang, panic, break bodies and are not ready, in two to three periods. Callers drop
//! futures at any poll, leave after some time, poll with wakers that are forgotten, and stop in the middle of a
//! body. Some plans have *patient* callers, who never leave: their requests must end by themselves.
//!
//! # The digest
//!
//! Two builds of the library have the same digest if all stories are the same: every call of a backend and its
//! end, every request and its end, edits, violations, each with its virtual time, and at the end the counts of
//! all handles. The words of the library are left out, error messages and `Debug` output, so a
//! rewording keeps the digest. Left out too is the rest of a run in which an endpoint may get the memory of
//! one that was removed while requests are under way that know of it: the record of a request tells
//! endpoints and budgets apart by their addresses, so whether the new one counts as tried is up to the allocator.
//! Apart from that, no run depends on the process: all layers have seeds, there is one thread, and whatever
//! is gone through is sorted.
//!
//! The one thing that is read from outside is the wall clock, to understand a `Retry-After` that is a date. The
//! dates that backends send lie so far off that the day of the run makes no difference.
//!
//! # Known
//!
//! A class that begins with `known:` is a defect or a limit that was looked at and not mended. It is counted
//! and fails nothing.
//!
//! A deadline does not bound the wait for readiness, so an attempt may start late where a layer or a backend
//! of the stack waits; nor does it with a `min_attempt` of zero. Such stacks are excused, unless `--late` is
//! given.

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
