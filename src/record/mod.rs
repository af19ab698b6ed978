//! Where an attempt ends: the recorder that layers which judge take before a call, and settle once.
//!
//! | the attempt ends | and says |
//! |---|---|
//! | with its `Result` | what the classifier says of that |
//! | with a good head, and then the end of its body | a success; or what the trailers say, for gRPC |
//! | with an error of its body | `Failure` |
//! | with a panic inside of the service | `Failure` |
//! | since its caller left before the head, at the deadline or after `hang_after` | `Failure`: a timeout outside would hide a service that hangs for ever otherwise |
//! | since its caller left earlier | `Neutral` |
//! | since a hedge, or the attempt that it was sent beside, was faster | `Neutral`; to an endpoint that has been silent since it may be a `Failure`, as the page of `hedge` says |
//! | since its reader left in the midst of the body | `Neutral`; or `Failure` after `body_hang_after` of silence, where that is set |
//!
//! Answers of HTTP and gRPC end with their bodies, which therefore are wrapped in a [`RecordBody`]; the
//! kind of a layer, chosen by its constructor, says so ([`End`]).

#[cfg(feature = "http")]
mod body;
mod conclude;
mod end;
mod hang;
mod lost;
mod recorder;

#[cfg(feature = "http")]
pub use self::body::RecordBody;
pub use self::end::End;
pub(crate) use self::hang::HangAfter;
pub(crate) use self::lost::drop_loser;
#[doc(hidden)]
pub use self::recorder::AnswerRecorder;
pub(crate) use self::recorder::{Ending, Ledger, Recorder, Target};
