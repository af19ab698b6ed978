//! Reasons that are counted: an enum, its names, and one counter for each variant.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An enum made by [`reasons!`].
pub(crate) trait Reason: Copy + fmt::Debug + 'static {
    /// One counter for each variant.
    type Counters: Default + AsRef<[AtomicU64]> + fmt::Debug;

    /// All variants, in the order of their counters.
    const ALL: &'static [Self];

    fn index(self) -> usize;
}

/// How often there was each reason. It is written on the bad path only.
#[derive(Debug)]
pub(crate) struct ReasonCounts<R: Reason>(R::Counters);

// a derived one would ask the reason for one
impl<R: Reason> Default for ReasonCounts<R> {
    fn default() -> Self {
        Self(R::Counters::default())
    }
}

impl<R: Reason> ReasonCounts<R> {
    pub(crate) fn add(&self, why: R) {
        self.of(why).fetch_add(1, Relaxed);
    }

    pub(crate) fn get(&self, why: R) -> u64 {
        self.of(why).load(Relaxed)
    }

    fn of(&self, why: R) -> &AtomicU64 {
        // there are as many counters as variants, since both are made from one list
        &self.0.as_ref()[why.index()]
    }
}

/// Makes an enum of reasons from a list of variants with their names: those of events, which are also the
/// fields of the snapshot.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($variant:ident => $text:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name {
            $($variant),+
        }

        impl $name {
            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($text)),+
                }
            }
        }

        impl crate::reason::Reason for $name {
            type Counters =
                [std::sync::atomic::AtomicU64; <Self as crate::reason::Reason>::ALL.len()];

            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
pub(crate) use reasons;

#[cfg(test)]
mod tests {
    use super::{Reason, ReasonCounts};

    reasons! {
        /// Why not.
        Why { TooLate => too_late, TooEarly => too_early, Neither => neither }
    }

    #[test]
    fn each_reason_has_a_counter_of_its_own_and_a_name() {
        let counts = ReasonCounts::default();
        for (times, why) in Why::ALL.iter().enumerate() {
            for _ in 0..=times {
                counts.add(*why);
            }
        }
        assert_eq!(Why::ALL.iter().map(|why| counts.get(*why)).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(
            Why::ALL.iter().map(|why| why.name()).collect::<Vec<_>>(),
            ["too_late", "too_early", "neither"]
        );
    }
}
