//! What an endpoint weighs beside others.

use crate::error::InvalidSetting;

/// The share of the traffic that an endpoint gets, in relation to the others of its tier: from 10⁻⁶ to 10⁶.
///
/// ```
/// use tower_failover::balance::Weight;
///
/// assert_eq!(Weight::new(2.5)?.get(), 2.5);
/// let error = Weight::new(f64::NAN).unwrap_err();
/// assert_eq!(error.to_string(), "a weight must be between 0.000001 and 1000000, not NaN");
/// # Ok::<(), tower_failover::InvalidSetting>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Weight(f64);

/// Wide enough for all uses, and far from where sums lose them.
const RANGE: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

impl Weight {
    /// Takes a weight between 10⁻⁶ and 10⁶.
    ///
    /// # Errors
    ///
    /// When it is zero, negative, infinite, not a number, or otherwise out of the range.
    pub fn new(weight: f64) -> Result<Self, InvalidSetting> {
        if RANGE.contains(&weight) {
            Ok(Self(weight))
        } else {
            Err(InvalidSetting::new("a weight", "between 0.000001 and 1000000", weight))
        }
    }

    /// Returns the weight.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// Most endpoints weigh the same: 1.
impl Default for Weight {
    fn default() -> Self {
        Self(1.0)
    }
}

impl TryFrom<f64> for Weight {
    type Error = InvalidSetting;

    fn try_from(weight: f64) -> Result<Self, InvalidSetting> {
        Self::new(weight)
    }
}
