//! The judgement on the end of an answer.

use std::fmt;

/// Judges the end of an answer whose head was good so far; see [`Classify::at_end`](super::Classify::at_end).
///
/// ```
/// # #[cfg(feature = "http")] {
/// use http::HeaderMap;
/// use tower_failover::Outcome;
/// use tower_failover::classify::AtEnd;
///
/// // a server that says in its trailers whether it got to the end
/// let at_end = AtEnd::new(|trailers: Option<&HeaderMap>| {
///     match trailers.and_then(|trailers| trailers.get("x-complete")) {
///         Some(_) => Outcome::Success,
///         None => Outcome::Failure,
///     }
/// });
/// # }
/// ```
#[derive(Clone)]
pub struct AtEnd(Rule);

#[cfg(feature = "http")]
type Rule = std::sync::Arc<
    dyn Fn(Option<&http::HeaderMap>) -> (crate::outcome::Outcome, super::evidence::Evidence)
        + Send
        + Sync,
>;
#[cfg(not(feature = "http"))]
type Rule = std::convert::Infallible;

#[cfg(feature = "http")]
mod wire {
    use super::AtEnd;
    use crate::classify::Evidence;
    use crate::outcome::Outcome;
    use http::HeaderMap;
    use std::sync::Arc;

    impl AtEnd {
        /// Judges by this rule, which is given the trailers, if there are any. A body that ends with an
        /// error is a `Failure`, and is not asked about.
        #[must_use]
        pub fn new(rule: impl Fn(Option<&HeaderMap>) -> Outcome + Send + Sync + 'static) -> Self {
            Self::with_evidence(move |trailers| (rule(trailers), Evidence::default()))
        }

        /// Judges by a rule that gives its evidence too.
        pub(in crate::classify) fn with_evidence(
            rule: impl Fn(Option<&HeaderMap>) -> (Outcome, Evidence) + Send + Sync + 'static,
        ) -> Self {
            Self(Arc::new(rule))
        }

        pub(crate) fn classify(&self, trailers: Option<&HeaderMap>) -> (Outcome, Evidence) {
            (self.0)(trailers)
        }
    }
}

impl fmt::Debug for AtEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtEnd")
    }
}
