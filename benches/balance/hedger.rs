//! The crate's own delay and budget of hedges, driven with simulated time. This is compiled as a module
//! of `hedge`, beside what it drives.

use super::delay::Percentile;
use super::policy::HedgePolicy;
use crate::classify::ErrorsOnly;
use crate::clock;
use crate::ratio::Ratio;
use crate::replay::Plain;
use crate::scenario::Nanos;

/// How requests are hedged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hedging {
    /// As the layer does by default, after this percentile.
    After { percent: u8 },
    /// After this percentile of what attempts took that answered, without a budget: tower's way. An attempt
    /// that is given up tells nothing, so that hedges make the delay shrink.
    Naive { percent: u8 },
}

/// What one client knows for its hedges.
pub struct Hedger {
    policy: HedgePolicy<ErrorsOnly, Plain>,
    /// A sample is the time of the attempt that answered, and not that of the request.
    by_attempt: bool,
}

impl Hedger {
    /// # Panics
    ///
    /// For a percentage above 100.
    pub fn new(hedging: Hedging) -> Self {
        let (Hedging::After { percent } | Hedging::Naive { percent }) = hedging;
        let by_attempt = matches!(hedging, Hedging::Naive { .. });
        let share = Ratio::new(f64::from(percent) / 100.0).expect("a percentage");
        let mut policy = HedgePolicy::new(ErrorsOnly::new(), Plain);
        policy.wait = policy.wait.with(Percentile::new(share).into());
        if by_attempt {
            policy.budget = None;
        }
        Self { policy: policy.made(), by_attempt }
    }

    /// A request begins; returns when its hedge is due.
    pub fn begins(&self, now: Nanos) -> Option<Nanos> {
        if let Some(budget) = &self.policy.budget {
            budget.deposit();
        }
        let delay = self.policy.wait.delay(clock::at(now))?;
        Some(now + delay.as_nanos() as Nanos)
    }

    /// Whether a hedge that is due and has a place can be paid for. It is sent then.
    /// `early`: it is due for the first time.
    pub fn pays(&self, now: Nanos, early: bool) -> bool {
        let Some(budget) = &self.policy.budget else { return true };
        let now = clock::at(now);
        let paid = if early { budget.withdraw_spare(now) } else { budget.withdraw(now) };
        paid.map(|paid| paid.spend()).is_some()
    }

    /// An answer was taken. `clock` shows its time.
    pub fn answered(&self, request: Nanos, attempt: Nanos) {
        self.policy.wait.record(clock::at(if self.by_attempt { attempt } else { request }));
    }
}
