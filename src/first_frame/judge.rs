//! What is judged of an answer, and how.

use super::events::{Event, EventReader};
use super::frames::FrameReader;
use super::messages::{Message, MessageReader};
use crate::outcome::Outcome;
use crate::sealed::Sealed;
use http::HeaderMap;
use http::header::{AsHeaderName, CONTENT_ENCODING, CONTENT_TYPE};
use std::fmt;

/// What is done about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It says nothing yet: the next one is waited for.
    Skip,
    /// The answer is good, and goes on its way.
    Commit,
    /// The answer is of this outcome.
    Reject(Outcome),
}

/// Finds the records of an answer and judges them.
///
/// Implemented by [`Frames`], [`Events`] and [`Messages`]; it can't be implemented outside.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not judge records",
    note = "`frames` and `messages` take a closure `Fn(&[u8]) -> Verdict`, `events` one `Fn(Event<'_>) -> Verdict`"
)]
pub trait Judge: Sealed {
    /// Finds the records in what is held.
    #[doc(hidden)]
    type Reader: Default;

    /// Whether an answer that ends before a record may have failed by its trailers.
    #[doc(hidden)]
    const BY_TRAILERS: bool;

    /// Tells how the records of an answer with this head can be read.
    #[doc(hidden)]
    fn sight(headers: &HeaderMap) -> Sight;

    /// Judges the next record in what is held, if there is a whole one.
    #[doc(hidden)]
    fn next(&self, reader: &mut Self::Reader, held: &[u8]) -> Option<Verdict>;
}

/// Whether the records of an answer can be seen.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sight {
    Clear,
    /// The answer has records of no kind that is known.
    None,
    /// They are hidden by a `content-encoding`.
    Encoded,
}

/// Judges each frame that is not empty; see [`FirstFrameLayer::frames`](super::FirstFrameLayer::frames).
#[doc(hidden)]
#[derive(Clone)]
pub struct Frames<F = fn(&[u8]) -> Verdict>(F);

/// Judges each server-sent event; see [`FirstFrameLayer::events`](super::FirstFrameLayer::events).
#[doc(hidden)]
#[derive(Clone)]
pub struct Events<F = fn(Event<'_>) -> Verdict>(F);

/// Judges each gRPC message; see [`FirstFrameLayer::messages`](super::FirstFrameLayer::messages).
#[doc(hidden)]
#[derive(Clone)]
pub struct Messages<F = fn(&[u8]) -> Verdict>(F);

fn commit(_: &[u8]) -> Verdict {
    Verdict::Commit
}

fn commit_data(event: Event<'_>) -> Verdict {
    if event.has_data() { Verdict::Commit } else { Verdict::Skip }
}

impl Frames {
    pub(super) fn any() -> Self {
        Self(commit)
    }
}

impl Events {
    pub(super) fn any() -> Self {
        Self(commit_data)
    }
}

impl Messages {
    pub(super) fn any() -> Self {
        Self(commit)
    }
}

macro_rules! kind {
    ($kind:ident) => {
        impl<F> $kind<F> {
            pub(super) const fn new(judge: F) -> Self {
                Self(judge)
            }
        }

        impl<F> Sealed for $kind<F> {}

        impl<F> fmt::Debug for $kind<F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($kind))
            }
        }
    };
}

kind!(Frames);
kind!(Events);
kind!(Messages);

impl<F: Fn(&[u8]) -> Verdict> Judge for Frames<F> {
    type Reader = FrameReader;

    const BY_TRAILERS: bool = false;

    fn sight(_: &HeaderMap) -> Sight {
        Sight::Clear
    }

    fn next(&self, reader: &mut FrameReader, held: &[u8]) -> Option<Verdict> {
        reader.next(held).map(&self.0)
    }
}

impl<F: Fn(Event<'_>) -> Verdict> Judge for Events<F> {
    type Reader = EventReader;

    const BY_TRAILERS: bool = false;

    fn sight(headers: &HeaderMap) -> Sight {
        // servers that don't say what they send may well send events
        sight(headers, |kind| kind.is_none_or(|kind| kind == "text/event-stream"))
    }

    fn next(&self, reader: &mut EventReader, held: &[u8]) -> Option<Verdict> {
        let event = reader.next(held)?;
        Some(if event.says_anything() { (self.0)(event) } else { Verdict::Skip })
    }
}

impl<F: Fn(&[u8]) -> Verdict> Judge for Messages<F> {
    type Reader = MessageReader;

    const BY_TRAILERS: bool = true;

    fn sight(headers: &HeaderMap) -> Sight {
        sight(headers, |kind| {
            kind.is_none_or(|kind| {
                kind == "application/grpc" || kind.starts_with("application/grpc+")
            })
        })
    }

    fn next(&self, reader: &mut MessageReader, held: &[u8]) -> Option<Verdict> {
        reader.next(held).map(|message| match message {
            Message::Plain(message) => (self.0)(message),
            Message::Opaque => Verdict::Commit,
        })
    }
}

fn sight(headers: &HeaderMap, known: impl FnOnce(Option<&str>) -> bool) -> Sight {
    let kind = words(headers, CONTENT_TYPE, ';').next();
    if !known(kind.as_deref()) {
        return Sight::None;
    }
    let mut encodings = words(headers, CONTENT_ENCODING, ',');
    let plain = encodings.all(|encoding| encoding.is_empty() || encoding == "identity");
    if plain { Sight::Clear } else { Sight::Encoded }
}

/// The parts of the values of a header, in lower case.
fn words(
    headers: &HeaderMap,
    name: impl AsHeaderName,
    separator: char,
) -> impl Iterator<Item = String> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(move |value| {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        text.split(separator).map(|word| word.trim().to_owned()).collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn events(kind: &'static str, encodings: &[&'static str]) -> Sight {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        for encoding in encodings {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        Events::<fn(Event<'_>) -> Verdict>::sight(&headers)
    }

    #[test]
    fn an_encoding_other_than_identity_hides_records() {
        const SSE: &str = "Text/Event-Stream; charset=utf-8";
        assert_eq!(events(SSE, &[]), Sight::Clear);
        assert_eq!(events(SSE, &["Identity", "identity, identity"]), Sight::Clear);
        assert_eq!(events(SSE, &["gzip"]), Sight::Encoded);
        assert_eq!(events(SSE, &["identity", "identity, br"]), Sight::Encoded);
    }

    #[test]
    fn an_answer_of_another_type_has_no_records() {
        assert_eq!(events("application/json", &[]), Sight::None);
        assert_eq!(Events::<fn(Event<'_>) -> Verdict>::sight(&HeaderMap::new()), Sight::Clear);
    }

    #[test]
    fn messages_are_those_of_grpc() {
        for (kind, sight) in [
            ("application/grpc", Sight::Clear),
            ("application/grpc+proto", Sight::Clear),
            ("application/grpc-web-text", Sight::None),
            ("text/html", Sight::None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(Messages::<fn(&[u8]) -> Verdict>::sight(&headers), sight, "{kind}");
        }
    }
}
