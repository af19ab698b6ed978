//! What servers write, what they should not write, and garbage.

use super::{Hint, grpc, http};
use crate::clock;
use ::http::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use httpdate::fmt_http_date;
use proptest::prelude::*;
use std::time::{Duration, UNIX_EPOCH};

const PUSHBACK: &str = "grpc-retry-pushback-ms";
const DETAILS: &str = "grpc-status-details-bin";

/// 1994-11-06 08:49:37, the date of RFC 9110's examples.
const EXAMPLE: u64 = 784_111_777;

const fn secs(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

const fn ms(millis: u64) -> Option<Duration> {
    Some(Duration::from_millis(millis))
}

fn headers<V: AsRef<[u8]>>(lines: impl IntoIterator<Item = (&'static str, V)>) -> HeaderMap {
    let line = |(name, value): (&'static str, V)| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_ref()).unwrap())
    };
    lines.into_iter().map(line).collect()
}

fn retry_after(value: impl AsRef<[u8]>) -> Option<Duration> {
    http(&headers([("retry-after", value)]), false)
}

fn pushback(value: impl AsRef<[u8]>) -> Option<Hint> {
    grpc(&headers([(PUSHBACK, value)]))
}

fn reset<const N: usize>(lines: [(&'static str, &str); N]) -> Option<Duration> {
    http(&headers(lines), true)
}

/// H1
#[test]
fn digits_are_seconds_and_saturate() {
    assert_eq!(retry_after("0"), secs(0));
    assert_eq!(retry_after("1"), secs(1));
    assert_eq!(retry_after("007"), secs(7));
    assert_eq!(retry_after("1000000000000000000"), secs(1_000_000_000_000_000_000));
    assert_eq!(retry_after("18446744073709551615"), secs(u64::MAX));
    assert_eq!(retry_after("18446744073709551616"), secs(u64::MAX));
    assert_eq!(retry_after("100000000000000000000"), secs(u64::MAX));
}

/// H2
#[test]
fn digits_are_read_after_trimming_however_many_they_are() {
    assert_eq!(retry_after(" 5 "), secs(5));
    assert_eq!(retry_after("\t5"), secs(5));
    assert_eq!(retry_after("9".repeat(64 * 1_024)), secs(u64::MAX));
    assert_eq!(retry_after("0".repeat(64 * 1_024) + "3"), secs(3));
}

/// H2
#[test]
fn what_is_not_of_the_form_is_ignored() {
    let junk = ["", " ", "-3", "+5", "1.5", "1e3", "5, 6", "5;6", "5s", "0x10", "٣", "soon", "NaN"];
    for value in junk {
        assert_eq!(retry_after(value), None, "{value:?}");
    }
    assert_eq!(retry_after(b"5\xff"), None);
    assert_eq!(retry_after(b"\x80\x81"), None);
    assert_eq!(retry_after("x".repeat(64 * 1_024)), None);
    // the type of a header's value refuses it before we see it
    assert!(HeaderValue::from_bytes(b"5\0").is_err());
}

/// H3
#[test]
fn the_three_forms_of_an_http_date_are_read() {
    let forms = [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ];
    for form in forms {
        let own = fmt_http_date(UNIX_EPOCH + Duration::from_secs(EXAMPLE - 30));
        let headers = headers([("date", own.as_str()), ("retry-after", form)]);
        assert_eq!(http(&headers, false), secs(30), "{form}");
    }
}

/// H3
#[test]
fn a_past_date_does_not_wait() {
    assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), secs(0));
    let same = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(http(&headers([("date", same), ("retry-after", same)]), false), secs(0));
}

/// H3
#[test]
fn a_far_date_is_far() {
    let delay = retry_after("Fri, 31 Dec 9999 23:59:59 GMT");
    assert!(delay > secs(7_000 * 365 * 86_400), "{delay:?}");
}

/// H3, D1: the wall clock is read only where the answer has no date of its own
#[test]
fn a_date_without_one_of_the_answer_is_held_against_our_clock() {
    let at = fmt_http_date(clock::wall() + Duration::from_secs(600));
    for own in ["", "junk"] {
        let headers = headers([("date", own), ("retry-after", &at)]);
        let delay = http(&headers, false).unwrap();
        assert!((580..=600).contains(&delay.as_secs()), "{delay:?}");
    }
}

/// H3
#[test]
fn dates_that_do_not_exist_are_ignored() {
    let junk = [
        "Mon, 06 Nov 1994 08:49:37 GMT", // a Sunday
        "Sun, 06 Nov 1994 08:49:60 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 10000 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 06 Nov 1994",
        "1994-11-06T08:49:37Z",
    ];
    for value in junk {
        assert_eq!(retry_after(value), None, "{value:?}");
    }
}

/// H4
#[test]
fn of_several_values_the_longest_valid_counts() {
    let several = headers([
        ("retry-after", "3"),
        ("retry-after", "junk"),
        ("retry-after", "12"),
        ("retry-after", "-90"),
        ("retry-after", "7"),
        ("retry-after-ms", "11999"),
    ]);
    assert_eq!(http(&several, false), secs(12));
    assert_eq!(
        http(&headers([("retry-after", "1"), ("retry-after-ms", "1500")]), false),
        ms(1_500)
    );
}

#[test]
fn milliseconds_have_a_header_of_their_own() {
    let read = |value| http(&headers([("retry-after-ms", value)]), false);
    assert_eq!(read("250"), ms(250));
    assert_eq!(read("0"), ms(0));
    assert_eq!(read("99999999999999999999"), ms(u64::MAX));
    for junk in ["", "-1", "1.5", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        assert_eq!(read(junk), None, "{junk:?}");
    }
}

#[test]
fn no_header_is_no_hint() {
    assert_eq!(http(&HeaderMap::new(), true), None);
    assert_eq!(grpc(&HeaderMap::new()), None);
}

#[test]
fn a_reset_is_read_only_when_asked_for() {
    assert_eq!(http(&headers([("x-ratelimit-reset", "5")]), false), None);
}

#[test]
fn a_reset_is_a_span_or_a_date() {
    let read = |value| reset([("x-ratelimit-reset", value)]);
    assert_eq!(read("5"), secs(5));
    assert_eq!(read("0"), secs(0));
    assert_eq!(read("20ms"), ms(20));
    assert_eq!(read("1s"), secs(1));
    assert_eq!(read("6m0s"), secs(360));
    assert_eq!(read("1h2m3.5s"), ms(3_723_500));
    assert_eq!(read("1000000000"), secs(0), "a date that is past");
    assert_eq!(read("18446744073709551616"), Some(Duration::MAX));
    let date = clock::wall().duration_since(UNIX_EPOCH).unwrap().as_secs() + 600;
    let delay = read(&date.to_string()).unwrap();
    assert!((580..=600).contains(&delay.as_secs()), "{delay:?}");
}

/// H2, D8
#[test]
fn a_reset_that_is_no_span_is_ignored() {
    let junk = ["", "-5s", "+5s", "s", ".s", "5d", "5s3", "1.5", "1e3s", "1..5s", "NaNs", "infs"];
    for value in junk {
        assert_eq!(reset([("x-ratelimit-reset", value)]), None, "{value:?}");
    }
    let huge = "9".repeat(400) + "h";
    assert_eq!(reset([("x-ratelimit-reset", &huge)]), Some(Duration::MAX));
}

#[test]
fn the_longest_reset_counts_of_the_limits_that_are_used_up() {
    let lines = [
        ("x-ratelimit-reset-requests", "50s"),
        ("x-ratelimit-remaining-requests", "3"),
        ("x-ratelimit-reset-tokens", "2s"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-images", "1s"), // not known to have something left
    ];
    assert_eq!(reset(lines), secs(2));
    let left = [("x-ratelimit-reset", "50"), ("x-ratelimit-remaining", "1")];
    assert_eq!(reset(left), None);
    let both = [("x-ratelimit-reset", "3"), ("x-ratelimit-remaining", "0"), ("retry-after", "9")];
    assert_eq!(reset(both), secs(9));
}

/// H5
#[test]
fn a_pushback_is_exact_or_forbids() {
    let exactly = |millis| Some(Hint::Exactly(Duration::from_millis(millis)));
    assert_eq!(pushback("250"), exactly(250));
    assert_eq!(pushback("00250"), exactly(250));
    assert_eq!(pushback("0"), exactly(0));
    assert_eq!(pushback("2147483648"), exactly(2_147_483_648));
    assert_eq!(pushback("99999999999999999999"), exactly(u64::MAX));
    for forbidden in ["-1", "-250", "abc", "", "+5", "1.5", "2 5"] {
        assert_eq!(pushback(forbidden), Some(Hint::Never), "{forbidden:?}");
    }
    assert_eq!(pushback(b"\xff"), Some(Hint::Never));
}

/// H4, H5
#[test]
fn of_several_pushbacks_the_longest_counts_unless_one_forbids() {
    let read = |one, other| grpc(&headers([(PUSHBACK, one), (PUSHBACK, other)]));
    assert_eq!(read("10", "250"), Some(Hint::Exactly(Duration::from_millis(250))));
    assert_eq!(read("250", "-1"), Some(Hint::Never));
    assert_eq!(read("abc", "250"), Some(Hint::Never));
}

#[test]
fn a_pushback_decides_before_every_other_hint() {
    let with = |value| {
        grpc(&headers([
            (PUSHBACK, value),
            ("retry-after", "30".to_owned()),
            (DETAILS, STANDARD.encode(proto::status(proto::RETRY_INFO, &proto::delay(9, 0)))),
        ]))
    };
    assert_eq!(with("5".to_owned()), Some(Hint::Exactly(Duration::from_millis(5))));
    assert_eq!(with("-1".to_owned()), Some(Hint::Never));
}

/// The few messages that are read here, written.
mod proto {
    pub(super) const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

    fn varint(mut number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    pub(super) fn number(tag: u64, number: u64) -> Vec<u8> {
        [varint(tag << 3), varint(number)].concat()
    }

    pub(super) fn bytes(tag: u64, bytes: &[u8]) -> Vec<u8> {
        [varint(tag << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
    }

    /// A `google.rpc.RetryInfo`; zeros are left out, as proto3 does.
    pub(super) fn delay(seconds: i64, nanos: i32) -> Vec<u8> {
        let mut duration = Vec::new();
        if seconds != 0 {
            duration.extend(number(1, seconds as u64));
        }
        if nanos != 0 {
            duration.extend(number(2, i64::from(nanos) as u64));
        }
        bytes(1, &duration)
    }

    pub(super) fn any(kind: &str, value: &[u8]) -> Vec<u8> {
        bytes(3, &[bytes(1, kind.as_bytes()), bytes(2, value)].concat())
    }

    /// A `google.rpc.Status` with code, message and one detail.
    pub(super) fn status(kind: &str, value: &[u8]) -> Vec<u8> {
        [number(1, 14), bytes(2, b"later"), any(kind, value)].concat()
    }
}

fn details(status: &[u8]) -> Option<Hint> {
    grpc(&headers([(DETAILS, STANDARD.encode(status))]))
}

fn retry_info(seconds: i64, nanos: i32) -> Option<Hint> {
    details(&proto::status(proto::RETRY_INFO, &proto::delay(seconds, nanos)))
}

fn at_least(seconds: u64, nanos: u32) -> Option<Hint> {
    Some(Hint::AtLeast(Duration::new(seconds, nanos)))
}

#[test]
fn retry_info_is_read_with_and_without_padding() {
    for nanos in [5, 50_000, 500_000_000] {
        let status = proto::status(proto::RETRY_INFO, &proto::delay(2, nanos));
        for value in [STANDARD.encode(&status), STANDARD_NO_PAD.encode(&status)] {
            assert_eq!(grpc(&headers([(DETAILS, value)])), at_least(2, nanos as u32));
        }
    }
}

/// H1, D4
#[test]
fn a_retry_info_is_bounded_on_both_sides() {
    assert_eq!(retry_info(0, 0), at_least(0, 0));
    assert_eq!(retry_info(0, 7), at_least(0, 7));
    assert_eq!(retry_info(-5, 0), at_least(0, 0));
    assert_eq!(retry_info(-5, -500_000_000), at_least(0, 0));
    assert_eq!(retry_info(i64::MAX, i32::MAX), at_least(i64::MAX as u64, 999_999_999));
}

#[test]
fn a_retry_info_is_found_among_other_details_and_fields() {
    let other = proto::any("type.googleapis.com/google.rpc.DebugInfo", &proto::bytes(1, b"x"));
    let fixed = [9 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8, 10 << 3 | 5, 1, 2, 3, 4];
    let status = [&fixed[..], &other, &proto::any(proto::RETRY_INFO, &proto::delay(4, 0))];
    assert_eq!(details(&status.concat()), at_least(4, 0));
    assert_eq!(details(&other), None);
    assert_eq!(details(&proto::status("google.rpc.RetryInfo", &proto::delay(4, 0))), None);
}

#[test]
fn without_a_pushback_the_longest_grpc_hint_counts() {
    let status = STANDARD.encode(proto::status(proto::RETRY_INFO, &proto::delay(4, 0)));
    let with = |value: &str| {
        grpc(&headers([(DETAILS, status.clone()), ("retry-after", value.to_owned())]))
    };
    assert_eq!(with("3"), at_least(4, 0));
    assert_eq!(with("5"), at_least(5, 0));
    assert_eq!(with("junk"), at_least(4, 0));
}

#[test]
fn details_that_are_cut_off_or_are_no_base64_are_ignored() {
    let status = proto::status(proto::RETRY_INFO, &proto::delay(4, 5));
    for end in 0..status.len() {
        let hint = details(&status[..end]);
        assert_eq!(hint, None, "cut at {end}");
    }
    assert_eq!(grpc(&headers([(DETAILS, "%%%")])), None);
    assert_eq!(grpc(&headers([(DETAILS, b"\xff")])), None);
    let (long, group) = ([0xff; 12], [3 << 3 | 3, 0]);
    assert_eq!(details(&long), None);
    assert_eq!(details(&group), None);
}

proptest! {
    /// H3: one hour off, or any other time
    #[test]
    fn a_wrong_clock_of_the_server_does_not_matter(
        off in prop_oneof![Just(-3_600_i64), Just(3_600), -1_000_000_000..1_000_000_000_i64],
        delay in 0..100_000_000_u64,
    ) {
        let now = clock::wall().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let own = UNIX_EPOCH + Duration::from_secs(now.saturating_add_signed(off));
        let at = own + Duration::from_secs(delay);
        let headers = headers([("date", fmt_http_date(own)), ("retry-after", fmt_http_date(at))]);
        prop_assert_eq!(http(&headers, false), secs(delay));
    }

    /// H1, H2
    #[test]
    fn digits_mean_what_a_big_number_says(digits in "[0-9]{1,30}") {
        let number: u128 = digits.parse().unwrap();
        prop_assert_eq!(retry_after(&digits), secs(number.try_into().unwrap_or(u64::MAX)));
    }

    /// H2, H5
    #[test]
    fn only_digits_are_a_pushback(value in "[ -~]{0,12}") {
        let trimmed = value.trim();
        let plain = !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_digit());
        prop_assert_eq!(pushback(&value) != Some(Hint::Never), plain);
    }

    /// H2, H3, H5: in every header that is read
    #[test]
    fn no_bytes_of_a_header_panic(
        value in prop::collection::vec(prop_oneof![b' '..b'~', b'0'..b':', 0x80..=0xff_u8], 0..60),
    ) {
        let names = [
            RETRY_AFTER.as_str(), DATE.as_str(), "retry-after-ms", "x-ratelimit-reset",
            "x-ratelimit-remaining", PUSHBACK, DETAILS,
        ];
        let mut all = HeaderMap::new();
        for name in names {
            all.insert(name, HeaderValue::from_bytes(&value).unwrap());
            let mut one = HeaderMap::new();
            one.insert(name, HeaderValue::from_bytes(&value).unwrap());
            http(&one, true);
            grpc(&one);
        }
        http(&all, true);
        grpc(&all);
    }

    #[test]
    fn no_details_panic(
        cut in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..40),
        (seconds, nanos) in any::<(i64, i32)>(),
    ) {
        details(&garbage);
        let whole = proto::status(proto::RETRY_INFO, &proto::delay(seconds, nanos));
        let at = cut.index(whole.len());
        details(&[&whole[..at], &garbage[..], &whole[at..]].concat());
        details(&proto::status(proto::RETRY_INFO, &garbage));
        details(&proto::any(proto::RETRY_INFO, &proto::bytes(1, &garbage)));
    }
}
