//! The account that extra attempts are paid from.

use crate::clock::{self, Instant};
use crate::ratio::Ratio;
use crate::striped::StripedSum;
use crate::sync::{AtomicU64, Mutex, Ordering::SeqCst};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One extra attempt, in the unit of the account. A deposit is a ratio of it, so that ratios down to
/// a millionth are counted exactly.
const ATTEMPT: u64 = 1_000_000;

/// Time is credited in steps of at least this, so that rounding stays below a thousandth.
const STEP: Duration = Duration::from_millis(1);

/// Bounds the *extra* attempts, so that an outage is not met with a multiple of the load.
///
/// Every request deposits a share of an attempt (the ratio); every retry or hedge withdraws a whole
/// one. Beside that a minimum per second is always there, so that a quiet service can retry as well;
/// what counts is whichever allows more. At most one second of that is banked: in any span `t` of an
/// even load the account allows at most `(t + 1 s) × max(ratio × requests per second,
/// min_per_second)` extra attempts.
///
/// Retries deposit nothing, and a withdrawal whose attempt never started goes back. Nothing is paid
/// for while idle, however long, and a request that goes well reads no clock: it adds to a counter.
///
/// # Sharing
///
/// Clones share one account: give clones to several layers to bound what they add together. The
/// setters make a new account. A request deposits once however many layers of one stack share the
/// account, where its [`Attempts`](crate::Attempts) travel with it: in HTTP and gRPC requests, and
/// through a [`Slot`](crate::replay::Slot). In [`Plain`](crate::replay::Plain) requests they don't,
/// and each layer deposits. A request pays into four budgets at most.
///
/// # Defaults
///
/// Ratio 20 %, 10 a second at least, a bank of 1 s; the guide has the reasons.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use tower_failover::{Budget, Ratio};
///
/// let budget = Budget::new().ratio(Ratio::percent::<10>()).min_per_second(3);
/// assert_eq!(budget.balance(), 3); // a new account has a second's minimum banked
/// ```
#[derive(Clone)]
pub struct Budget(Arc<Account>);

#[derive(Clone, Copy, Debug)]
struct BudgetConfig {
    ratio: Ratio,
    min_per_second: u32,
    bank: Duration,
}

/// Two allowances that rise over time, one by deposits and one by the clock, and the sum of all
/// withdrawals that rises against the higher of them. A withdrawal so counts against both, and their
/// maximum is what holds, not their sum. All are in millionths of an attempt.
///
/// Each allowance is kept within reach of the withdrawals: at most its bank above them, so that
/// idleness saves up no burst, and at most as much below, so that a long time in which the other one
/// paid leaves no debt behind.
///
/// `SeqCst`: a withdrawal compares the sum of all with the allowances, which are other words, and has to see
/// what was credited or given back before it. It happens when something has failed or takes long; the deposits,
/// which all requests make, are apart and relaxed.
struct Account {
    config: BudgetConfig,
    /// What each request pays in.
    share: u64,
    opened: Instant,
    /// Deposits that are not yet credited.
    deposits: StripedSum,
    withdrawn: AtomicU64,
    by_ratio: AtomicU64,
    by_time: AtomicU64,
    /// Nanoseconds since `opened`, up to which time is credited.
    credited: AtomicU64,
    span: Mutex<Span>,
    /// What may be saved up of deposits, as the span told last.
    saved: AtomicU64,
}

/// By which the account knows what comes in during a bank's time. All three change together, or an
/// hour's deposits could be counted as those of a moment.
#[derive(Clone, Default)]
struct Span {
    /// When it began, in nanoseconds since the account was opened.
    began: u64,
    /// What came in since.
    earned: u64,
    /// A bank's worth of the span before.
    bank: u64,
}

/// Where the scale starts: so far from both ends of a `u64` that neither a bank below it nor the sum of
/// all withdrawals above it gets there.
const ORIGIN: u64 = 1 << 62;

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl Budget {
    /// Opens an account with the defaults above.
    #[must_use]
    pub fn new() -> Self {
        Self::open(BudgetConfig {
            ratio: Ratio::percent::<20>(),
            min_per_second: 10,
            bank: Duration::from_secs(1),
        })
    }

    /// Sets the share of an extra attempt that each request deposits. Default: 20 %. With zero only
    /// the minimum is left. Counted to a millionth.
    #[must_use]
    pub fn ratio(self, ratio: Ratio) -> Self {
        Self::open(BudgetConfig { ratio, ..self.0.config })
    }

    /// Sets the extra attempts per second that are allowed without any deposit. Default: 10. With
    /// zero there is no minimum.
    #[must_use]
    pub fn min_per_second(self, min_per_second: u32) -> Self {
        Self::open(BudgetConfig { min_per_second, ..self.0.config })
    }

    /// Sets how much can be saved up, as the time in which it comes in. Default: 1 s. One attempt can
    /// always be saved up, also where less than one comes in during that time.
    #[must_use]
    pub fn bank(self, bank: Duration) -> Self {
        Self::open(BudgetConfig { bank, ..self.0.config })
    }

    /// Returns how many extra attempts could be paid for at this moment.
    #[must_use]
    pub fn balance(&self) -> u64 {
        self.0.credit(clock::now());
        (self.0.limit().saturating_sub(self.0.withdrawn.load(SeqCst))) / ATTEMPT
    }

    fn open(config: BudgetConfig) -> Self {
        let minimum = config.bank_by_time();
        Self(Arc::new(Account {
            config,
            share: config.share(),
            opened: clock::now(),
            deposits: StripedSum::default(),
            withdrawn: AtomicU64::new(ORIGIN),
            by_ratio: AtomicU64::new(ORIGIN),
            by_time: AtomicU64::new(ORIGIN + minimum),
            credited: AtomicU64::new(0),
            span: Mutex::default(),
            saved: AtomicU64::new(0),
        }))
    }

    /// Pays in for one request.
    pub(crate) fn deposit(&self) {
        self.0.deposits.add(self.0.share);
    }

    /// Takes out one extra attempt, which goes back when it is dropped before [`Withdrawal::spend`].
    pub(crate) fn withdraw(&self, now: Instant) -> Option<Withdrawal> {
        self.0.credit(now);
        self.0.take(0).then(|| Withdrawal(Some(self.clone())))
    }

    /// The same, if a quarter of what can be saved up stays there, for those that need it more.
    pub(crate) fn withdraw_spare(&self, now: Instant) -> Option<Withdrawal> {
        self.0.credit(now);
        let reserve = self.0.bank() / 4 / ATTEMPT * ATTEMPT;
        self.0.take(reserve).then(|| Withdrawal(Some(self.clone())))
    }

    /// What tells this account from others, as long as it lives.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BudgetConfig { ratio, min_per_second, bank } = &self.0.config;
        f.debug_struct("Budget")
            .field("ratio", ratio)
            .field("min_per_second", min_per_second)
            .field("bank", bank)
            .finish_non_exhaustive()
    }
}

/// An extra attempt that is paid for and has not started.
#[derive(Debug)]
pub(crate) struct Withdrawal(Option<Budget>);

impl Withdrawal {
    /// The attempt starts: nothing goes back.
    pub(crate) fn spend(mut self) {
        self.0 = None;
    }
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        if let Some(budget) = &self.0 {
            budget.0.give_back();
        }
    }
}

impl BudgetConfig {
    fn share(&self) -> u64 {
        (self.ratio.get() * ATTEMPT as f64).round() as u64
    }

    fn bank_by_time(&self) -> u64 {
        if self.min_per_second == 0 { 0 } else { self.worth(self.bank).max(ATTEMPT) }
    }

    /// Room for one attempt, and for the deposit that completes it.
    fn bank_by_ratio(&self, earned: u64) -> u64 {
        match self.share() {
            0 => 0,
            share => bounded(earned.into()).max(ATTEMPT + share),
        }
    }

    /// What the minimum is worth over a span.
    fn worth(&self, span: Duration) -> u64 {
        let per_second = u128::from(self.min_per_second) * u128::from(ATTEMPT);
        bounded(per_second.saturating_mul(span.as_nanos()) / NANOS)
    }
}

const NANOS: u128 = 1_000_000_000;

/// Balances stay so small beside `ORIGIN` that no sum of them can overflow.
fn bounded(amount: u128) -> u64 {
    amount.min(u128::from(ORIGIN >> 8)) as u64
}

impl Account {
    fn limit(&self) -> u64 {
        self.by_ratio.load(SeqCst).max(self.by_time.load(SeqCst))
    }

    /// What can be saved up.
    fn bank(&self) -> u64 {
        self.config.bank_by_time().max(self.config.bank_by_ratio(self.saved.load(SeqCst)))
    }

    /// Takes an attempt, if this much stays there.
    fn take(&self, reserve: u64) -> bool {
        let limit = self.limit().saturating_sub(reserve);
        self.withdrawn
            .fetch_update(SeqCst, SeqCst, |sum| (sum + ATTEMPT <= limit).then_some(sum + ATTEMPT))
            .is_ok()
    }

    /// Credits the time and the deposits that came in since the last look. Each nanosecond and each
    /// deposit is taken by one caller; another that looks in the meantime may see a little less.
    fn credit(&self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.opened);
        let now = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.credit_time(now);
        self.credit_deposits(now);
    }

    fn credit_time(&self, now: u64) {
        let since = self.credited.load(SeqCst);
        let span = Duration::from_nanos(now.saturating_sub(since));
        if span < STEP || self.credited.compare_exchange(since, now, SeqCst, SeqCst).is_err() {
            return;
        }
        self.raise(&self.by_time, self.config.worth(span), self.config.bank_by_time());
    }

    fn credit_deposits(&self, now: u64) {
        // nobody waits: whoever holds it credits the same deposits
        let Some(mut span) = self.span.try_lock() else { return };
        let earned = self.deposits.take();
        span.earned = span.earned.saturating_add(earned);
        let length = now.saturating_sub(span.began);
        let bank = u64::try_from(self.config.bank.as_nanos()).unwrap_or(u64::MAX).max(1);
        // a whole bank's time has passed: what came in during it says how much may be saved up
        let saved = if length >= bank {
            let share = bounded(u128::from(span.earned) * u128::from(bank) / u128::from(length));
            *span = Span { began: now, earned: 0, bank: share };
            share
        } else {
            span.bank.max(span.earned)
        };
        self.saved.store(saved, SeqCst);
        self.raise(&self.by_ratio, earned, self.config.bank_by_ratio(saved));
    }

    /// What comes back is saved up like what comes in, and no further.
    fn give_back(&self) {
        self.withdrawn.fetch_sub(ATTEMPT, SeqCst);
        self.raise(&self.by_time, 0, self.config.bank_by_time());
        self.raise(&self.by_ratio, 0, self.config.bank_by_ratio(self.saved.load(SeqCst)));
    }

    /// Raises an allowance, and keeps it within `bank` of what is withdrawn.
    fn raise(&self, allowance: &AtomicU64, earned: u64, bank: u64) {
        let withdrawn = self.withdrawn.load(SeqCst);
        let earned = bounded(u128::from(earned));
        let _ = allowance.fetch_update(SeqCst, SeqCst, |allowed| {
            let raised = (allowed + earned).clamp(withdrawn - bank, withdrawn + bank);
            (raised != allowed).then_some(raised)
        });
    }
}

#[cfg(test)]
mod tests;
