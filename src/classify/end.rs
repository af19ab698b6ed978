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
pub(super) use self::wire::Rule;
#[cfg(not(feature = "http"))]
type Rule = std::convert::Infallible;

impl fmt::Debug for AtEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtEnd")
    }
}

#[cfg(feature = "http")]
mod wire {
    use super::AtEnd;
    use crate::classify::Evidence;
    use crate::classify::grpc::Codes;
    use crate::outcome::Outcome;
    use http::HeaderMap;
    use std::sync::Arc;

    type EndRule = dyn Fn(Option<&HeaderMap>) -> Outcome + Send + Sync;

    #[derive(Clone)]
    pub(in crate::classify) enum Rule {
        Own(Arc<EndRule>),
        Grpc(Codes),
    }

    impl AtEnd {
        /// Judges by this rule, which is given the trailers, if there are any. A body that ends with an
        /// error is a `Failure`, and is not asked about.
        #[must_use]
        pub fn new(rule: impl Fn(Option<&HeaderMap>) -> Outcome + Send + Sync + 'static) -> Self {
            Self(Rule::Own(Arc::new(rule)))
        }

        pub(in crate::classify) const fn grpc(codes: Codes) -> Self {
            Self(Rule::Grpc(codes))
        }

        pub(crate) fn classify(&self, trailers: Option<&HeaderMap>) -> (Outcome, Evidence) {
            match &self.0 {
                Rule::Own(rule) => (rule(trailers), Evidence::default()),
                Rule::Grpc(codes) => codes.at_end(trailers),
            }
        }
    }
}
