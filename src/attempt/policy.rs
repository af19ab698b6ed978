//! What a request says of itself.

/// What a request allows, as a typed extension which all layers read.
///
/// It is set by the code that makes the request; no header can set it.
///
/// ```
/// # #[cfg(feature = "http")]
/// # fn example(request: &mut http::Request<()>) {
/// use tower_failover::RequestPolicy;
///
/// // a POST that may be sent twice
/// request.extensions_mut().insert(RequestPolicy::new().idempotent());
/// // a request whose caller does the retrying
/// request.extensions_mut().insert(RequestPolicy::new().no_retry().no_hedge());
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestPolicy {
    pub(crate) no_retry: bool,
    pub(crate) no_hedge: bool,
    pub(crate) no_fallback: bool,
    pub(crate) idempotent: bool,
}

impl RequestPolicy {
    /// Allows what the layers allow.
    #[must_use]
    pub const fn new() -> Self {
        Self { no_retry: false, no_hedge: false, no_fallback: false, idempotent: false }
    }

    /// Forbids retries.
    #[must_use]
    pub const fn no_retry(mut self) -> Self {
        self.no_retry = true;
        self
    }

    /// Forbids hedges.
    #[must_use]
    pub const fn no_hedge(mut self) -> Self {
        self.no_hedge = true;
        self
    }

    /// Forbids fallbacks.
    #[must_use]
    pub const fn no_fallback(mut self) -> Self {
        self.no_fallback = true;
        self
    }

    /// Says that the request may reach the other side more than once.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }
}
