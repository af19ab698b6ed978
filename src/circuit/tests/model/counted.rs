//! What a rule counts, as a list.

use super::{CallVerdict, End};

#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) limit: Limit,
    /// Counts calls that took longer, instead of those that failed.
    pub(super) slow: Option<u64>,
    pub(super) span: Span,
    pub(super) degrades: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    Share { permille: u32, above: bool, least: u32 },
    Count(u32),
    InARow(u32),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Span {
    Time { slice: u64, buckets: u64 },
    Last(usize),
}

/// A rule and what it has seen: when, and whether it was a hit.
pub(super) struct Counted {
    rule: Rule,
    seen: Vec<(u64, bool)>,
}

impl Counted {
    pub(super) fn new(rule: Rule) -> Self {
        Self { rule, seen: Vec::new() }
    }

    pub(super) fn degrades(&self) -> bool {
        self.rule.degrades
    }

    pub(super) fn clear(&mut self) {
        self.seen.clear();
    }

    pub(super) fn count(&mut self, now: u64, how: End) {
        let hit = match self.rule.slow {
            Some(_) => self.is_slow(how),
            None => how.verdict == CallVerdict::Bad,
        };
        self.seen.push((now, hit));
    }

    pub(super) fn is_slow(&self, how: End) -> bool {
        let slower = |limit: u64| how.took.is_some_and(|(head, _)| head.as_millis() > limit.into());
        self.rule.slow.is_some_and(slower)
    }

    /// When its oldest call is forgotten.
    pub(super) fn due(&self) -> Option<u64> {
        match (self.rule.span, self.seen.first()) {
            (Span::Time { slice, buckets }, Some((at, _))) => Some((at / slice + buckets) * slice),
            _ => None,
        }
    }

    /// The calls and the hits in its window.
    pub(super) fn window(&self, now: u64) -> (u64, u64) {
        let row = || self.seen.iter().rev().take_while(|(_, hit)| *hit).count();
        let last: Vec<_> = match self.rule.span {
            _ if matches!(self.rule.limit, Limit::InARow(_)) => {
                self.seen.iter().rev().take(row()).collect()
            }
            Span::Last(calls) => self.seen.iter().rev().take(calls).collect(),
            Span::Time { slice, buckets } => {
                self.seen.iter().filter(|(at, _)| now / slice < at / slice + buckets).collect()
            }
        };
        let hits = last.iter().filter(|(_, hit)| *hit).count() as u64;
        match (self.rule.limit, self.rule.span) {
            // a rule that opens does not write down calls that are no hits
            (Limit::Count(_), Span::Time { .. }) if !self.rule.degrades => (hits, hits),
            _ => (last.len() as u64, hits),
        }
    }

    /// Whether its share or its count is reached, however few the calls are.
    pub(super) fn is_over(&self, now: u64) -> bool {
        let (calls, hits) = self.window(now);
        match self.rule.limit {
            _ if hits == 0 => false,
            Limit::Share { permille, above: false, .. } => {
                hits * 1_000 >= u64::from(permille) * calls
            }
            Limit::Share { permille, above: true, .. } => {
                hits * 1_000 > u64::from(permille) * calls
            }
            Limit::Count(count) | Limit::InARow(count) => hits >= count.into(),
        }
    }

    pub(super) fn is_reached(&self, now: u64) -> bool {
        let enough = match self.rule.limit {
            Limit::Share { least, .. } => self.window(now).0 >= least.into(),
            _ => true,
        };
        enough && self.is_over(now)
    }

    /// How far it is exceeded: from 0, just reached, to 1, by all calls.
    pub(super) fn severity(&self, now: u64) -> f64 {
        let (calls, hits) = self.window(now);
        match self.rule.limit {
            Limit::Share { permille, .. } if permille < 1_000 => {
                let limit = f64::from(permille) / 1_000.0;
                (hits as f64 / calls as f64 - limit) / (1.0 - limit)
            }
            _ => 1.0,
        }
    }
}
