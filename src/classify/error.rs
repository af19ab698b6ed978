//! How the built-in classifiers read an error.

use super::evidence::Evidence;
use crate::error::{BoxError, FallbackFailed, Refusal};
use crate::hint::Hint;
use std::any::Any;
use std::error::Error;
use std::fmt;
use tower::load_shed::error::Overloaded;

/// Sees an error of one concrete type behind a generic one.
type View = for<'a> fn(&'a (dyn Any + 'static)) -> Option<&'a (dyn Error + 'static)>;

/// Error types that are seen without being told of.
const KNOWN: &[View] = &[
    view_of::<Refusal>,
    view_of::<FallbackFailed>,
    view_of::<Overloaded>,
    #[cfg(feature = "http")]
    view_of::<crate::error::RequestBodyLost>,
];

fn view_of<'a, E: Error + 'static>(
    any: &'a (dyn Any + 'static),
) -> Option<&'a (dyn Error + 'static)> {
    any.downcast_ref::<E>().map(|error| error as _)
}

#[cfg(feature = "http")]
type Predicate = std::sync::Arc<dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync>;

#[derive(Clone, Default)]
pub(super) struct ErrorRules {
    views: Vec<View>,
    #[cfg(feature = "http")]
    refused: Option<Predicate>,
}

impl ErrorRules {
    pub(super) const fn new() -> Self {
        Self {
            views: Vec::new(),
            #[cfg(feature = "http")]
            refused: None,
        }
    }

    pub(super) fn with_error_type<E: Error + 'static>(&mut self) {
        self.views.push(view_of::<E>);
    }

    /// The mark of a refusal made on our own side.
    pub(super) fn refusal<E: 'static>(&self, error: &E) -> Option<Refusal> {
        self.view(error).and_then(Refusal::find)
    }

    pub(super) fn evidence<E: 'static>(&self, error: &E) -> Evidence {
        let refusal = self.refusal(error);
        Evidence {
            hint: refusal.and_then(|refusal| refusal.retry_after()).map(Hint::AtLeast),
            untouched: refusal.is_some(),
            overloaded: false,
            local: refusal.is_some(),
        }
    }

    fn view<'a, E: 'static>(&self, error: &'a E) -> Option<&'a (dyn Error + 'static)> {
        let any: &'a (dyn Any + 'static) = error;
        if let Some(boxed) = any.downcast_ref::<BoxError>() {
            return Some(&**boxed);
        }
        KNOWN.iter().chain(&self.views).find_map(|view| view(any))
    }
}

#[cfg(feature = "http")]
mod wire {
    use super::{Error, ErrorRules};
    use crate::error::{chain, judged};
    use crate::outcome::Outcome;
    use std::io;

    impl ErrorRules {
        pub(in crate::classify) fn refused_if(
            &mut self,
            rule: impl Fn(&(dyn Error + 'static)) -> bool + Send + Sync + 'static,
        ) {
            self.refused = Some(std::sync::Arc::new(rule));
        }

        /// Judges the error of a call that went over a wire.
        pub(in crate::classify) fn classify<E: 'static>(&self, error: &E) -> Outcome {
            let refused = self.refusal(error).is_some()
                || self.view(error).and_then(judged).is_some_and(|error| {
                    chain(error).any(never_taken)
                        || self.refused.as_ref().is_some_and(|refused| refused(error))
                });
            if refused { Outcome::Refused } else { Outcome::Failure }
        }
    }

    /// Tells whether the other side cannot have seen the request.
    fn never_taken(error: &(dyn Error + 'static)) -> bool {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.kind() == io::ErrorKind::ConnectionRefused;
        }
        error.downcast_ref::<h2::Error>().is_some_and(|h2| {
            h2.is_reset() && h2.is_remote() && h2.reason() == Some(h2::Reason::REFUSED_STREAM)
        })
    }
}

/// The setters of a classifier of calls over a wire, whose field `errors` holds its rules.
#[cfg(feature = "http")]
macro_rules! error_setters {
    () => {
        /// Judges errors for which this holds as `Refused`: the other side cannot have seen the
        /// request. It is given the error as the caller would see it, or the own error of a fallback
        /// that failed. Default: only what the table says.
        #[must_use]
        pub fn refused_if(
            mut self,
            rule: impl Fn(&(dyn std::error::Error + 'static)) -> bool + Send + Sync + 'static,
        ) -> Self {
            self.errors.refused_if(rule);
            self
        }

        /// Reads the sources of errors of this type as well, see the [module page](super).
        #[must_use]
        pub fn with_error_type<E: std::error::Error + 'static>(mut self) -> Self {
            self.errors.with_error_type::<E>();
            self
        }
    };
}
#[cfg(feature = "http")]
pub(super) use error_setters;

impl fmt::Debug for ErrorRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorRules").field("views", &self.views.len()).finish_non_exhaustive()
    }
}
