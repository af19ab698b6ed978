//! Hedge, on a paused clock and without sockets.

mod by_hand;
mod limits;
mod losers;
mod panics;
mod percentile;
mod pushback;
mod race;
mod requests;
mod shapes;
mod web;
mod wire;

use crate::kit::{Act, Scripted, ms, secs};
use tower_failover::{BoxError, Budget};

/// How one attempt goes: after how many milliseconds it gives which answer; never with `None`.
type Part = (u64, Option<Result<u16, &'static str>>);

pub(crate) const OK: Option<Result<u16, &str>> = Some(Ok(200));
pub(crate) const NOT_FOUND: Option<Result<u16, &str>> = Some(Ok(404));
pub(crate) const FAILS: Option<Result<u16, &str>> = Some(Err("broken"));
pub(crate) const NEVER: Option<Result<u16, &str>> = None;

/// A service whose attempts go as they are told, in the order in which they are made; one more than there
/// are parts never answers. The request is added to the answer.
pub(crate) type Stage = Scripted<u16, u16, ()>;

pub(crate) fn staged(parts: impl IntoIterator<Item = Part>) -> Stage {
    let parts: Vec<_> = parts.into_iter().collect();
    let acts = parts.clone();
    let act = move |_: &u16, attempt: usize| match acts.get(attempt - 1) {
        Some((after, Some(_))) => Act::AnswersAfter(ms(*after)),
        _ => Act::Hangs,
    };
    let answers = move |request: u16, attempt: usize| {
        let (_, answer) = parts[attempt - 1];
        let answer = answer.expect("it has one").map(|answer| answer + request);
        std::future::ready(answer.map_err(BoxError::from))
    };
    Scripted::doing(answers).acts(act)
}

/// Judges by the number: 200 is good, 404 says nothing, all else has failed.
pub(crate) fn by_number(result: Result<&u16, &BoxError>) -> tower_failover::Outcome {
    match result {
        Ok(200) => tower_failover::Outcome::Success,
        Ok(404) => tower_failover::Outcome::Neutral,
        _ => tower_failover::Outcome::Failure,
    }
}

/// An account with exactly this many hedges, which the clock does not visibly raise.
pub(crate) fn account(hedges: u64) -> Budget {
    Budget::new().min_per_second(1).bank(secs(hedges))
}
