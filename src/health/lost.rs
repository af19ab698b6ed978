//! What it tells of an endpoint that another attempt was faster.

use super::endpoint::{Health, Place, duration};
use super::gate::WATCHED;
use crate::circuit::Admission;
use crate::clock::Instant;
use crate::ewma::{pack, unpack};
use crate::record::Ending;
use crate::sync::Ordering::SeqCst;
use std::time::Duration;

/// An endpoint that was silent for its latency times this, while its calls lost, hangs.
const SILENT_LATENCIES: u32 = 3;
/// So does one to which this many calls lost in a row.
const LOSERS: u64 = 3;

impl Health {
    /// A call was given up for a faster one: all that is known is that it takes longer than this. Tells
    /// whether it has failed.
    ///
    /// It has where the endpoint was silent for too long: from the start of this call on, or of earlier ones
    /// that lost after more than its latency. One loser alone may be as young as a hedge is fast; and one that
    /// is old says little where others were answered meanwhile.
    pub(super) fn has_outlasted(
        &self,
        place: Place<'_>,
        admission: Admission,
        ending: &Ending,
        now: Instant,
    ) -> bool {
        let Some(started) = ending.started else { return false };
        let age = now.saturating_duration_since(started);
        let (began, ms) = (place.roster.tick_of(started), place.roster.tick(now));
        let trouble = self.trouble(place);
        let silence = unpack(trouble.silence.load(SeqCst));
        let goes_on = silence.0 > 0.0;
        // what losers add to the latency from its beginning on is no measure for them
        let (usual, since) = if goes_on { silence } else { (self.usual(place.roster), began) };
        let Some(latency) = duration(usual) else {
            return age > place.roster.settings().hang_after.patience(|| None);
        };
        if age <= latency {
            return false;
        }
        let sampled_at = self.sampled_at();
        let answered_at = trouble.answered_at(sampled_at);
        if goes_on || answered_at <= began {
            if !goes_on {
                trouble.losers.store(0, SeqCst);
                trouble.silence.store(pack(usual, since), SeqCst);
                self.gate.fetch_or(WATCHED, SeqCst);
            }
            let losers = trouble.losers.fetch_add(1, SeqCst) + 1;
            let silent = age.max(Duration::from_millis(ms.saturating_sub(since)));
            if losers >= LOSERS || silent > latency.saturating_mul(SILENT_LATENCIES) {
                return true;
            }
        }
        if self.counts(admission) {
            self.sample_of(place, admission, age, ms);
            if sampled_at < ms && self.sampled_at() == ms {
                trouble.raised(answered_at, ms);
            }
            self.publish(place.roster, ms);
        }
        false
    }
}
