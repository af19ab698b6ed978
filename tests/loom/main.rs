//! The circuit and its windows, explored by [loom] in every order that three threads can take.
//!
//! The sources are compiled here a second time, over a model of `crate::sync`; so the crate itself needs
//! no feature and no `cfg` for it. Each model runs twice: with loads as loads, which may be stale, and
//! with loads as read-modify-writes. The second is needed since loom keeps the last access of each object
//! only: a thread's own load hides another's, and orders in which nothing but loads came before are not
//! tried. How many interleavings there are is held to a floor, so that a model that explores nothing any
//! more is noticed; and each must find the bugs that are planted beneath it.
//!
//! This is no libtest harness, since that would run the unit tests of the sources over the model. Its
//! output and its arguments are those of one.
//!
//! [loom]: https://docs.rs/loom

mod calls;
mod explore;
mod late;
mod permits;
mod runner;
mod sync;
mod trip;
mod windows;

// a folder as the path, so that the modules find their own files below it
#[path = "../../src"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "what the models don't use, and unit tests without their harness"
)]
mod src {
    pub mod backoff;
    pub mod circuit;
    pub mod error;
    pub mod padded;
    pub mod ratio;
    pub mod rng;
    pub mod striped;
    pub mod window;
}
use src::{backoff, circuit, error, padded, ratio, rng, striped, window};

use explore::Model;
use std::process::ExitCode;
use sync::Plant;

/// The floors are a little below what was counted when the models were written.
const MODELS: &[Model] = &[
    Model {
        name: "permits::one_trial_is_inside_at_most_and_its_permit_comes_back",
        run: permits::one_trial_is_inside_at_most_and_its_permit_comes_back,
        floors: [600, 1_400],
        finds: &[Plant::NoLock, Plant::KeptPermit],
    },
    Model {
        name: "permits::two_trials_are_inside_at_most_and_their_permits_come_back",
        run: permits::two_trials_are_inside_at_most_and_their_permits_come_back,
        floors: [1_500, 4_000],
        finds: &[Plant::NoLock, Plant::KeptPermit],
    },
    Model {
        name: "permits::what_a_trial_did_is_seen_by_those_admitted_after_it",
        run: permits::what_a_trial_did_is_seen_by_those_admitted_after_it,
        floors: [160, 170],
        finds: &[Plant::Relaxed],
    },
    Model {
        name: "late::a_failure_from_before_the_trip_changes_nothing",
        run: late::a_failure_from_before_the_trip_changes_nothing,
        floors: [10_000, 8_500],
        finds: &[Plant::NoLock, Plant::Renewed],
    },
    Model {
        name: "late::a_success_from_before_the_trip_changes_nothing",
        run: late::a_success_from_before_the_trip_changes_nothing,
        floors: [6_000, 6_500],
        finds: &[Plant::NoLock, Plant::Renewed],
    },
    Model {
        name: "late::a_trial_that_was_overtaken_changes_nothing",
        run: late::a_trial_that_was_overtaken_changes_nothing,
        floors: [1_300, 1_800],
        finds: &[Plant::NoLock],
    },
    Model {
        name: "trip::two_failures_at_the_edge_of_a_slice_open_the_circuit_once",
        run: trip::two_failures_at_the_edge_of_a_slice_open_the_circuit_once,
        floors: [400, 1_000],
        finds: &[Plant::NoLock, Plant::Relaxed],
    },
    Model {
        name: "trip::two_failures_in_one_slice_open_the_circuit_once",
        run: trip::two_failures_in_one_slice_open_the_circuit_once,
        floors: [1_000, 1_300],
        finds: &[Plant::NoLock, Plant::Torn],
    },
    Model {
        name: "trip::two_failures_in_a_row_open_the_circuit_once",
        run: trip::two_failures_in_a_row_open_the_circuit_once,
        floors: [220, 450],
        finds: &[Plant::NoLock, Plant::Torn],
    },
    Model {
        name: "windows::by_time_all_calls_are_counted_where_a_slice_is_used_again",
        run: windows::by_time_all_calls_are_counted_where_a_slice_is_used_again,
        floors: [250, 1_400],
        finds: &[Plant::Torn],
    },
    Model {
        name: "windows::by_time_nothing_of_an_old_era_is_seen_in_the_new_one",
        run: windows::by_time_nothing_of_an_old_era_is_seen_in_the_new_one,
        floors: [20_000, 5_000],
        finds: &[Plant::Torn],
    },
    Model {
        name: "windows::by_number_all_calls_are_counted_until_others_take_their_places",
        run: windows::by_number_all_calls_are_counted_until_others_take_their_places,
        floors: [18_000, 4_000],
        finds: &[Plant::Torn],
    },
    Model {
        name: "windows::by_number_nothing_of_an_old_era_is_seen_in_the_new_one",
        run: windows::by_number_nothing_of_an_old_era_is_seen_in_the_new_one,
        floors: [5_500, 2_000],
        finds: &[Plant::Torn],
    },
];

fn main() -> ExitCode {
    runner::run(MODELS.iter().flat_map(Model::tests).collect())
}
