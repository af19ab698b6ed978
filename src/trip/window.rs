//! Over which calls a rule counts.

use crate::shortest::at_least_shortest;
use crate::window::MOST_SLICES;
use std::num::NonZeroU32;
use std::time::Duration;

/// The span of a rule, and how it is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) span: Span,
    /// Of a span of time.
    pub(crate) buckets: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Within(Duration),
    /// At least 1.
    Last(u32),
}

/// More calls take more memory than a rule is worth.
const LONGEST_RING: u32 = 1_000_000;

impl Window {
    pub(super) const DEFAULT: Self =
        Self { span: Span::Within(Duration::from_secs(10)), buckets: 10 };

    pub(super) const fn within(self, time: Duration) -> Self {
        Self { span: Span::Within(at_least_shortest(time)), ..self }
    }

    pub(super) const fn last(self, calls: NonZeroU32) -> Self {
        Self { span: Span::Last(min(calls.get(), LONGEST_RING)), ..self }
    }

    pub(super) const fn buckets(self, buckets: u16) -> Self {
        let buckets = match buckets {
            0 => 1,
            some if some > MOST_SLICES => MOST_SLICES,
            some => some,
        };
        Self { buckets, ..self }
    }

    /// The number, or all calls of a window that has fewer.
    pub(super) const fn at_most_all(&self, calls: u32) -> u32 {
        match self.span {
            Span::Last(all) => min(calls, all),
            Span::Within(_) => calls,
        }
    }
}

/// `Ord::min` is not `const`.
const fn min(one: u32, other: u32) -> u32 {
    if one < other { one } else { other }
}

/// The setters of a rule that has a window.
macro_rules! window_setters {
    ($rule:ident) => {
        impl $rule {
            /// Counts over this time. Default: 10 s. The shortest window is 1 ns a bucket, and zero counts as that.
            /// The time is cut into [`buckets`](Self::buckets), and a call is forgotten together with its
            /// bucket: after this time at the latest, and at most one bucket earlier.
            pub const fn within(mut self, time: Duration) -> Self {
                self.window = self.window.within(time);
                self
            }

            /// Counts over this many calls, the latest ones, whenever they were; more than 1 000 000 count
            /// as that. Default: a window by time. All threads write to one place for it at every call, so
            /// it costs more than a window by time where there are many.
            pub const fn last(mut self, calls: NonZeroU32) -> Self {
                self.window = self.window.last(calls);
                self
            }

            /// Sets into how many buckets a window by time is cut. Default: 10. Zero counts as 1, and more
            /// than 32 as 32.
            pub const fn buckets(mut self, buckets: u16) -> Self {
                self.window = self.window.buckets(buckets);
                self
            }
        }
    };
}
pub(super) use window_setters;
