//! The tables of the built-in classifiers, line by line.

mod errors;

use crate::kit::{ms, secs};
use http::{Response, StatusCode};
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tower::load_shed::error::Overloaded;
use tower_failover::Outcome::{self, Failure, Neutral, Refused, Success, Throttled, Unsuitable};
use tower_failover::classify::{Classify, ErrorsOnly, GrpcClassifier, GrpcCode, HttpClassifier};
use tower_failover::{BoxError, Hint, Refusal};

type Answer = Response<()>;

const THROTTLED: Outcome = Throttled { retry_after: None };

const fn throttled(retry_after: Duration) -> Outcome {
    Throttled { retry_after: Some(retry_after) }
}

const RETRY_AFTER: &str = "retry-after";
const RETRY_AFTER_MS: &str = "retry-after-ms";
const PUSHBACK: &str = "grpc-retry-pushback-ms";
const DETAILS: &str = "grpc-status-details-bin";

/// A `google.rpc.Status` of RESOURCE_EXHAUSTED with a `RetryInfo` of 5 s.
const RETRY_INFO: &str = "CAgaMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIBQ==";

fn answer(status: u16, headers: &[(&str, &str)]) -> Answer {
    let answer = Response::builder().status(status);
    let answer = headers.iter().fold(answer, |answer, (name, value)| answer.header(*name, *value));
    answer.body(()).unwrap()
}

fn grpc_answer(code: &str, headers: &[(&str, &str)]) -> Answer {
    let mut answer = answer(200, headers);
    answer.headers_mut().insert("grpc-status", code.parse().unwrap());
    answer
}

fn judge(classifier: &impl Classify<Answer, BoxError>, answer: &Answer) -> Outcome {
    classifier.classify(Ok(answer))
}

fn judge_error<E>(classifier: &impl Classify<Answer, E>, error: &E) -> Outcome {
    classifier.classify(Err(error))
}

/// What a result tells beside its outcome: the hint, whether the request is untouched, and whether
/// the refusal is local.
type Told = (Option<Hint>, bool, bool);

const NOTHING: Told = (None, false, false);

fn told<E>(classifier: &impl Classify<Answer, E>, result: Result<&Answer, &E>) -> Told {
    let evidence = classifier.evidence(result);
    (evidence.hint, evidence.untouched, evidence.local)
}

fn told_by(classifier: &impl Classify<Answer, BoxError>, answer: &Answer) -> Told {
    told(classifier, Ok(answer))
}

#[test]
fn each_http_status_has_the_outcome_of_the_table() {
    // with no hint, with one that can be read, and with one that can't
    let table = [
        (100, Success, Success, Success),
        (101, Success, Success, Success),
        (200, Success, Success, Success),
        (204, Success, Success, Success),
        (301, Success, Success, Success),
        (304, Success, Success, Success),
        (400, Neutral, Neutral, Neutral),
        (401, Neutral, Neutral, Neutral),
        (404, Neutral, Neutral, Neutral),
        (408, Failure, Failure, Failure),
        (409, Neutral, Neutral, Neutral),
        (425, THROTTLED, THROTTLED, THROTTLED),
        (429, THROTTLED, throttled(secs(7)), THROTTLED),
        (499, Neutral, Neutral, Neutral),
        (500, Failure, Failure, Failure),
        (501, Unsuitable, Unsuitable, Unsuitable),
        (502, Failure, Failure, Failure),
        (503, Failure, throttled(secs(7)), Failure),
        (504, Failure, Failure, Failure),
        (505, Unsuitable, Unsuitable, Unsuitable),
        (599, Failure, Failure, Failure),
    ];
    let http = HttpClassifier::new();
    for (status, plain, hinted, junk) in table {
        let judge = |headers: &[_]| judge(&http, &answer(status, headers));
        assert_eq!(judge(&[]), plain, "{status}");
        assert_eq!(judge(&[(RETRY_AFTER, "7")]), hinted, "{status} with a hint");
        assert_eq!(judge(&[(RETRY_AFTER, "soon")]), junk, "{status} with junk");
    }
}

/// H6
#[test]
fn only_a_429_and_a_503_tell_something_beside_their_status() {
    let http = HttpClassifier::new();
    for status in 100..600 {
        let (hinted, plain) = match status {
            429 => ((Some(Hint::AtLeast(secs(7))), true, false), (None, true, false)),
            503 => ((Some(Hint::AtLeast(secs(7))), false, false), NOTHING),
            _ => (NOTHING, NOTHING),
        };
        assert_eq!(told_by(&http, &answer(status, &[(RETRY_AFTER, "7")])), hinted, "{status}");
        assert_eq!(told_by(&http, &answer(status, &[])), plain, "{status}");
    }
}

/// H4
#[test]
fn of_several_http_hints_the_longest_counts() {
    let http = HttpClassifier::new();
    for (seconds, millis, longest) in [("2", "2500", ms(2_500)), ("3", "2500", secs(3))] {
        let answer = answer(503, &[(RETRY_AFTER, seconds), (RETRY_AFTER_MS, millis)]);
        assert_eq!(judge(&http, &answer), throttled(longest));
        assert_eq!(told_by(&http, &answer), (Some(Hint::AtLeast(longest)), false, false));
    }
}

#[test]
fn the_last_word_on_a_status_counts_and_other_statuses_keep_theirs() {
    let http = HttpClassifier::new()
        .status(StatusCode::CONFLICT, Unsuitable)
        .status(StatusCode::NOT_FOUND, Refused)
        .status(StatusCode::CONFLICT, Failure)
        .status(StatusCode::OK, Neutral);
    for (status, outcome) in [(409, Failure), (404, Refused), (200, Neutral), (410, Neutral)] {
        assert_eq!(judge(&http, &answer(status, &[])), outcome, "{status}");
    }
    assert_eq!(judge(&http, &answer(500, &[])), Failure);
}

#[test]
fn a_status_that_is_said_to_be_a_throttle_takes_the_hint_that_may_be_read_there() {
    let http = HttpClassifier::new()
        .status(StatusCode::SERVICE_UNAVAILABLE, THROTTLED)
        .status(StatusCode::IM_A_TEAPOT, THROTTLED)
        .status(StatusCode::TOO_MANY_REQUESTS, throttled(secs(1)));
    let hinted = |status| judge(&http, &answer(status, &[(RETRY_AFTER, "7")]));
    assert_eq!(hinted(503), throttled(secs(7)));
    assert_eq!(judge(&http, &answer(503, &[])), THROTTLED);
    assert_eq!(hinted(418), THROTTLED, "hints are read on a 429 and a 503 only");
    assert_eq!(hinted(429), throttled(secs(1)), "what was said is not changed");
}

#[test]
fn another_word_on_a_status_leaves_what_it_tells_beside() {
    let http = HttpClassifier::new().status(StatusCode::TOO_MANY_REQUESTS, Failure);
    let answer = answer(429, &[(RETRY_AFTER, "7")]);
    assert_eq!(judge(&http, &answer), Failure);
    assert_eq!(told_by(&http, &answer), (Some(Hint::AtLeast(secs(7))), true, false));
}

/// H4
#[test]
fn rate_limit_resets_are_read_only_where_that_is_wanted() {
    const RESET: &str = "x-ratelimit-reset";
    let (off, on) = (HttpClassifier::new(), HttpClassifier::new().rate_limit_reset());
    for (headers, delay) in [
        (&[(RESET, "30")][..], Some(secs(30))),
        (&[("x-ratelimit-reset-requests", "1m2.5s")], Some(ms(62_500))),
        (&[(RESET, "30"), (RETRY_AFTER, "40")], Some(secs(40))),
        (&[(RESET, "30"), (RETRY_AFTER, "20")], Some(secs(30))),
        (&[(RESET, "30"), ("x-ratelimit-remaining", "0")], Some(secs(30))),
        (&[(RESET, "30"), ("x-ratelimit-remaining", "5")], None),
        (&[(RESET, "soon")], None),
    ] {
        let (many, busy) = (answer(429, headers), answer(503, headers));
        assert_eq!(judge(&on, &many), Throttled { retry_after: delay }, "{headers:?}");
        assert_eq!(judge(&on, &busy), delay.map_or(Failure, throttled), "{headers:?}");
        assert_eq!(told_by(&on, &many), (delay.map(Hint::AtLeast), true, false), "{headers:?}");
    }
    let only_a_reset = |status| answer(status, &[(RESET, "30")]);
    assert_eq!(judge(&off, &only_a_reset(429)), THROTTLED);
    assert_eq!(judge(&off, &only_a_reset(503)), Failure);
    assert_eq!(told_by(&off, &only_a_reset(503)), NOTHING);
    for status in [200, 404, 425, 500] {
        assert_eq!(told_by(&on, &only_a_reset(status)), NOTHING, "{status}");
    }
}

const CODES: [(GrpcCode, Outcome); 17] = [
    (GrpcCode::Ok, Success),
    (GrpcCode::Cancelled, Neutral),
    (GrpcCode::Unknown, Failure),
    (GrpcCode::InvalidArgument, Neutral),
    (GrpcCode::DeadlineExceeded, Failure),
    (GrpcCode::NotFound, Neutral),
    (GrpcCode::AlreadyExists, Neutral),
    (GrpcCode::PermissionDenied, Neutral),
    (GrpcCode::ResourceExhausted, THROTTLED),
    (GrpcCode::FailedPrecondition, Neutral),
    (GrpcCode::Aborted, Neutral),
    (GrpcCode::OutOfRange, Neutral),
    (GrpcCode::Unimplemented, Unsuitable),
    (GrpcCode::Internal, Failure),
    (GrpcCode::Unavailable, Failure),
    (GrpcCode::DataLoss, Failure),
    (GrpcCode::Unauthenticated, Neutral),
];

/// Asserts that the answer is read as this code, and judged as the code is.
fn assert_code(answer: &Answer, code: GrpcCode) {
    let (_, outcome) = CODES[code as usize];
    assert_eq!(judge(&GrpcClassifier::new(), answer), outcome, "{code:?}: {answer:?}");
    for (other, _) in CODES {
        let expected = if other == code { Refused } else { outcome };
        let told = GrpcClassifier::new().code(other, Refused);
        assert_eq!(judge(&told, answer), expected, "{code:?}, {other:?} is refused: {answer:?}");
    }
}

/// N4
#[test]
fn each_grpc_code_has_the_outcome_of_the_table() {
    for (number, (code, _)) in CODES.into_iter().enumerate() {
        assert_code(&grpc_answer(&number.to_string(), &[]), code);
    }
}

#[test]
fn what_is_no_grpc_code_is_unknown() {
    for junk in ["17", "99", "-1", "00", "014", "1 4", "ok", "UNAVAILABLE", ""] {
        assert_code(&grpc_answer(junk, &[]), GrpcCode::Unknown);
    }
}

#[test]
fn without_a_grpc_status_the_http_status_says_the_code() {
    for status in 100..600 {
        let code = match status {
            200 => continue,
            400 => GrpcCode::Internal,
            401 => GrpcCode::Unauthenticated,
            403 => GrpcCode::PermissionDenied,
            404 => GrpcCode::Unimplemented,
            429 | 502 | 503 | 504 => GrpcCode::Unavailable,
            _ => GrpcCode::Unknown,
        };
        assert_code(&answer(status, &[]), code);
    }
}

#[test]
fn a_200_without_a_grpc_status_is_a_success_so_far_whatever_is_said_of_codes() {
    for (code, _) in CODES {
        let grpc = GrpcClassifier::new().code(code, Refused);
        assert_eq!(judge(&grpc, &answer(200, &[])), Success, "{code:?}");
    }
}

#[test]
fn a_grpc_status_counts_more_than_the_http_status() {
    for status in [400, 404, 429, 503] {
        for (code, expected) in [("0", GrpcCode::Ok), ("5", GrpcCode::NotFound)] {
            assert_code(&answer(status, &[("grpc-status", code)]), expected);
        }
    }
}

#[test]
fn the_last_word_on_a_code_counts() {
    let grpc = GrpcClassifier::new()
        .code(GrpcCode::Aborted, Unsuitable)
        .code(GrpcCode::Unavailable, THROTTLED)
        .code(GrpcCode::Aborted, Failure);
    assert_eq!(judge(&grpc, &grpc_answer("10", &[])), Failure);
    assert_eq!(judge(&grpc, &grpc_answer("14", &[])), THROTTLED);
    assert_eq!(judge(&grpc, &grpc_answer("14", &[(PUSHBACK, "9")])), throttled(ms(9)));
    assert_eq!(judge(&grpc, &answer(502, &[(RETRY_AFTER, "7")])), throttled(secs(7)));
}

/// H5, H6
#[test]
fn an_exhausted_resource_is_throttled_for_as_long_as_it_says() {
    let at_least = |delay| (Some(Hint::AtLeast(delay)), throttled(delay));
    let cases = [
        (&[][..], (None, THROTTLED)),
        (&[(DETAILS, RETRY_INFO)], at_least(secs(5))),
        (&[(RETRY_AFTER, "7")], at_least(secs(7))),
        (&[(DETAILS, RETRY_INFO), (RETRY_AFTER, "2")], at_least(secs(5))),
        (&[(DETAILS, "junk")], (None, THROTTLED)),
        (&[(PUSHBACK, "250")], (Some(Hint::Exactly(ms(250))), throttled(ms(250)))),
        (
            &[(PUSHBACK, "250"), (DETAILS, RETRY_INFO)],
            (Some(Hint::Exactly(ms(250))), throttled(ms(250))),
        ),
        (&[(PUSHBACK, "-1")], (Some(Hint::Never), THROTTLED)),
        (&[(PUSHBACK, "abc"), (DETAILS, RETRY_INFO)], (Some(Hint::Never), THROTTLED)),
    ];
    let grpc = GrpcClassifier::new();
    for (headers, (hint, outcome)) in cases {
        let exhausted = grpc_answer("8", headers);
        assert_eq!(judge(&grpc, &exhausted), outcome, "{headers:?}");
        assert_eq!(told_by(&grpc, &exhausted), (hint, false, false), "{headers:?}");
        let unavailable = grpc_answer("14", headers);
        assert_eq!(judge(&grpc, &unavailable), Failure, "{headers:?}");
        assert_eq!(told_by(&grpc, &unavailable), (hint, false, false), "{headers:?}");
    }
}

/// G1
#[test]
fn no_grpc_answer_says_that_the_request_was_left_untouched() {
    let grpc = GrpcClassifier::new();
    assert_eq!(told_by(&grpc, &answer(429, &[])), NOTHING);
    for number in 0..17 {
        assert_eq!(told_by(&grpc, &grpc_answer(&number.to_string(), &[])), NOTHING, "{number}");
    }
}
