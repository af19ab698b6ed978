//! How long a backend works on each request: lognormal, and the same for the same seed.

const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// The pauses of one backend, drawn by SplitMix64.
pub(crate) struct Pauses(u64);

impl Pauses {
    /// `stream` separates the backends of one seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(mix(seed.wrapping_add(STEP)).wrapping_add(stream)))
    }

    /// The next one, of a lognormal distribution with this mean.
    pub(crate) fn next(&mut self, mean: f64, sigma: f64) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit());
        let normal = (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
        mean * (sigma * normal - sigma * sigma / 2.0).exp()
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(STEP);
        (mix(self.0) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
