//! What it tells of an endpoint that another attempt was faster.

use super::endpoint_ref::EndpointRef;
use super::health::{Health, duration};
use crate::attempt::Ending;
use crate::circuit::Admission;
use crate::clock::Instant;
use crate::ewma::{pack, unpack};
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
    pub(crate) fn has_outlasted(
        &self,
        endpoint: EndpointRef<'_>,
        admission: Admission,
        ending: &Ending,
        now: Instant,
    ) -> bool {
        let Some(started) = ending.started else { return false };
        let age = now.saturating_duration_since(started);
        let (began, ms) = (endpoint.set_state.tick_of(started), endpoint.set_state.tick(now));
        let failure_state = self.failure_state(endpoint);
        let silence = unpack(failure_state.silence.load(SeqCst));
        let goes_on = silence.0 > 0.0;
        // what losers add to the latency from its beginning on is no measure for them
        let (usual, since) =
            if goes_on { silence } else { (self.usual(endpoint.set_state), began) };
        let Some(latency) = duration(usual) else {
            return age > endpoint.set_state.config().hang_after.patience(|| None);
        };
        if age <= latency {
            return false;
        }
        let sampled_at = self.sampled_at();
        let answered_at = failure_state.answered_at(sampled_at);
        if goes_on || answered_at <= began {
            if !goes_on {
                failure_state.losers.store(0, SeqCst);
                failure_state.silence.store(pack(usual, since), SeqCst);
                self.gate.watch();
            }
            let losers = failure_state.losers.fetch_add(1, SeqCst) + 1;
            let silent = age.max(Duration::from_millis(ms.saturating_sub(since)));
            if losers >= LOSERS || silent > latency.saturating_mul(SILENT_LATENCIES) {
                return true;
            }
        }
        if self.counts(admission) {
            self.sample_of(endpoint, admission, age, ms);
            if sampled_at < ms && self.sampled_at() == ms {
                failure_state.raised(answered_at, ms);
            }
            self.publish(endpoint.set_state, ms);
        }
        false
    }
}
