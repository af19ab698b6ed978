//! Records that are messages of gRPC.

/// A flag and the length of the message.
const PREFIX: usize = 5;

/// Where the next message begins in what is held.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct MessageReader {
    start: usize,
}

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Plain(&'a [u8]),
    /// It is compressed, or has a flag that nobody knows: it can't be read.
    Opaque,
}

impl MessageReader {
    /// The next message, when it is all there.
    pub(super) fn next<'a>(&mut self, held: &'a [u8]) -> Option<Message<'a>> {
        let ([flag, length @ ..], rest) = held.get(self.start..)?.split_first_chunk::<PREFIX>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let message = rest.get(..length)?;
        self.start += PREFIX + length;
        Some(if *flag == 0 { Message::Plain(message) } else { Message::Opaque })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn write(flag: u8, message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[flag], &length[..], message].concat()
    }

    #[test]
    fn a_message_is_there_with_its_last_byte() {
        let wire = write(0, b"hello");
        let mut reader = MessageReader::default();
        for end in 0..wire.len() {
            assert_eq!(reader.next(&wire[..end]), None, "{end}");
        }
        assert_eq!(reader.next(&wire), Some(Message::Plain(b"hello")));
        assert_eq!(reader.next(&wire), None);
    }

    #[test]
    fn a_message_of_no_bytes_is_one() {
        assert_eq!(MessageReader::default().next(&[0; 5]), Some(Message::Plain(b"")));
    }

    #[test]
    fn the_longest_message_of_all_is_waited_for() {
        let mut reader = MessageReader::default();
        assert_eq!(reader.next(&[0, 0xff, 0xff, 0xff, 0xff, 1, 2]), None);
        assert_eq!(reader.start, 0);
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_were_written_however_they_are_cut(
            messages in vec((0..3_u8, vec(any::<u8>(), 0..40)), 0..6),
            steps in vec(1..9_usize, 1..6),
        ) {
            let wire = messages.iter().flat_map(|(flag, bytes)| write(*flag, bytes));
            let wire: Vec<u8> = wire.collect();
            let (mut reader, mut got, mut end) = (MessageReader::default(), 0, 0);
            for step in steps.iter().cycle() {
                end = (end + step).min(wire.len());
                while let Some(message) = reader.next(&wire[..end]) {
                    let (flag, bytes) = &messages[got];
                    let expected =
                        if *flag == 0 { Message::Plain(bytes) } else { Message::Opaque };
                    prop_assert_eq!(message, expected);
                    got += 1;
                }
                if end == wire.len() {
                    break;
                }
            }
            prop_assert_eq!(got, messages.len());
        }
    }
}
