//! Requests and responses that are plain values.

use super::{Answering, Family, Guard};
use crate::backend::{Action, Script};
use crate::world::{CallEnd, Kind, Live};
use std::time::Duration;
use tower::BoxError;
use tower_failover::{Attempts, Refusal};

pub(crate) struct Plain;

#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) id: u64,
    /// The slot in which the record travels.
    pub(crate) attempts: Option<Attempts>,
    pub(crate) _live: Live,
}

pub(crate) struct Done {
    /// The call that made it; none for one that a fallback made.
    pub(crate) serial: Option<u64>,
    _live: Option<Live>,
}

impl Done {
    pub(crate) fn fallback() -> Self {
        Self { serial: None, _live: None }
    }
}

impl Family for Plain {
    type Request = Job;
    type Response = Done;

    fn id(request: &Job) -> u64 {
        request.id
    }

    fn number(_: &Job) -> u64 {
        0
    }

    fn hold(response: Done, guard: Guard) -> Done {
        // a plain response ends with its result
        drop(guard);
        response
    }

    fn answer(script: Script, request: Job) -> Answering<Done> {
        // a plain backend has read its request when it is called
        drop(request);
        Box::pin(answer(script))
    }
}

async fn answer(script: Script) -> Result<Done, BoxError> {
    script.wait().await;
    match script.action {
        Action::PanicInPoll | Action::PanicInCall => {
            script.end(CallEnd::Other);
            panic!("sim: panic in poll")
        }
        Action::Hang => std::future::pending().await,
        Action::Ok | Action::Status404 => {
            script.end(CallEnd::Other);
            let live = Live::new(&script.backend.world, Kind::Response);
            Ok(Done { serial: Some(script.serial), _live: Some(live) })
        }
        Action::Refuse => {
            script.end(CallEnd::Untouched);
            Err(Refusal::new().into())
        }
        Action::Status429 => {
            script.end(CallEnd::Untouched);
            Err(Refusal::new().after(Duration::from_secs(1)).into())
        }
        _ => {
            script.end(CallEnd::Other);
            Err("sim: failed".into())
        }
    }
}
