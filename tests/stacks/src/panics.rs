//! Separates the panics that are part of a plan from all others.

use crate::world::lock;
use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::sync::Mutex;

static FOREIGN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Panics that belong to a plan begin with this.
const PLANNED: &str = "sim: panic";

/// Keeps planned panics quiet, and collects all others.
pub(crate) fn collect(backtraces: bool) {
    std::panic::set_hook(Box::new(move |info| {
        let text = text(info);
        if text.starts_with(PLANNED) {
            return;
        }
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        if backtraces {
            eprintln!("{text} at {at}\n{}", Backtrace::force_capture());
        }
        lock(&FOREIGN).push(format!("{text} at {at}"));
    }));
}

fn text(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default().into()
}

/// The panics since the last call that are not part of a plan.
pub(crate) fn take_foreign() -> Vec<String> {
    std::mem::take(&mut *lock(&FOREIGN))
}
