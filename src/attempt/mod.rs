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

mod answer;
pub(crate) mod attempts;
#[cfg(feature = "http")]
mod body;
mod carry;
mod conclude;
mod context;
pub(crate) mod deadline;
mod end;
mod hang;
mod link;
mod loser;
mod observer;
pub(crate) mod policy;
mod reader;
mod recorder;

#[cfg(feature = "http")]
pub use self::body::RecordBody;
#[cfg(feature = "http")]
pub(crate) use self::deadline::{read_grpc_timeout, write_grpc_timeout};
#[doc(hidden)]
pub use self::{
    answer::AnswerRecorder,
    context::{FullContext, RequestContext},
    deadline::TimeLimit,
};
pub(crate) use self::{
    attempts::{Attempts, CountedRetry},
    conclude::FindClassifier,
    deadline::{Arrival, Deadline},
    hang::HangAfter,
    link::Link,
    loser::drop_loser,
    observer::{AttemptObserver, Ending, InFlight},
    policy::RequestPolicy,
    recorder::Recorder,
};
pub use self::{carry::CarryContext, end::End};
