//! Numbers that a seed repeats: SplitMix64, so that one table can be compared with another.

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A generator of its own for everything that must not depend on the others.
pub(crate) struct Random(u64);

impl Random {
    /// `stream` separates generators of one seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(STEP)).wrapping_add(stream)))
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// From 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }

    /// Two different ones below `end`, which is at least 2.
    pub(crate) fn two_below(&mut self, end: usize) -> (usize, usize) {
        let first = self.below(end);
        let second = self.below(end - 1);
        (first, if second < first { second } else { second + 1 })
    }

    /// Exponential, of this mean.
    pub(crate) fn wait(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() * mean
    }

    /// Lognormal, of this mean.
    pub(crate) fn lognormal(&mut self, mean: f64, sigma: f64) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit());
        let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
        mean * (sigma * normal - sigma * sigma / 2.0).exp()
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
