//! The delays that servers ask for, and how their many headers are read.
//!
//! A value that is too large for a number saturates, a past date is zero, and whatever is not of the
//! form is ignored.

use std::time::Duration;

/// What an answer says about another attempt here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// Not before this long: `Retry-After`, `RetryInfo` and their kin.
    AtLeast(Duration),
    /// After exactly this long, then the backoff starts again: `grpc-retry-pushback-ms` ([gRFC A6]).
    ///
    /// [gRFC A6]: https://github.com/grpc/proposal/blob/master/A6-client-retries.md
    Exactly(Duration),
    /// Not at all: a negative or unreadable pushback.
    Never,
}

#[cfg(feature = "http")]
pub(crate) use headers::{grpc, http};

#[cfg(feature = "http")]
mod headers {
    use super::Hint;
    use crate::clock;
    use ::http::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
    use base64::Engine;
    use base64::alphabet::STANDARD;
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
    const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
    const STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
    const RATE_LIMIT_RESET: &str = "x-ratelimit-reset";
    const RATE_LIMIT_REMAINING: &str = "x-ratelimit-remaining";

    /// A reset that is larger than this is a date in seconds since 1970, not a number of seconds: it
    /// would be 31 years.
    const LARGEST_SPAN: u64 = 1_000_000_000;

    /// The longest delay that an HTTP answer asks for; `reset` says whether to read
    /// `x-ratelimit-reset` and its kin.
    pub(crate) fn http(headers: &HeaderMap, reset: bool) -> Option<Duration> {
        let plain = headers.get_all(RETRY_AFTER).iter().filter_map(|value| {
            let text = text(value)?;
            seconds(text).or_else(|| until_date(text, headers))
        });
        let millis = headers
            .get_all(RETRY_AFTER_MS)
            .iter()
            .filter_map(|value| digits(text(value)?).map(Duration::from_millis));
        let longest = plain.chain(millis).max();
        if reset { longest.max(rate_limit_reset(headers)) } else { longest }
    }

    /// What a failed gRPC answer asks for in its headers or trailers: a pushback decides, otherwise
    /// the longest of `RetryInfo` and the HTTP forms.
    pub(crate) fn grpc(headers: &HeaderMap) -> Option<Hint> {
        let pushback = headers
            .get_all(PUSHBACK)
            .iter()
            .map(|value| text(value).and_then(digits).map(Duration::from_millis));
        // unreadable is less than any time, and decides before it
        match pushback.reduce(|one, other| one.and_then(|one| other.map(|other| one.max(other)))) {
            Some(Some(delay)) => return Some(Hint::Exactly(delay)),
            Some(None) => return Some(Hint::Never),
            None => {}
        }
        let details = headers
            .get_all(STATUS_DETAILS)
            .iter()
            .filter_map(|value| retry_info(&BASE64.decode(text(value)?).ok()?));
        details.max().max(http(headers, false)).map(Hint::AtLeast)
    }

    fn text(value: &HeaderValue) -> Option<&str> {
        value.to_str().ok().map(str::trim)
    }

    /// Digits and nothing else; a number that is too large for 64 bits is the largest of them.
    fn digits(text: &str) -> Option<u64> {
        let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| text.parse().unwrap_or(u64::MAX))
    }

    fn seconds(text: &str) -> Option<Duration> {
        digits(text).map(Duration::from_secs)
    }

    /// The time from the answer's own date to this one, so that a server whose clock is wrong is
    /// still understood.
    fn until_date(date: &str, headers: &HeaderMap) -> Option<Duration> {
        let date = httpdate::parse_http_date(date).ok()?;
        Some(from_to(answered(headers), date))
    }

    /// When the answer was made, by its own clock if it tells.
    fn answered(headers: &HeaderMap) -> SystemTime {
        let own = headers.get(DATE).and_then(text);
        own.and_then(|own| httpdate::parse_http_date(own).ok()).unwrap_or_else(clock::wall)
    }

    fn from_to(from: SystemTime, to: SystemTime) -> Duration {
        to.duration_since(from).unwrap_or(Duration::ZERO)
    }

    /// The longest reset among the limits that are not known to have something left.
    fn rate_limit_reset(headers: &HeaderMap) -> Option<Duration> {
        let resets = headers.iter().filter_map(|(name, value)| {
            let kind = name.as_str().strip_prefix(RATE_LIMIT_RESET)?;
            let remaining = headers.get(format!("{RATE_LIMIT_REMAINING}{kind}"));
            if remaining.and_then(text).and_then(digits).is_some_and(|left| left > 0) {
                return None;
            }
            let text = text(value)?;
            match digits(text) {
                Some(date) if date >= LARGEST_SPAN => {
                    let date = UNIX_EPOCH.checked_add(Duration::from_secs(date));
                    Some(date.map_or(Duration::MAX, |date| from_to(answered(headers), date)))
                }
                Some(span) => Some(Duration::from_secs(span)),
                None => span(text),
            }
        });
        resets.max()
    }

    /// A span as model providers write it: `1h2m3.5s`, `20ms`.
    fn span(text: &str) -> Option<Duration> {
        const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
        let (mut rest, mut seconds) = (text, 0.0);
        while !rest.is_empty() {
            let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
            let (number, tail) = rest.split_at(end);
            let (unit, scale) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit))?;
            seconds += number.parse::<f64>().ok()? * scale;
            rest = &tail[unit.len()..];
        }
        (!text.is_empty()).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );

    const RETRY_INFO: &[u8] = b"type.googleapis.com/google.rpc.RetryInfo";

    /// The `retry_delay` of the first `google.rpc.RetryInfo` in the details of a `google.rpc.Status`.
    fn retry_info(status: &[u8]) -> Option<Duration> {
        Fields(status).filter_map(|field| field.bytes(3)).find_map(|any| {
            let named = Fields(any).any(|field| field.bytes(1) == Some(RETRY_INFO));
            let info = Fields(any).find_map(|field| field.bytes(2)).filter(|_| named)?;
            let delay = Fields(info).find_map(|field| field.bytes(1))?;
            let number = |tag| Fields(delay).find_map(|field| field.number(tag)).unwrap_or(0);
            // both are signed: a negative delay is none at all
            let seconds = u64::try_from(number(1) as i64).unwrap_or(0);
            let nanos = u32::try_from(number(2)).unwrap_or(0).min(999_999_999);
            Some(Duration::new(seconds, nanos))
        })
    }

    /// The fields of a protobuf message; it ends where the message is not well formed.
    struct Fields<'a>(&'a [u8]);

    struct Field<'a> {
        tag: u64,
        value: Value<'a>,
    }

    enum Value<'a> {
        Number(u64),
        Bytes(&'a [u8]),
        Other,
    }

    impl<'a> Field<'a> {
        fn bytes(&self, tag: u64) -> Option<&'a [u8]> {
            match self.value {
                Value::Bytes(bytes) if self.tag == tag => Some(bytes),
                _ => None,
            }
        }

        fn number(&self, tag: u64) -> Option<u64> {
            match self.value {
                Value::Number(number) if self.tag == tag => Some(number),
                _ => None,
            }
        }
    }

    impl<'a> Fields<'a> {
        fn varint(&mut self) -> Option<u64> {
            let mut number = 0_u64;
            for shift in (0..64).step_by(7) {
                let (byte, rest) = self.0.split_first()?;
                self.0 = rest;
                number |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    return Some(number);
                }
            }
            None
        }

        fn skip(&mut self, length: u64) -> Option<&'a [u8]> {
            let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
            self.0 = rest;
            Some(bytes)
        }
    }

    impl<'a> Iterator for Fields<'a> {
        type Item = Field<'a>;

        fn next(&mut self) -> Option<Field<'a>> {
            let key = self.varint()?;
            let value = match key & 7 {
                0 => Value::Number(self.varint()?),
                1 => self.skip(8).map(|_| Value::Other)?,
                2 => {
                    let length = self.varint()?;
                    Value::Bytes(self.skip(length)?)
                }
                5 => self.skip(4).map(|_| Value::Other)?,
                _ => return None,
            };
            Some(Field { tag: key >> 3, value })
        }
    }
}

#[cfg(all(test, feature = "http"))]
mod tests;
