//! What classifiers make of errors.

use super::*;

/// The error of a client of its own type, with another one behind it.
#[derive(Debug)]
struct ClientError(BoxError);

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client failed")
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

fn refused_connection() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}

/// Runs for the two classifiers of calls that go over a wire.
macro_rules! on_the_wire {
    (|$new:ident| $body:block) => {{
        {
            let $new = HttpClassifier::new;
            $body
        }
        {
            let $new = GrpcClassifier::new;
            $body
        }
    }};
}

/// N1
#[test]
fn a_refused_connection_is_refused_wherever_it_stands_in_a_boxed_error() {
    on_the_wire!(|new| {
        let errors: [BoxError; 3] = [
            refused_connection().into(),
            ClientError(refused_connection().into()).into(),
            io::Error::other(ClientError(refused_connection().into())).into(),
        ];
        for error in errors {
            assert_eq!(judge_error(&new(), &error), Refused, "{error:?}");
            assert_eq!(told(&new(), Err(&error)), NOTHING, "it is not our own refusal");
        }
    });
}

/// N1
#[test]
fn other_errors_are_failures() {
    on_the_wire!(|new| {
        let errors: [BoxError; 4] = [
            io::Error::from(io::ErrorKind::ConnectionReset).into(),
            io::Error::from(io::ErrorKind::TimedOut).into(),
            ClientError(io::Error::from(io::ErrorKind::BrokenPipe).into()).into(),
            "connection refused".into(),
        ];
        for error in errors {
            assert_eq!(judge_error(&new(), &error), Failure, "{error:?}");
            assert_eq!(told(&new(), Err(&error)), NOTHING);
        }
    });
}

#[test]
fn a_concrete_error_is_read_only_by_a_classifier_that_was_told_of_it() {
    on_the_wire!(|new| {
        let error = ClientError(refused_connection().into());
        assert_eq!(judge_error(&new(), &error), Failure);
        assert_eq!(
            judge_error(&new().with_error_type::<fmt::Error>(), &error),
            Failure,
            "of another type"
        );
        let both = new().with_error_type::<fmt::Error>().with_error_type::<ClientError>();
        assert_eq!(judge_error(&both, &error), Refused);
        assert_eq!(judge_error(&both, &refused_connection()), Failure);
        assert_eq!(
            judge_error(&new().with_error_type::<io::Error>(), &refused_connection()),
            Refused
        );
    });
}

#[test]
fn a_rule_says_which_errors_are_refused() {
    on_the_wire!(|new| {
        let ruled = || new().refused_if(|error| error.to_string() == "the client failed");
        let boxed = |error: ClientError| -> BoxError { error.into() };
        let broken = || ClientError("broken".into());
        assert_eq!(judge_error(&new(), &boxed(broken())), Failure);
        assert_eq!(judge_error(&ruled(), &boxed(broken())), Refused);
        assert_eq!(told(&ruled(), Err(&boxed(broken()))), NOTHING, "it is not our own refusal");
        let around = boxed(ClientError("around".into()));
        let inner: BoxError = io::Error::other(around).into();
        assert_eq!(judge_error(&ruled(), &inner), Refused, "an io error shows what it wraps");
        assert_eq!(judge_error(&ruled(), &BoxError::from("other")), Failure);
        let never = new().refused_if(|_| false);
        assert_eq!(
            judge_error(&never, &BoxError::from(refused_connection())),
            Refused,
            "as the table says"
        );
    });
}

#[test]
fn a_rule_is_given_a_concrete_error_only_where_that_is_read() {
    on_the_wire!(|new| {
        let ruled = || new().refused_if(|error| error.is::<ClientError>());
        let error = ClientError("broken".into());
        assert_eq!(judge_error(&ruled(), &error), Failure);
        assert_eq!(judge_error(&ruled().with_error_type::<ClientError>(), &error), Refused);
    });
}

/// What all built-in classifiers make of our own refusals.
fn knows_local_refusals(classifier: impl Classify<Answer, BoxError>) {
    let hint = Some(Hint::AtLeast(secs(3)));
    let marked = || BoxError::from(Refusal::new().after(secs(3)));
    let errors = [
        (marked(), hint),
        (ClientError(marked()).into(), hint),
        (io::Error::other(ClientError(marked())).into(), hint),
        (Refusal::new().into(), None),
        (Overloaded::new().into(), None),
        (ClientError(Overloaded::new().into()).into(), None),
    ];
    for (error, hint) in errors {
        assert_eq!(judge_error(&classifier, &error), Refused, "{error:?}");
        assert_eq!(told(&classifier, Err(&error)), (hint, true, true), "{error:?}");
    }
}

/// F14
#[test]
fn refusals_of_our_own_side_are_known_by_their_mark() {
    knows_local_refusals(HttpClassifier::new());
    knows_local_refusals(GrpcClassifier::new());
    knows_local_refusals(ErrorsOnly::new());
}

#[test]
fn errors_only_looks_at_nothing_but_errors_and_their_marks() {
    let errors_only = ErrorsOnly::new();
    for status in [200, 404, 429, 503] {
        let answer = answer(status, &[(RETRY_AFTER, "7")]);
        assert_eq!(judge(&errors_only, &answer), Success);
        assert_eq!(told_by(&errors_only, &answer), NOTHING);
    }
    let errors: [BoxError; 2] = ["broken".into(), refused_connection().into()];
    for error in errors {
        assert_eq!(judge_error(&errors_only, &error), Failure);
        assert_eq!(told(&errors_only, Err(&error)), NOTHING);
    }
}

#[test]
fn errors_only_reads_the_marks_of_the_concrete_errors_it_was_told_of() {
    let error = ClientError(Refusal::new().after(secs(3)).into());
    let blind = ErrorsOnly::new();
    assert_eq!((judge_error(&blind, &error), told(&blind, Err(&error))), (Failure, NOTHING));
    let reading = ErrorsOnly::new().with_error_type::<ClientError>();
    let local = (Some(Hint::AtLeast(secs(3))), true, true);
    assert_eq!((judge_error(&reading, &error), told(&reading, Err(&error))), (Refused, local));
    let broken = ClientError("broken".into());
    assert_eq!((judge_error(&reading, &broken), told(&reading, Err(&broken))), (Failure, NOTHING));
}

#[test]
fn a_shared_classifier_judges_and_tells_the_same() {
    let shared = Arc::new(HttpClassifier::new());
    let erased: Arc<dyn Classify<Answer, BoxError>> = shared.clone();
    let busy = answer(429, &[(RETRY_AFTER, "7")]);
    let expected = (throttled(secs(7)), (Some(Hint::AtLeast(secs(7))), true, false));
    assert_eq!((judge(&shared, &busy), told_by(&shared, &busy)), expected);
    assert_eq!((judge(&erased, &busy), told_by(&erased, &busy)), expected);
    let local = BoxError::from(Refusal::new());
    assert_eq!(judge_error(&erased, &local), Refused);
    assert_eq!(told(&erased, Err(&local)), (None, true, true));
}

#[test]
fn a_closure_judges_and_tells_nothing_beside() {
    let closure = |result: Result<&Answer, &BoxError>| match result {
        Ok(answer) if answer.status() == 429 => throttled(secs(1)),
        Ok(_) => Neutral,
        Err(_) => Unsuitable,
    };
    let busy = answer(429, &[(RETRY_AFTER, "7")]);
    assert_eq!((judge(&closure, &busy), told_by(&closure, &busy)), (throttled(secs(1)), NOTHING));
    assert_eq!(judge(&closure, &answer(200, &[])), Neutral);
    let local = BoxError::from(Refusal::new());
    assert_eq!((judge_error(&closure, &local), told(&closure, Err(&local))), (Unsuitable, NOTHING));
    assert_eq!(judge(&Arc::new(closure), &busy), throttled(secs(1)));
}
