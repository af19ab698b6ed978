//! What is counted for one rule, and whether that reaches it.

use super::types::When;
use crate::trip::{Action, HitBy, Limit, Span, TripRule};
use crate::window::{CountWindow, Era, Streak, TimeWindow, Totals};
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

/// What a rule looks at of a call that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) failed: bool,
    /// How long it took up to the head of its answer, and in all; zero where no rule asks.
    pub(super) head: Duration,
    pub(super) total: Duration,
}

/// A rule that was reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reached {
    pub(super) action: Action,
    /// How far beyond its limit: from 0, just there, to 1, all calls.
    pub(super) severity: f64,
}

impl Reached {
    pub(super) fn by_gravity(&self, other: &Self) -> Ordering {
        self.action.cmp(&other.action).then(self.severity.total_cmp(&other.severity))
    }
}

#[derive(Debug)]
pub(super) struct Tally {
    rule: TripRule,
    counted: Counted,
}

#[derive(Debug)]
enum Counted {
    ByTime(Arc<TimeWindow>),
    ByNumber(CountWindow),
    InARow(Streak),
}

impl Tally {
    /// `spread`: over stripes, since many threads will write to it.
    pub(super) fn new(rule: TripRule, spread: bool) -> Self {
        let counted = match (rule.limit, rule.window.span) {
            (Limit::InARow(_), _) => Counted::InARow(Streak::default()),
            (_, Span::Last(calls)) => Counted::ByNumber(CountWindow::new(calls)),
            (_, Span::Within(time)) => {
                let spread = spread && counts_calls(&rule);
                Counted::ByTime(Arc::new(TimeWindow::new(time, rule.window.buckets, spread)))
            }
        };
        Self { rule, counted }
    }

    pub(super) fn rule(&self) -> &TripRule {
        &self.rule
    }

    pub(super) fn action(&self) -> Action {
        self.rule.action
    }

    /// The era in which a call counts that was admitted then, if it still does.
    #[inline]
    pub(super) fn era(&self, admitted: When, current: When) -> Option<Era> {
        match self.rule.action {
            Action::Open => Some(admitted.period()),
            // each share is judged by its own calls
            Action::Degrade if admitted.generation() == current.generation() => {
                Some(current.generation())
            }
            Action::Degrade => None,
        }
    }

    /// Whether a success is nothing to it, whenever it is and however long it takes.
    pub(super) fn ignores_successes(&self) -> bool {
        // a window of the last calls is pushed on by every call
        let by_time = matches!(self.counted, Counted::ByTime(_));
        by_time && !counts_calls(&self.rule) && !self.rule.needs_time()
    }

    /// The window, if a success is counted in that, and nothing else is asked of it.
    pub(super) fn window_alone(&self) -> Option<&Arc<TimeWindow>> {
        match &self.counted {
            Counted::ByTime(window)
                if self.rule.action == Action::Open && !self.rule.needs_time() =>
            {
                Some(window)
            }
            _ => None,
        }
    }

    /// Counts a call, and tells whether the rule may be reached after that.
    pub(super) fn record(&self, now: Duration, era: Era, stripe: usize, call: &Ended) -> bool {
        let hit = call.hits(&self.rule);
        match &self.counted {
            Counted::ByTime(window) if counts_calls(&self.rule) => {
                window.record(now, era, stripe, hit)
            }
            Counted::ByTime(window) => {
                if hit {
                    window.record_hit(now, era);
                }
                hit
            }
            Counted::ByNumber(window) => window.record(era, hit),
            Counted::InARow(streak) => streak.record(era, hit) > 0,
        }
    }

    /// Whether the rule is reached.
    pub(super) fn reached(&self, now: Duration, era: Era) -> Option<Reached> {
        if let Counted::ByTime(window) = &self.counted {
            // every success asks while there is a hit, and the calls stand in many places: most often the
            // hits are too few even for the least calls
            let (calls, hits) = (self.rule.min_calls.into(), window.hits(now, era));
            if !self.share_reaches(Totals { calls, hits }) {
                return None;
            }
        }
        let totals = self.totals(now, era);
        self.severity(totals).map(|severity| Reached { action: self.rule.action, severity })
    }

    /// Whether no share of the calls that were counted would reach the rule, however few there are.
    pub(super) fn is_calm(&self, now: Duration, era: Era) -> bool {
        let totals = self.totals(now, era);
        totals.hits == 0 || !self.share_reaches(totals)
    }

    pub(super) fn totals(&self, now: Duration, era: Era) -> Totals {
        match &self.counted {
            Counted::ByTime(window) if counts_calls(&self.rule) => window.totals(now, era),
            Counted::ByTime(window) => {
                let hits = window.hits(now, era);
                Totals { calls: hits, hits }
            }
            Counted::ByNumber(window) => window.totals(era),
            Counted::InARow(streak) => {
                let hits = streak.hits(era);
                Totals { calls: hits, hits }
            }
        }
    }

    /// The successes that were counted by its window alone.
    pub(super) fn successes(&self) -> u64 {
        match &self.counted {
            Counted::ByTime(window) => window.successes(),
            Counted::ByNumber(_) | Counted::InARow(_) => 0,
        }
    }

    fn severity(&self, totals: Totals) -> Option<f64> {
        let enough = match self.rule.limit {
            Limit::AtLeast(_) | Limit::Above(_) => totals.calls >= self.rule.min_calls.into(),
            Limit::Count(_) | Limit::InARow(_) => true,
        };
        if !enough || totals.hits == 0 || !self.share_reaches(totals) {
            return None;
        }
        Some(match self.rule.limit {
            Limit::AtLeast(limit) | Limit::Above(limit) if limit.get() < 1.0 => {
                (share(totals) - limit.get()) / (1.0 - limit.get())
            }
            _ => 1.0,
        })
    }

    fn share_reaches(&self, totals: Totals) -> bool {
        match self.rule.limit {
            // a division is rounded to the nearest number, as the limit itself was: 3 of 30 are 0.1
            Limit::AtLeast(limit) => share(totals) >= limit.get(),
            Limit::Above(limit) => share(totals) > limit.get(),
            Limit::Count(count) | Limit::InARow(count) => totals.hits >= count.into(),
        }
    }
}

/// A count of failures does not write down the calls, unless it must be known whether there were any.
fn counts_calls(rule: &TripRule) -> bool {
    !matches!(rule.limit, Limit::Count(_)) || rule.action == Action::Degrade
}

fn share(totals: Totals) -> f64 {
    // hits that were counted before their calls don't make more than all of them
    (totals.hits as f64 / totals.calls.max(1) as f64).min(1.0)
}

impl Ended {
    #[inline]
    pub(super) fn new(failed: bool, took: Option<(Duration, Duration)>) -> Self {
        let (head, total) = took.unwrap_or_default();
        Self { failed, head, total }
    }

    #[inline]
    fn hits(&self, rule: &TripRule) -> bool {
        match rule.hit_by {
            HitBy::Failed => self.failed,
            HitBy::Slow { head, total } => {
                head.is_some_and(|limit| self.head > limit)
                    || total.is_some_and(|limit| self.total > limit)
            }
        }
    }

    /// Whether it was slow for any rule.
    pub(super) fn is_slow(&self, rule: &TripRule) -> bool {
        rule.needs_time() && self.hits(rule)
    }
}
