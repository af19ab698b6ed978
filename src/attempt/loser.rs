//! What was given up because another attempt was faster.

use std::cell::Cell;

thread_local!(static LOSES: Cell<bool> = const { Cell::new(false) });

/// Drops an attempt that has lost a race: that its caller left says another thing then.
///
/// A word of the thread says so, for all kinds of requests and through all services between: what is
/// dropped is dropped here and now.
pub(crate) fn drop_loser(drop: impl FnOnce()) {
    let _race = Race::begin();
    drop();
}

/// Whether what is dropped in this very moment has lost a race.
pub(super) fn is_lost() -> bool {
    LOSES.try_with(Cell::get).unwrap_or(false)
}

/// Ends also with a panic.
struct Race {
    before: bool,
}

impl Race {
    fn begin() -> Self {
        Self { before: LOSES.try_with(|loses| loses.replace(true)).unwrap_or(false) }
    }
}

impl Drop for Race {
    fn drop(&mut self) {
        let _ = LOSES.try_with(|loses| loses.set(self.before));
    }
}
