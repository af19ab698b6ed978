//! What all local refusals share, and how far a classifier may read into an error.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::io;
use std::iter;
use std::time::Duration;

/// The error of layers that add errors of their own or join those of two services.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A longer chain of sources than any real one: it may be a loop.
const LONGEST_CHAIN: usize = 64;

/// A setting that can't be used, refused when it was set.
///
/// Most setters take types that can't hold a wrong value. This is for values that are known only when a
/// program runs, such as a weight that is read from a file, and its text says what is wrong.
///
/// ```
/// let error = tower_failover::Ratio::new(1.5).unwrap_err();
/// assert_eq!(error.to_string(), "a ratio must be between 0 and 1, not 1.5");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct InvalidSetting {
    message: Box<str>,
}

impl InvalidSetting {
    pub(crate) fn new(what: &str, must_be: &str, got: impl fmt::Display) -> Self {
        Self { message: format!("{what} must be {must_be}, not {got}").into() }
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for InvalidSetting {}

/// For setters that take what is already checked as well as what is still to be checked.
impl From<Infallible> for InvalidSetting {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The mark of a refusal made on our own side: the request never left.
///
/// Every local refusal of this crate has one in its chain of sources, and an error of your own is
/// recognised in the same way if it returns one from `source()`. A refusal is held against no
/// endpoint, is never slept on, and withdraws nothing from a budget: it is repeated elsewhere or not
/// at all.
///
/// ```
/// use std::time::Duration;
/// use tower_failover::{BoxError, Refusal};
///
/// #[derive(Debug)]
/// struct QueueFull(Refusal);
/// # impl std::fmt::Display for QueueFull {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("the queue is full") }
/// # }
/// impl std::error::Error for QueueFull {
///     fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
///         Some(&self.0)
///     }
/// }
///
/// let error: BoxError = QueueFull(Refusal::new().after(Duration::from_secs(1))).into();
/// let refusal = Refusal::find(&*error).expect("it is marked");
/// assert_eq!(refusal.retry_after(), Some(Duration::from_secs(1)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    retry_after: Option<Duration>,
}

impl Refusal {
    /// Makes a mark that does not say when to come again.
    #[must_use]
    pub const fn new() -> Self {
        Self { retry_after: None }
    }

    /// Says when another request has a chance. Default: unknown.
    #[must_use]
    pub const fn after(self, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after) }
    }

    /// Returns when another request has a chance, if that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Finds the mark in an error or its sources; tower's `Overloaded` counts as one.
    ///
    /// The search reads an error's *own* causes: it does not enter the error that a failed fallback
    /// keeps beside its own.
    #[must_use]
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        chain(judged(error)?).find_map(|error| {
            if error.is::<tower::load_shed::error::Overloaded>() {
                return Some(Self::new());
            }
            error.downcast_ref::<Self>().copied()
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.retry_after {
            Some(after) => write!(f, "refused on this side, another try may pass in {after:?}"),
            None => f.write_str("refused on this side"),
        }
    }
}

impl Error for Refusal {}

/// A copy of a request body can't be sent to its end: the original failed, another attempt took its
/// place, or it fell so far behind another attempt that the frames it needs are no longer kept.
///
/// It is a [`Refusal`]: the other side is not to blame.
#[cfg(feature = "http")]
#[derive(Clone, Debug)]
pub struct RequestBodyLost {
    refusal: Refusal,
}

#[cfg(feature = "http")]
impl RequestBodyLost {
    pub(crate) const fn new() -> Self {
        Self { refusal: Refusal::new() }
    }
}

#[cfg(feature = "http")]
impl fmt::Display for RequestBodyLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this copy of the request body can't be sent to its end")
    }
}

#[cfg(feature = "http")]
impl Error for RequestBodyLost {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.refusal)
    }
}

/// The error of a fallback that failed too.
///
/// Its text tells the fallback's own error, and [`error`](Self::error) returns it. The error that made
/// the fallback necessary is reached through `source()`, where that was an error and not an answer.
///
/// A classifier judges it by the fallback's own error, and takes that for a refusal only if the
/// first service had refused as well: otherwise the first may have done the work.
#[derive(Debug)]
pub struct FallbackFailed {
    error: BoxError,
    first: Option<First>,
    untouched: bool,
}

/// Marks where an error's own causes end: what is behind it belongs to another service. An error that
/// passes on the `source()` of a [`FallbackFailed`] as its own can't hide the mark.
#[derive(Debug)]
struct First(BoxError);

impl fmt::Display for First {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for First {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl FallbackFailed {
    /// `untouched`: the first service certainly did none of the work.
    pub(crate) fn new(error: BoxError, first: Option<BoxError>, untouched: bool) -> Self {
        Self { error, first: first.map(First), untouched }
    }

    /// Returns the fallback's own error.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }
}

impl fmt::Display for FallbackFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the fallback failed too: {}", self.error)
    }
}

impl Error for FallbackFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.first.as_ref().map(|first| first as _)
    }
}

/// The error by which this one is judged: itself, or the own error of a failed fallback in it. There is
/// none where the fallback's first service may have done the work, or is all that can be seen.
pub(crate) fn judged<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let boundary = chain(error).find(|error| error.is::<FallbackFailed>() || error.is::<First>());
    match boundary.map(|error| error.downcast_ref::<FallbackFailed>()) {
        None => Some(error),
        Some(Some(failed)) if failed.untouched => judged(&*failed.error),
        Some(_) => None,
    }
}

/// Returns an error and its causes, outermost first.
///
/// Unlike a walk by `source()`, it enters the error that an [`io::Error`] wraps, and it ends also where the
/// sources form a circle.
///
/// ```
/// use std::io;
/// use tower_failover::{Refusal, error_chain};
///
/// let error = io::Error::other(Refusal::new());
/// assert!(error_chain(&error).any(|cause| cause.is::<Refusal>()));
/// ```
pub fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        // `source()` of an `io::Error` passes over the error that it wraps
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as _).or_else(|| error.source())
    })
    .take(LONGEST_CHAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Around(BoxError);

    impl fmt::Display for Around {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("around")
        }
    }

    impl Error for Around {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[derive(Debug)]
    struct Loop;

    impl fmt::Display for Loop {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("loop")
        }
    }

    impl Error for Loop {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }

    fn refusal() -> BoxError {
        Refusal::new().after(Duration::from_secs(3)).into()
    }

    #[test]
    fn a_refusal_is_found_through_wrappers_and_io_errors() {
        let deep: BoxError = Around(io::Error::other(Around(refusal())).into()).into();
        assert_eq!(Refusal::find(&*deep).unwrap().retry_after(), Some(Duration::from_secs(3)));
        let overloaded: BoxError = Around(tower::load_shed::error::Overloaded::new().into()).into();
        assert_eq!(Refusal::find(&*overloaded), Some(Refusal::new()));
    }

    #[test]
    fn a_failed_fallback_is_judged_by_its_own_error_alone() {
        let broken = || BoxError::from("broken");
        let touched = FallbackFailed::new(broken(), Some(refusal()), true);
        assert_eq!(Refusal::find(&touched), None, "the first error is no refusal of this one");
        let worked = FallbackFailed::new(refusal(), Some(broken()), false);
        assert_eq!(Refusal::find(&worked), None, "the first service may have done the work");
        let refused = FallbackFailed::new(refusal(), Some(refusal()), true);
        assert!(Refusal::find(&refused).is_some());
    }

    #[test]
    fn an_error_that_hides_a_failed_fallback_does_not_hide_whose_causes_are_whose() {
        #[derive(Debug)]
        struct Transparent(FallbackFailed);

        impl fmt::Display for Transparent {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl Error for Transparent {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                self.0.source()
            }
        }

        let hidden = Transparent(FallbackFailed::new("broken".into(), Some(refusal()), true));
        assert_eq!(Refusal::find(&hidden), None);
        assert!(chain(&hidden).any(|error| error.is::<Refusal>()), "it can be reached by walking");
    }

    #[test]
    fn a_chain_that_is_a_loop_ends() {
        assert_eq!(chain(&Loop).count(), LONGEST_CHAIN);
        assert_eq!(Refusal::find(&Loop), None);
    }

    #[test]
    fn the_first_error_stays_reachable() {
        let failed = FallbackFailed::new("second".into(), Some("first".into()), false);
        assert_eq!(failed.source().unwrap().to_string(), "first");
        assert_eq!(failed.error().to_string(), "second");
        assert_eq!(failed.to_string(), "the fallback failed too: second");
    }
}
