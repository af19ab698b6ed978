//! What the account allows over time, against plainer models of it.

use super::*;
use proptest::prelude::*;
use std::sync::Barrier;
use std::thread;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(86_400 * 365);

fn ratio(share: f64) -> Ratio {
    Ratio::new(share).unwrap()
}

/// An account without a minimum, in which everything is saved up.
fn savings(share: f64) -> Budget {
    Budget::new().ratio(ratio(share)).min_per_second(0).bank(Duration::MAX)
}

/// An account of which only time pays in.
fn allowance(min_per_second: u32) -> Budget {
    Budget::new().ratio(ratio(0.0)).min_per_second(min_per_second)
}

/// How much is withdrawn of `attempts`, this long after the account was opened.
fn withdraw(budget: &Budget, at: Duration, attempts: u64) -> u64 {
    let now = budget.0.opened + at;
    let spend = |_: &u64| budget.withdraw(now).map(Withdrawal::spend).is_some();
    (0..attempts).take_while(spend).count() as u64
}

fn withdraw_together(budget: &Budget, at: Duration, threads: usize, attempts: u64) -> u64 {
    let start = Barrier::new(threads);
    let withdraw = || {
        start.wait();
        withdraw(budget, at, attempts)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(withdraw)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

fn deposit(budget: &Budget, requests: u64) {
    (0..requests).for_each(|_| budget.deposit());
}

/// The moments of an even load.
fn even(per_second: u64, from: Duration) -> impl Iterator<Item = Duration> {
    (0..).map(move |n| from + Duration::from_nanos(n * 1_000_000_000 / per_second))
}

/// Requests that all fail and are each retried as often as the account pays; how many retries.
fn outage(
    budget: &Budget,
    load: impl Iterator<Item = Duration>,
    until: Duration,
    retries: u64,
) -> u64 {
    let at = |at: Duration| {
        budget.deposit();
        withdraw(budget, at, retries)
    };
    load.take_while(|at| *at < until).map(at).sum()
}

/// Holds all spans at once against `(t + 1 s) × rate`: a bucket that leaks at the rate is never
/// fuller than the fullest span that ends now is over its `t × rate`.
struct Leaky {
    per_second: f64,
    level: f64,
    fullest: f64,
    last: Duration,
}

impl Leaky {
    fn new(per_second: f64) -> Self {
        Self { per_second, level: 0.0, fullest: 0.0, last: Duration::ZERO }
    }

    fn add(&mut self, at: Duration, attempts: u64) {
        let leaked = (at - self.last).as_secs_f64() * self.per_second;
        self.level = (self.level - leaked).max(0.0) + attempts as f64;
        self.fullest = self.fullest.max(self.level);
        self.last = at;
    }
}

/// Finagle RetryBudgetTest pays ratio and floor together, 1 010; ours pays the higher of them, and has
/// the minimum of one second in the bank when the account is opened.
#[test]
fn a_tenth_of_ten_thousand_requests_may_be_retried() {
    let tenth = || Budget::new().ratio(ratio(0.1));
    let spread = outage(&tenth(), even(10_000, Duration::ZERO), SECOND, 2);
    assert!((1_000..=1_010).contains(&spread), "{spread}");
    // at the end of that second instead of spread over it: the bank holds a second's worth
    let budget = tenth();
    deposit(&budget, 10_000);
    assert_eq!(withdraw(&budget, SECOND, 10_000), 1_000);
}

/// Finagle RetryBudgetTest, whose credits live 60 s and are capped above 5 000; ours are capped at what
/// comes in within 60 s.
#[test]
fn half_of_ten_thousand_requests_may_be_retried_within_a_minute() {
    let minute = 60 * SECOND;
    let budget = Budget::new().ratio(ratio(0.5)).min_per_second(0).bank(minute);
    deposit(&budget, 10_000);
    assert_eq!(withdraw(&budget, minute, 10_000), 5_000);
}

#[test]
fn a_new_account_has_a_seconds_minimum() {
    assert_eq!(withdraw(&Budget::new(), Duration::ZERO, 100), 10);
    assert_eq!(withdraw(&allowance(3), Duration::ZERO, 100), 3);
    assert_eq!(withdraw(&savings(0.2), Duration::ZERO, 100), 0);
}

/// G3
#[test]
fn a_quiet_service_gets_its_minimum() {
    let budget = Budget::new();
    // one request a second, of which the ratio would allow one retry in five seconds
    let paid = outage(&budget, even(1, Duration::ZERO), 100 * SECOND, 10);
    assert_eq!(paid, 1_000);
}

/// G4
#[test]
fn retries_deposit_nothing() {
    let budget = savings(0.2);
    deposit(&budget, 1_000);
    assert_eq!(withdraw(&budget, SECOND, 1_000), 200);
    for second in 2..100 {
        assert_eq!(withdraw(&budget, second * SECOND, 1_000), 0);
    }
}

/// G5
#[test]
fn sixty_four_threads_get_exactly_what_is_there() {
    for budget in [allowance(100), savings(0.2)] {
        deposit(&budget, 500);
        // a thread that looks while another one credits may see less, and must not find more
        budget.0.credit(budget.0.opened + HOUR);
        assert_eq!(withdraw_together(&budget, HOUR, 64, 10), 100);
    }
}

/// G5, G18
#[test]
fn what_threads_give_back_can_be_withdrawn_again() {
    let budget = allowance(100);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let now = budget.0.opened;
                let held: Vec<_> = (0..50).map(|_| budget.withdraw(now)).collect();
                assert!(held.iter().flatten().count() <= 100);
            });
        }
    });
    assert_eq!(withdraw(&budget, Duration::ZERO, 200), 100);
}

/// G18
#[test]
fn an_attempt_that_never_started_goes_back_once() {
    let budget = savings(1.0);
    deposit(&budget, 1);
    let now = budget.0.opened + SECOND;
    let unspent = budget.withdraw(now);
    assert!(unspent.is_some() && budget.withdraw(now).is_none());
    drop(unspent);
    assert_eq!(withdraw(&budget, SECOND, 5), 1);
}

/// What came back after the account moved on makes no burst.
#[test]
fn what_goes_back_late_is_no_more_than_what_may_be_saved_up() {
    let budget = allowance(10);
    let now = budget.0.opened;
    let held: Vec<_> = (0..10).map(|_| budget.withdraw(now).unwrap()).collect();
    assert_eq!(withdraw(&budget, SECOND, 100), 10);
    drop(held);
    assert_eq!(withdraw(&budget, HOUR, 100), 10);
}

/// D12: nothing is done for the time between
#[test]
fn a_year_of_idleness_saves_up_one_second() {
    let budget = Budget::new();
    deposit(&budget, 1_000_000);
    assert_eq!(withdraw(&budget, YEAR, 1_000), 10);
    assert_eq!(withdraw(&budget, YEAR + SECOND / 2, 1_000), 5);
    // longer than 64 bits of nanoseconds: it stands still
    assert_eq!(withdraw(&budget, 1_000 * YEAR, 1_000), 10);
    assert_eq!(withdraw(&budget, 1_001 * YEAR, 1_000), 0);
}

/// E7
#[test]
fn a_thousandth_is_counted_exactly_over_ten_million_requests() {
    let budget = savings(0.001);
    for second in 1..=100 {
        deposit(&budget, 100_000);
        assert_eq!(withdraw(&budget, second * SECOND, 1_000), 100);
    }
}

/// E7
#[test]
fn ratios_are_counted_to_a_millionth() {
    let budget = savings(0.000_001);
    deposit(&budget, 999_999);
    assert_eq!(withdraw(&budget, SECOND, 2), 0);
    deposit(&budget, 1);
    assert_eq!(withdraw(&budget, SECOND, 2), 1);
}

/// E4, E6
#[test]
fn an_account_that_nothing_is_paid_into_stays_empty() {
    let budget = Budget::new().ratio(ratio(0.0)).min_per_second(0);
    deposit(&budget, 1_000);
    assert_eq!(withdraw(&budget, YEAR, 10), 0);
}

/// D5
#[test]
fn without_a_bank_one_attempt_is_saved_up() {
    let budget = Budget::new().ratio(ratio(0.2)).bank(Duration::ZERO);
    deposit(&budget, 1_000);
    assert_eq!(withdraw(&budget, YEAR, 10), 1);
    assert_eq!(outage(&budget, even(1_000, YEAR), YEAR + SECOND, 2), 200);
}

#[test]
fn after_an_hour_of_the_minimum_a_rise_gets_its_ratio_within_a_second() {
    let budget = Budget::new();
    assert_eq!(outage(&budget, even(1, Duration::ZERO), HOUR, 20), 10 * 3_600);
    assert!(outage(&budget, even(1_000, HOUR), HOUR + SECOND, 2) >= 198);
    assert!(outage(&budget, even(1_000, HOUR + SECOND), HOUR + 2 * SECOND, 2) >= 199);
}

#[test]
fn after_an_hour_of_the_ratio_a_fall_gets_its_minimum_within_a_second() {
    let budget = Budget::new();
    assert!(outage(&budget, even(100, Duration::ZERO), HOUR, 2) >= 20 * 3_600);
    outage(&budget, even(1, HOUR), HOUR + 2 * SECOND, 20);
    assert!(outage(&budget, even(1, HOUR + 2 * SECOND), HOUR + 12 * SECOND, 20) >= 99);
}

/// The account looks at the clock only when something fails, so that its first second after a fall
/// still has the bank of the busy time.
#[test]
fn what_a_busy_hour_saved_up_is_gone_a_second_after_it_is_looked_at() {
    let budget = Budget::new();
    deposit(&budget, 3_600 * 1_000);
    deposit(&budget, 60);
    let quiet = HOUR + 60 * SECOND;
    assert!(outage(&budget, even(1, quiet), quiet + SECOND, 1_000) <= 200);
    let later = quiet + SECOND;
    assert!(outage(&budget, even(1, later), later + 10 * SECOND, 1_000) <= 110);
}

/// G5
#[test]
fn a_thread_does_not_wait_for_another_one_that_credits() {
    let budget = savings(1.0);
    deposit(&budget, 3);
    let crediting = budget.0.span.lock();
    assert_eq!(withdraw(&budget, SECOND, 5), 0);
    drop(crediting);
    assert_eq!(withdraw(&budget, SECOND, 5), 3);
}

/// G5: one of them takes the deposits, another one the time
#[test]
fn threads_that_look_at_a_busy_hour_together_save_up_one_second_of_it() {
    for _ in 0..100 {
        let budget = Budget::new().min_per_second(0);
        deposit(&budget, 3_600);
        let paid = withdraw_together(&budget, HOUR, 16, 20);
        assert_eq!(paid, 1);
    }
}

/// Of the test's own sums in floating point.
const ROUNDING: f64 = 1e-6;

proptest! {
    /// G4
    #[test]
    fn every_span_of_an_outage_is_bounded_by_the_ratio_or_the_minimum(
        per_second in 1..2_000_u64,
        share in prop_oneof![Just(0.0), Just(0.2), Just(1.0), 0.0..=1.0_f64],
        min_per_second in prop_oneof![Just(0), Just(10), 0..100_u32],
        retries in 1..5_u64,
        healthy in 0..5_000_u64,
    ) {
        // a ratio is counted to a millionth
        let share = (share * 1e6_f64).round() / 1e6;
        let budget = Budget::new().ratio(ratio(share)).min_per_second(min_per_second);
        let healthy = Duration::from_millis(healthy);
        let rate = (share * per_second as f64).max(min_per_second.into());
        let mut spans = Leaky::new(rate);
        let mut paid = 0;
        let until = healthy + 4 * SECOND;
        for at in even(per_second, Duration::ZERO).take_while(|at| *at < until) {
            budget.deposit();
            if at >= healthy {
                let extra = withdraw(&budget, at, retries);
                spans.add(at, extra);
                paid += extra;
            }
        }
        // one attempt can always be saved up, and the span as well as the second before it has a
        // request at both of its ends
        let most = rate.max(1.0) + 2.0 * share + ROUNDING;
        prop_assert!(spans.fullest <= most, "{} of {rate}", spans.fullest);
        // and what is due is paid, where so much is asked for
        let due = rate.min((per_second * retries) as f64) * 4.0;
        prop_assert!(paid as f64 >= due - 1.0, "{paid} of {due}");
    }

    #[test]
    fn every_span_of_an_uneven_load_is_bounded_by_its_busiest_second(
        // between requests that come by chance, in parts of their mean
        gaps in prop::collection::vec((0.001..1.0_f64).prop_map(|chance| -chance.ln()), 100..2_000),
        per_second in 5.0..500.0_f64,
        share in 0.0..=1.0_f64,
        min_per_second in 0..50_u32,
        retries in 1..5_u64,
    ) {
        let budget = Budget::new().ratio(ratio(share)).min_per_second(min_per_second);
        let mut at = Duration::ZERO;
        let load: Vec<_> = gaps
            .into_iter()
            .map(|gap| {
                at += Duration::from_secs_f64(gap / per_second);
                at
            })
            .collect();
        let by = |end| load.partition_point(|at| *at < end);
        let busiest = load.iter().map(|at| by(*at + SECOND) - by(*at)).max().unwrap();
        let rate = (share * busiest as f64).max(min_per_second.into());
        let mut spans = Leaky::new(rate);
        for at in load {
            budget.deposit();
            spans.add(at, withdraw(&budget, at, retries));
        }
        // that second may come in one burst, after another one has taken what the minimum saved up
        let most = 2.0 * rate.max(1.0) + 2.0 * share + ROUNDING;
        prop_assert!(spans.fullest <= most, "{} of {rate}", spans.fullest);
    }

    #[test]
    fn the_minimum_alone_is_a_bucket_that_fills_over_time(
        min_per_second in 1..1_000_u32,
        bank_ms in 0..5_000_u64,
        asks in prop::collection::vec((1..3_000_u64, 0..50_u64), 1..100),
    ) {
        let budget = allowance(min_per_second).bank(Duration::from_millis(bank_ms));
        // thousandths of an attempt, of which every millisecond brings `min_per_second`
        let full = (u64::from(min_per_second) * bank_ms).max(1_000);
        let (mut millis, mut bucket) = (0, full);
        for (pause, attempts) in asks {
            millis += pause;
            bucket = (bucket + pause * u64::from(min_per_second)).min(full);
            let paid = attempts.min(bucket / 1_000);
            bucket -= paid * 1_000;
            prop_assert_eq!(withdraw(&budget, Duration::from_millis(millis), attempts), paid);
        }
    }

    #[test]
    fn the_ratio_alone_is_a_sum_of_its_deposits(
        millionths in 0..=1_000_000_u64,
        asks in prop::collection::vec((0..200_u64, 0..50_u64), 1..100),
    ) {
        let budget = savings(millionths as f64 / 1e6);
        let mut sum = 0;
        for (requests, attempts) in asks {
            deposit(&budget, requests);
            sum += requests * millionths;
            let paid = attempts.min(sum / 1_000_000);
            sum -= paid * 1_000_000;
            prop_assert_eq!(withdraw(&budget, SECOND, attempts), paid);
        }
    }

    /// D9: threads read the clock and come here in another order
    #[test]
    fn time_is_credited_once_in_whatever_order_the_clock_is_seen(
        min_per_second in 0..1_000_u32,
        times in prop::collection::vec(0..10_000_u64, 1..200),
    ) {
        let budget = allowance(min_per_second);
        let paid: u64 =
            times.iter().map(|at| withdraw(&budget, Duration::from_millis(*at), 1_000)).sum();
        let longest = times.iter().max().unwrap();
        let due = 1.0 + *longest as f64 / 1_000.0;
        prop_assert!(paid as f64 <= due * f64::from(min_per_second).max(1.0));
    }

    /// D4, D5, E6, E8
    #[test]
    fn no_setting_overflows(
        share in prop_oneof![Just(0.0), Just(1.0), Just(f64::MIN_POSITIVE), 0.0..=1.0],
        min_per_second in prop_oneof![Just(0), Just(u32::MAX), any::<u32>()],
        bank in prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::MAX),
            any::<u64>().prop_map(Duration::from_nanos),
        ],
        steps in prop::collection::vec(
            (prop_oneof![Just(0), Just(u64::MAX / 2), any::<u64>()], 0..20_u64, 0..20_u64),
            1..50,
        ),
    ) {
        let budget = Budget::new().ratio(ratio(share)).min_per_second(min_per_second).bank(bank);
        for (at, requests, attempts) in steps {
            deposit(&budget, requests);
            let unspent = budget.withdraw(budget.0.opened + Duration::from_nanos(at));
            withdraw(&budget, Duration::from_nanos(at / 2), attempts);
            drop(unspent);
        }
        prop_assert!(budget.balance() <= (ORIGIN >> 8) / ATTEMPT);
    }
}
