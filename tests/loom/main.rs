//! The circuit and its windows, the words of a set of endpoints, those who wait and the budget, explored by
//! [loom] in every order that three threads can take.
//!
//! The sources are compiled here a second time, over a model of `crate::sync`; so the crate itself needs
//! no feature and no `cfg` for it. Each model runs twice: with loads as loads, which may be stale, and
//! with loads as read-modify-writes. The second is needed since loom keeps the last access of each object
//! only: a thread's own load hides another's, and orders in which nothing but loads came before are not
//! tried. How many interleavings there are is held to a floor, so that a model that explores nothing any
//! more is noticed; and each must find the bugs that are planted beneath it. A model that gives false alarms
//! with stale loads says why, and is reported as ignored there.
//!
//! This is no libtest harness, since that would run the unit tests of the sources over the model. Its
//! output and its arguments are those of one.
//!
//! [loom]: https://docs.rs/loom

mod budgets;
mod calls;
mod cool_down;
mod explore;
mod gate;
mod late;
mod permits;
mod runner;
mod situation;
mod sync;
mod trips;
mod waiting;
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
    pub mod budget;
    pub mod circuit;
    pub mod clock;
    pub mod endpoints {
        pub mod availability;
        pub mod census;
        pub mod change_count;
        pub mod checked;
        pub mod cool_down;
        pub mod gate;
        pub mod situation;
        pub mod tiers;
    }
    pub mod error;
    pub mod ewma;
    pub mod padded;
    pub mod ratio;
    pub mod rng;
    pub mod shortest;
    pub mod striped;
    pub mod trip;
    pub mod waiters;
    pub mod window;
}
use src::{
    backoff, budget, circuit, clock, endpoints, error, ewma, padded, ratio, rng, shortest, striped,
    trip, waiters, window,
};

use explore::Floors::{AsUpdates, Both};
use explore::Model;
use std::process::ExitCode;
use sync::Plant;

/// Each of two threads writes one word and then reads the other's.
const DEKKER: &str =
    "loom knows no order of all SeqCst accesses, so that both may read the old values";

/// The floors are a little below what was counted when the models were written.
const MODELS: &[Model] = &[
    Model {
        name: "permits::one_trial_is_inside_at_most_and_its_permit_comes_back",
        run: permits::one_trial_is_inside_at_most_and_its_permit_comes_back,
        floors: Both([600, 1_400]),
        finds: &[Plant::NoLock, Plant::KeptPermit],
    },
    Model {
        name: "permits::two_trials_are_inside_at_most_and_their_permits_come_back",
        run: permits::two_trials_are_inside_at_most_and_their_permits_come_back,
        floors: Both([1_500, 4_000]),
        finds: &[Plant::NoLock, Plant::KeptPermit],
    },
    Model {
        name: "permits::what_a_trial_did_is_seen_by_those_admitted_after_it",
        run: permits::what_a_trial_did_is_seen_by_those_admitted_after_it,
        floors: Both([160, 170]),
        finds: &[Plant::Relaxed],
    },
    Model {
        name: "late::a_failure_from_before_the_trip_changes_nothing",
        run: late::a_failure_from_before_the_trip_changes_nothing,
        floors: Both([10_000, 8_500]),
        finds: &[Plant::NoLock, Plant::Renewed],
    },
    Model {
        name: "late::a_success_from_before_the_trip_changes_nothing",
        run: late::a_success_from_before_the_trip_changes_nothing,
        floors: Both([6_000, 6_500]),
        finds: &[Plant::NoLock, Plant::Renewed],
    },
    Model {
        name: "late::a_trial_that_was_overtaken_changes_nothing",
        run: late::a_trial_that_was_overtaken_changes_nothing,
        floors: Both([1_300, 1_800]),
        finds: &[Plant::NoLock],
    },
    Model {
        name: "trips::two_failures_at_the_edge_of_a_slice_open_the_circuit_once",
        run: trips::two_failures_at_the_edge_of_a_slice_open_the_circuit_once,
        floors: Both([400, 1_000]),
        finds: &[Plant::NoLock, Plant::Relaxed],
    },
    Model {
        name: "trips::two_failures_in_one_slice_open_the_circuit_once",
        run: trips::two_failures_in_one_slice_open_the_circuit_once,
        floors: Both([1_000, 1_300]),
        finds: &[Plant::NoLock, Plant::Torn],
    },
    Model {
        name: "trips::two_failures_in_a_row_open_the_circuit_once",
        run: trips::two_failures_in_a_row_open_the_circuit_once,
        floors: Both([220, 450]),
        finds: &[Plant::NoLock, Plant::Torn],
    },
    Model {
        name: "windows::by_time_all_calls_are_counted_where_a_slice_is_used_again",
        run: windows::by_time_all_calls_are_counted_where_a_slice_is_used_again,
        floors: Both([250, 1_400]),
        finds: &[Plant::Torn],
    },
    Model {
        name: "windows::by_time_nothing_of_an_old_era_is_seen_in_the_new_one",
        run: windows::by_time_nothing_of_an_old_era_is_seen_in_the_new_one,
        floors: Both([20_000, 5_000]),
        finds: &[Plant::Torn],
    },
    Model {
        name: "windows::by_number_all_calls_are_counted_until_others_take_their_places",
        run: windows::by_number_all_calls_are_counted_until_others_take_their_places,
        floors: Both([18_000, 4_000]),
        finds: &[Plant::Torn],
    },
    Model {
        name: "windows::by_number_nothing_of_an_old_era_is_seen_in_the_new_one",
        run: windows::by_number_nothing_of_an_old_era_is_seen_in_the_new_one,
        floors: Both([5_500, 2_000]),
        finds: &[Plant::Torn],
    },
    Model {
        name: "gate::no_flag_is_lost_where_a_check_an_ejection_a_return_and_a_throttle_meet",
        run: gate::no_flag_is_lost_where_a_check_an_ejection_a_return_and_a_throttle_meet,
        floors: Both([550, 290]),
        finds: &[Plant::Torn],
    },
    Model {
        name: "gate::no_flag_is_kept_where_all_that_clears_them_meets",
        run: gate::no_flag_is_kept_where_all_that_clears_them_meets,
        floors: Both([270, 290]),
        finds: &[Plant::Torn],
    },
    Model {
        name: "gate::a_ramp_that_is_over_ends_no_other_one",
        run: gate::a_ramp_that_is_over_ends_no_other_one,
        floors: Both([80, 180]),
        finds: &[Plant::Torn],
    },
    Model {
        name: "gate::one_that_is_drained_while_it_is_ejected_is_counted_once",
        run: gate::one_that_is_drained_while_it_is_ejected_is_counted_once,
        floors: Both([140, 170]),
        finds: &[Plant::NoLock, Plant::Torn, Plant::LooksOnce],
    },
    Model {
        name: "gate::one_that_is_drained_while_it_returns_is_counted_once",
        run: gate::one_that_is_drained_while_it_returns_is_counted_once,
        floors: Both([180, 290]),
        finds: &[Plant::NoLock, Plant::Torn],
    },
    Model {
        name: "gate::a_silent_endpoint_is_watched",
        run: gate::a_silent_endpoint_is_watched,
        floors: Both([2_200, 440]),
        finds: &[Plant::LooksOnce, Plant::Swapped, Plant::Relaxed],
    },
    Model {
        name: "cool_down::a_rest_is_only_ever_made_longer",
        run: cool_down::a_rest_is_only_ever_made_longer,
        floors: Both([5_600, 1_200]),
        finds: &[Plant::Torn],
    },
    Model {
        name: "cool_down::calls_that_were_under_way_when_a_rest_began_do_not_count_again",
        run: cool_down::calls_that_were_under_way_when_a_rest_began_do_not_count_again,
        floors: Both([190, 1_800]),
        finds: &[Plant::Swapped],
    },
    Model {
        name: "cool_down::calls_that_are_throttled_in_one_instant_count_once_each_at_most",
        run: cool_down::calls_that_are_throttled_in_one_instant_count_once_each_at_most,
        floors: Both([2_800, 630]),
        finds: &[Plant::Swapped],
    },
    Model {
        name: "cool_down::one_trial_is_out_at_a_time",
        run: cool_down::one_trial_is_out_at_a_time,
        floors: Both([290, 3_200]),
        finds: &[Plant::Torn],
    },
    Model {
        name: "cool_down::a_success_that_began_after_the_rest_ends_it",
        run: cool_down::a_success_that_began_after_the_rest_ends_it,
        floors: Both([330, 420]),
        finds: &[Plant::Swapped],
    },
    Model {
        name: "cool_down::a_success_that_began_in_a_rest_leaves_it_as_it_is",
        run: cool_down::a_success_that_began_in_a_rest_leaves_it_as_it_is,
        floors: Both([60, 250]),
        finds: &[Plant::Swapped],
    },
    Model {
        name: "cool_down::no_success_cuts_short_a_rest_that_others_ask_for",
        run: cool_down::no_success_cuts_short_a_rest_that_others_ask_for,
        floors: Both([1_100, 1_700]),
        finds: &[Plant::Torn],
    },
    Model {
        name: "situation::a_change_that_was_noted_is_never_missed",
        run: situation::a_change_that_was_noted_is_never_missed,
        floors: Both([270, 440]),
        finds: &[Plant::Swapped, Plant::Relaxed],
    },
    Model {
        name: "situation::the_set_is_looked_through_by_one_at_a_time_and_no_more_often_than_it_changes",
        run:
            situation::the_set_is_looked_through_by_one_at_a_time_and_no_more_often_than_it_changes,
        floors: Both([1_400, 1_000]),
        finds: &[Plant::NoLock],
    },
    Model {
        name: "waiting::whoever_waits_and_whoever_wakes_never_miss_each_other",
        run: waiting::whoever_waits_and_whoever_wakes_never_miss_each_other,
        floors: Both([550, 380]),
        finds: &[Plant::Swapped, Plant::NoLock],
    },
    Model {
        name: "waiting::nor_do_they_where_nobody_is_woken_if_nobody_waits",
        run: waiting::nor_do_they_where_nobody_is_woken_if_nobody_waits,
        floors: AsUpdates(420, DEKKER),
        finds: &[Plant::Swapped, Plant::LooksOnce],
    },
    Model {
        name: "waiting::a_place_that_was_left_wakes_nobody",
        run: waiting::a_place_that_was_left_wakes_nobody,
        floors: Both([150, 150]),
        finds: &[Plant::NoLock],
    },
    Model {
        name: "budgets::two_withdrawals_and_a_deposit_allow_no_more_than_was_paid_in",
        run: budgets::two_withdrawals_and_a_deposit_allow_no_more_than_was_paid_in,
        floors: Both([750, 1_800]),
        finds: &[Plant::Torn],
    },
    Model {
        name: "budgets::a_withdrawal_that_goes_back_is_there_again",
        run: budgets::a_withdrawal_that_goes_back_is_there_again,
        floors: Both([230, 1_400]),
        finds: &[Plant::Torn],
    },
];

fn main() -> ExitCode {
    runner::run(MODELS.iter().flat_map(Model::tests).collect())
}
