//! A share of something.

use crate::error::InvalidSetting;

/// A share between 0 and 1, so that a wrong one is refused where it is written.
///
/// ```
/// use tower_failover::Ratio;
///
/// const FIFTH: Ratio = Ratio::percent::<20>(); // 101 would not compile
/// assert_eq!(Ratio::new(0.2)?, FIFTH);
/// assert!(Ratio::new(1.01).is_err() && Ratio::new(-0.1).is_err() && Ratio::new(f64::NAN).is_err());
/// # Ok::<(), tower_failover::InvalidSetting>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// Takes a share between 0 and 1.
    ///
    /// # Errors
    ///
    /// When it is below 0, above 1 or not a number.
    pub fn new(share: f64) -> Result<Self, InvalidSetting> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(InvalidSetting::new("a ratio", "between 0 and 1", share))
        }
    }

    /// Takes whole percent, checked when it is compiled.
    #[must_use]
    pub const fn percent<const PERCENT: u8>() -> Self {
        const { assert!(PERCENT <= 100, "a ratio is at most 100 percent") };
        Self(PERCENT as f64 / 100.0)
    }

    /// Returns the share, between 0 and 1.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}
