//! Records that are frames.

/// Where the next frame begins in what is held.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct FrameReader {
    start: usize,
}

impl FrameReader {
    /// What came since the last call; nothing is no frame.
    pub(super) fn next<'a>(&mut self, held: &'a [u8]) -> Option<&'a [u8]> {
        let frame = held.get(self.start..).filter(|frame| !frame.is_empty())?;
        self.start = held.len();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_what_came_since_the_last_one() {
        let mut reader = FrameReader::default();
        assert_eq!(reader.next(b""), None);
        assert_eq!(reader.next(b"one"), Some(&b"one"[..]));
        assert_eq!(reader.next(b"one"), None);
        assert_eq!(reader.next(b"onetwo"), Some(&b"two"[..]));
    }
}
