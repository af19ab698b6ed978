//! The account that extra attempts are paid from.

use crate::budget::Budget;
use crate::clock::{self, Instant};
use crate::explore::side_by_side;
use crate::ratio::Ratio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

struct Account {
    budget: Budget,
    /// No time passes, since that would not be the same in each interleaving.
    now: Instant,
    /// How many extra attempts were made, counted where loom does not see it.
    made: AtomicU32,
}

impl Account {
    /// Where one attempt can be paid for: each deposit is half of one.
    fn of_one() -> Arc<Self> {
        let now = clock::now();
        let budget = Budget::new().min_per_second(0).ratio(Ratio::percent::<50>());
        (0..2).for_each(|_| budget.deposit());
        Arc::new(Self { budget, now, made: AtomicU32::new(0) })
    }

    fn spend(&self) {
        if let Some(withdrawal) = self.budget.withdraw(self.now) {
            self.made.fetch_add(1, Relaxed);
            withdrawal.spend();
        }
    }

    fn change_its_mind(&self) {
        drop(self.budget.withdraw(self.now));
    }

    fn made(&self) -> u32 {
        self.made.load(Relaxed)
    }
}

/// E3
pub(crate) fn two_withdrawals_and_a_deposit_allow_no_more_than_was_paid_in() {
    let account = Account::of_one();
    side_by_side(&account, [Account::spend, Account::spend, |account| account.budget.deposit()]);
    assert!(account.made() <= 1);
    (0..2).for_each(|_| account.spend());
    assert_eq!(account.made(), 1, "a half is left");
    account.budget.deposit();
    (0..2).for_each(|_| account.spend());
    assert_eq!(account.made(), 2);
}

/// A3, E3
pub(crate) fn a_withdrawal_that_goes_back_is_there_again() {
    let account = Account::of_one();
    side_by_side(&account, [Account::change_its_mind, Account::spend, |_| ()]);
    assert!(account.made() <= 1);
    (0..2).for_each(|_| account.spend());
    assert_eq!(account.made(), 1);
}
