//! The story of a run: all events in order, as text and as one hash.

use std::time::Duration;

/// The longest story that is kept as text.
const MAX_LINES: usize = 20_000;

/// FNV-1a. It must give the same value in every process and for every build, which the hasher of the
/// standard library does not promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, bytes: impl IntoIterator<Item = u8>) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(crate) fn add_number(&mut self, number: u64) {
        self.add(number.to_le_bytes());
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// A line of the story.
///
/// Only the event enters the hash. The note holds words of the library, an error's message or a `Debug`
/// output: they may be reworded without a change of behaviour.
pub(crate) struct Line {
    pub(crate) event: String,
    pub(crate) note: String,
}

impl From<String> for Line {
    fn from(event: String) -> Self {
        Self { event, note: String::new() }
    }
}

pub(crate) struct Story {
    hash: Hash,
    /// Nothing more enters the hash.
    closed: bool,
    /// Kept only where the story is to be read.
    lines: Option<Vec<String>>,
}

impl Story {
    pub(crate) fn new(kept: bool) -> Self {
        Self { hash: Hash::new(), closed: false, lines: kept.then(Vec::new) }
    }

    pub(crate) fn add(&mut self, at: Duration, line: &Line) {
        if !self.closed {
            self.hash.add(line.event.bytes());
            self.hash.add(at.as_nanos().to_le_bytes());
        }
        if let Some(lines) = self.lines.as_mut().filter(|lines| lines.len() < MAX_LINES) {
            lines.push(format!("{:>12.3}ms {}{}", at.as_secs_f64() * 1e3, line.event, line.note));
        }
    }

    /// Adds numbers to the hash that have no line.
    pub(crate) fn add_counts(&mut self, counts: &[u64]) {
        for count in counts.iter().filter(|_| !self.closed) {
            self.hash.add_number(*count);
        }
    }

    /// Leaves everything from here on out of the hash.
    pub(crate) fn close_hash(&mut self) {
        self.closed = true;
    }

    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}
