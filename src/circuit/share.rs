//! The share of the calls that a degraded circuit lets through.

/// The least share: without any calls nobody learns that the service is well again.
const FLOOR: f64 = 0.05;
/// By what it is raised when a dwell has passed well.
const STEP: f64 = 0.05;
/// The same near the knee, and what is near it, in shares of it.
const FINE_STEP: f64 = 0.01;
const NEAR: std::ops::Range<f64> = 0.8..1.1;
/// What is left of a share whose calls just reached the rule, and of one whose calls all did.
const CUT: (f64, f64) = (0.9, 0.5);

/// It is cut in proportion and raised in steps, as TCP does it with its window; and as CUBIC does, it
/// remembers the *knee*, where it was too large the last time, and comes near that in small steps. So it
/// does not swing around what the service can carry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    now: f64,
    knee: Option<f64>,
    /// It was raised since it was cut.
    raised: bool,
}

impl Share {
    pub(super) const fn new(share: f64) -> Self {
        Self { now: share, knee: None, raised: false }
    }

    pub(super) const fn get(self) -> f64 {
        self.now
    }

    /// The share after its calls have reached a rule; `severity` tells how far beyond it, from 0 to 1.
    pub(super) fn cut(self, severity: f64) -> Self {
        let left = CUT.0 - (CUT.0 - CUT.1) * severity.clamp(0.0, 1.0);
        let knee = if self.raised { Some(self.now) } else { self.knee };
        Self { now: (self.now * left).max(FLOOR), knee, raised: false }
    }

    /// The share after a dwell that went well, or none where that is the whole.
    pub(super) fn raise(self) -> Option<Self> {
        let near = self.knee.is_some_and(|knee| NEAR.contains(&(self.now / knee)));
        self.raised_by(if near { FINE_STEP } else { STEP })
    }

    /// The share after so many dwells without any calls, of which nobody knows what they would have been.
    pub(super) fn raise_idle(self, dwells: f64) -> Option<Self> {
        Self { knee: None, ..self }.raised_by(STEP * dwells)
    }

    fn raised_by(self, step: f64) -> Option<Self> {
        let now = self.now + step;
        // a share that is short of the whole by rounding alone is the whole
        (now <= 1.0 - STEP / 2.0).then_some(Self { now, raised: true, ..self })
    }
}
