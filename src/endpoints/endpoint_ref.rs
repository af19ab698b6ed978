//! An endpoint, as its health sees it.

use super::cool_down::CoolDown;
use super::set_state::SetState;

/// Where an endpoint stands in its set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndpointRef<'a> {
    pub(crate) set_state: &'a SetState,
    pub(crate) name: &'a str,
    pub(crate) tier: u8,
    /// The rest that it shares with others.
    pub(crate) account: Option<&'a CoolDown>,
}

impl EndpointRef<'_> {
    /// A call has ended: where all were at their limits, there is room now.
    #[inline]
    pub(super) fn freed(&self) {
        if !self.set_state.room().is_empty() {
            self.set_state.room().wake();
        }
    }
}
