//! What probes have found.

/// What probes have found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Checked {
    /// It serves, as well as this: 1 is whole.
    Serves(f32),
    Down,
    /// Calls can't go well until somebody does something: a credential was refused.
    Misconfigured,
}

impl Checked {
    pub(crate) const HEALTHY: Self = Self::Serves(1.0);

    pub(crate) const fn word(self) -> u64 {
        match self {
            Self::Serves(factor) => factor.to_bits() as u64,
            Self::Down => 1 << 32,
            Self::Misconfigured => 2 << 32,
        }
    }

    pub(crate) fn from_word(word: u64) -> Self {
        match word >> 32 {
            0 => Self::Serves(f32::from_bits(word as u32)),
            1 => Self::Down,
            _ => Self::Misconfigured,
        }
    }

    pub(crate) fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Misconfigured, _) | (_, Self::Misconfigured) => Self::Misconfigured,
            (Self::Down, _) | (_, Self::Down) => Self::Down,
            (Self::Serves(one), Self::Serves(other)) => Self::Serves(one.min(other)),
        }
    }
}
