//! Records of a stream of server-sent events.

use std::borrow::Cow;
use std::fmt;
use std::mem;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A record of a stream of server-sent events, as the [specification] reads it: lines up to an empty one.
///
/// What is not UTF-8 is replaced as there.
///
/// [specification]: https://html.spec.whatwg.org/multipage/server-sent-events.html
#[derive(Clone, Copy)]
pub struct Event<'a> {
    record: &'a [u8],
}

impl<'a> Event<'a> {
    /// Returns the type of the event; `message` where it has none.
    #[must_use]
    pub fn event(&self) -> Cow<'a, str> {
        match self.last(b"event") {
            Some(name) if !name.is_empty() => String::from_utf8_lossy(name),
            _ => Cow::Borrowed("message"),
        }
    }

    /// Returns the data, its lines joined with `\n`; empty where there is none. It is copied only where
    /// it has several lines, or is not UTF-8.
    #[must_use]
    pub fn data(&self) -> Cow<'a, str> {
        let mut lines = self.values(b"data").map(String::from_utf8_lossy);
        let first = lines.next().unwrap_or_default();
        lines.fold(first, |data, line| Cow::Owned(data.into_owned() + "\n" + &*line))
    }

    /// Returns the id, if it has one.
    #[must_use]
    pub fn id(&self) -> Option<Cow<'a, str>> {
        // one with a zero in it is none, by the specification
        let id = self.values(b"id").filter(|id| !id.contains(&0)).last();
        id.map(String::from_utf8_lossy)
    }

    /// Tells whether it has a line of data, if only an empty one. A browser passes over records without.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.values(b"data").next().is_some()
    }

    /// Whether it says anything to a reader: it has data or a type.
    pub(super) fn says_anything(&self) -> bool {
        self.has_data() || self.last(b"event").is_some()
    }

    fn last(&self, field: &'static [u8]) -> Option<&'a [u8]> {
        self.values(field).last()
    }

    /// The values of the lines of this field.
    fn values(&self, field: &'static [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let lines = self.record.split(|byte| matches!(byte, b'\n' | b'\r'));
        lines.filter_map(move |line| {
            let rest = line.strip_prefix(field)?;
            let Some((colon, value)) = rest.split_first() else { return Some(rest) };
            (*colon == b':').then(|| value.strip_prefix(b" ").unwrap_or(value))
        })
    }
}

// what it says belongs to others
impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("bytes", &self.record.len()).finish_non_exhaustive()
    }
}

/// Finds the records in what is held; each byte is looked at once.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct EventReader {
    /// Where the record begins, and its last line.
    record: usize,
    line: usize,
    /// The first byte that was not looked at.
    at: usize,
    /// The byte before was a `\r`: an `\n` is the second half of the same end.
    after_return: bool,
}

impl EventReader {
    /// The next record that is not empty, when the empty line after it is there.
    pub(super) fn next<'a>(&mut self, held: &'a [u8]) -> Option<Event<'a>> {
        while let Some(byte) = held.get(self.at) {
            let (end, after_return) = (self.at, mem::take(&mut self.after_return));
            self.at += 1;
            match byte {
                b'\n' if after_return => {
                    if self.record == self.line {
                        self.record = self.at;
                    }
                    self.line = self.at;
                    continue;
                }
                b'\n' => {}
                b'\r' => self.after_return = true,
                _ => continue,
            }
            let line = mem::replace(&mut self.line, self.at);
            if !without_mark(held, line, end).is_empty() {
                continue;
            }
            let record = mem::replace(&mut self.record, self.at);
            let record = without_mark(held, record, line);
            if !record.is_empty() {
                return Some(Event { record });
            }
        }
        None
    }
}

/// These bytes, without the mark that may stand at the beginning of the stream.
fn without_mark(held: &[u8], from: usize, to: usize) -> &[u8] {
    let bytes = held.get(from..to).unwrap_or_default();
    if from == 0 { bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes) } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    type Seen = (String, String, Option<String>);

    /// Reads a stream of which one more piece is there each time.
    fn read(stream: &[u8], steps: &[usize]) -> Vec<Seen> {
        let (mut reader, mut seen, mut end) = (EventReader::default(), Vec::new(), 0);
        for step in steps.iter().cycle() {
            end = (end + step).min(stream.len());
            while let Some(event) = reader.next(&stream[..end]) {
                if event.says_anything() {
                    let id = event.id().map(Cow::into_owned);
                    seen.push((event.event().into_owned(), event.data().into_owned(), id));
                }
            }
            if end == stream.len() {
                break;
            }
        }
        seen
    }

    /// What the specification says, word for word, over the whole stream.
    fn model(stream: &[u8]) -> Vec<Seen> {
        let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        // what stands after the last end of a line is no line
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let (mut seen, mut data, mut name, mut id) = (Vec::new(), None, None, None);
        for line in lines {
            if line.is_empty() {
                let (data, name): (Option<String>, Option<String>) = (data.take(), name.take());
                let id = id.take();
                if data.is_some() || name.is_some() {
                    let name = name.filter(|name| !name.is_empty());
                    let name = name.unwrap_or("message".to_owned());
                    seen.push((name, data.unwrap_or_default(), id));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => {
                    data = Some(match data {
                        Some(before) => format!("{before}\n{value}"),
                        None => value.to_owned(),
                    });
                }
                "event" => name = Some(value.to_owned()),
                "id" if !value.contains('\0') => id = Some(value.to_owned()),
                _ => {}
            }
        }
        seen
    }

    fn one(event: &str, data: &str) -> Vec<Seen> {
        vec![(event.to_owned(), data.to_owned(), None)]
    }

    #[test]
    fn the_ends_of_lines_may_be_any_and_be_cut_anywhere() {
        let stream = "\u{feff}: hi\n\nevent: error\ndata: {}\ndata:{}\nretry: 3\n\n";
        for end in ["\n", "\r", "\r\n"] {
            let stream = stream.replace('\n', end);
            for step in 1..=stream.len() {
                let seen = read(stream.as_bytes(), &[step]);
                assert_eq!(seen, one("error", "{}\n{}"), "{end:?} {step}");
            }
        }
    }

    #[test]
    fn a_record_is_there_with_the_return_that_ends_it() {
        assert_eq!(read(b"data: x\r\n\r", &[1]), one("message", "x"));
    }

    #[test]
    fn the_second_half_of_an_end_is_no_line() {
        assert_eq!(read(b"data: x\r\n\r\ndata: y\r\n", &[1]), one("message", "x"));
    }

    #[test]
    fn a_record_that_is_not_ended_is_none() {
        assert_eq!(read(b"data: x\n", &[3]), []);
        assert_eq!(read(b"data: x", &[3]), []);
    }

    #[test]
    fn comments_say_nothing() {
        assert_eq!(read(b": ping\n\n:\n\n\n\n\xef\xbb\xbf\n\nretry: 1\n\nid: 1\n\n", &[2]), []);
    }

    #[test]
    fn a_mark_alone_in_its_line_is_an_empty_line() {
        assert_eq!(read(b"\xef\xbb\xbf\n\ndata: x\n\n", &[1]), one("message", "x"));
    }

    /// The examples of the specification.
    #[test]
    fn an_empty_line_of_data_is_data() {
        let seen = read(b"data\n\ndata\ndata\n\ndata:", &[100]);
        assert_eq!(seen, [one("message", ""), one("message", "\n")].concat());
        let seen = read(b"data:test\n\ndata: test\n\n", &[100]);
        assert_eq!(seen, [one("message", "test"), one("message", "test")].concat());
    }

    #[test]
    fn fields_are_whole_names() {
        assert_eq!(read(b"database: x\ndata: y\nevents: z\n\n", &[100]), one("message", "y"));
    }

    #[test]
    fn an_event_does_not_print_what_it_says() {
        let event =
            EventReader::default().next(b"data: secret\n\n").map(|event| format!("{event:?}"));
        assert_eq!(event.unwrap(), "Event { bytes: 13, .. }");
    }

    proptest! {
        #[test]
        fn records_are_those_of_the_specification(
            parts in vec(prop_oneof![
                Just("\n"), Just("\r"), Just("\r\n"), Just("data"), Just(":"), Just(" "),
                Just("event"), Just("id"), Just("\u{feff}"), Just("x"), Just("\0"), Just("é"),
            ], 0..40),
            steps in vec(1..7_usize, 1..5),
        ) {
            let stream = parts.concat();
            prop_assert_eq!(read(stream.as_bytes(), &steps), model(stream.as_bytes()));
        }
    }
}
