//! Backends of HTTP and gRPC: reads a request, and makes its response.

use super::bodies::Items;
use super::content::{Content, Faults};
use super::{Item, Meta, Scripted, SimBody};
use crate::backend::{Action, Script};
use crate::plan::Protocol;
use crate::world::{CallEnd, ExpectedResponse, Kind, lock};
use bytes::Bytes;
use http::response::Builder;
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::BoxError;
use tower_failover::replay::RequestBodyLost;
use tower_failover::{Attempts, Refusal};

/// Values of `Retry-After` and of gRPC's pushback: usual, huge and malformed ones.
const DELAYS: [&str; 16] = [
    "0",
    "1",
    "1",
    "2",
    "5",
    "30",
    "61",
    "3600",
    "18446744073709551615",
    "99999999999999999999999999",
    "-1",
    "1.5",
    "",
    "soon",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
];

pub(super) async fn respond(
    script: Script,
    request: Request<SimBody>,
) -> Result<Response<SimBody>, BoxError> {
    let backend = script.backend.clone();
    let meta = request.extensions().get::<Meta>().cloned().expect("sim: meta");
    let grpc = meta.protocol == Protocol::Grpc;
    if request.extensions().get::<Attempts>().is_some() {
        let text = format!("req {} at {}", meta.id, backend.name);
        backend.world.violate("record-leaked", text);
    }
    // some read the whole body, some a part of it, some nothing
    let how = backend.draw_now(|rng, _| rng.below(5));
    let mut body = Some(request.into_body());
    if script.action == Action::PanicInPoll {
        script.end(CallEnd::Other);
        panic!("sim: panic in poll")
    }
    if let Some(body) = body.as_mut().filter(|_| how < 4) {
        let frames = if how == 3 { backend.draw_now(|rng, _| rng.below(3)) } else { u64::MAX };
        read(&script, body, frames).await?;
    }
    if backend.draw_now(|rng, _| rng.chance(50)) {
        body = None;
    }
    script.wait().await;
    let mut head = Response::builder().header("x-serial", script.serial);
    if grpc {
        head = head.header("content-type", "application/grpc");
    }
    let delay = backend.draw_now(|rng, _| rng.pick(&DELAYS));
    let (status, code, end) = match script.action {
        Action::Hang => std::future::pending().await,
        Action::Error => {
            script.end(CallEnd::Other);
            return Err("sim: failed".into());
        }
        Action::Refuse => {
            script.end(CallEnd::Untouched);
            return Err(Refusal::new().into());
        }
        Action::Status404 => (404, 5, CallEnd::Other),
        Action::Status408 => (408, 4, CallEnd::Other),
        Action::Status429 if grpc => (429, 8, CallEnd::Throttled),
        Action::Status429 => (429, 8, CallEnd::Untouched),
        Action::Status503 if grpc => (503, 14, CallEnd::Other),
        Action::Status503 => (503, 14, CallEnd::Throttled),
        Action::Status500 => (500, 13, CallEnd::Other),
        Action::Status501 => (501, 12, CallEnd::Untouched),
        _ => (200, 0, CallEnd::Other),
    };
    drop(body);
    if status == 200 {
        script.end(end);
        return succeed(&script, head, grpc);
    }
    let status = if grpc { Status::Grpc(status, code) } else { Status::Http(status) };
    fail(&script, head, status, end, delay)
}

/// Reads frames of a request's body, and compares them with the body that the caller sends.
async fn read(script: &Script, body: &mut SimBody, frames: u64) -> Result<(), BoxError> {
    let Script { backend, request: id, serial, .. } = script;
    let world = &backend.world;
    let expected =
        lock(&world.requests).get(id).map(|request| request.body.clone()).unwrap_or_default();
    let (mut got, mut trailers) = (0, false);
    for _ in 0..frames {
        match body.frame().await {
            None => {
                let whole = got == expected.bytes.len() && trailers == expected.trailers;
                if !whole || expected.fails {
                    let text = format!(
                        "req {id} at {} #{serial}: {got} of {} bytes, trailers {trailers} of {}, fails {}",
                        backend.name,
                        expected.bytes.len(),
                        expected.trailers,
                        expected.fails
                    );
                    world.violate("request-body-cut", text);
                }
                break;
            }
            Some(Err(error)) => {
                // the caller's own mistake, or another attempt took the body
                let lost = error.is::<RequestBodyLost>();
                if !lost && !expected.fails {
                    world.violate("request-body-error", format!("req {id}: {error}"));
                }
                world.log(|| format!("body lost req {id} #{serial} lost={lost}"));
                script.end(CallEnd::Other);
                return Err(error);
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    if expected.bytes.get(got..got + data.len()) != Some(&data[..]) {
                        let text = format!("req {id} at {} #{serial} offset {got}", backend.name);
                        world.violate("request-bytes-differ", text);
                    }
                    got += data.len();
                }
                Err(_) => trailers = true,
            },
        }
    }
    Ok(())
}

/// The status of a failure.
#[derive(Clone, Copy)]
enum Status {
    Http(u16),
    /// The equivalent code of HTTP, and the code of gRPC that is sent.
    Grpc(u16, u16),
}

fn fail(
    script: &Script,
    mut head: Builder,
    status: Status,
    end: CallEnd,
    delay: &str,
) -> Result<Response<SimBody>, BoxError> {
    let backend = &script.backend;
    let (hinted, pushback) = backend.draw_now(|rng, _| (rng.chance(60), rng.chance(20)));
    let (Status::Http(meant) | Status::Grpc(meant, _)) = status;
    if hinted && matches!(meant, 429 | 503) {
        head = head.header("retry-after", delay);
        if pushback && matches!(status, Status::Grpc(..)) {
            head = head.header("grpc-retry-pushback-ms", delay);
        }
    }
    head = match status {
        Status::Http(status) => head.status(status),
        Status::Grpc(_, code) => head.header("grpc-status", code),
    };
    // a 503 without a readable delay is a failure
    script.end(if meant == 503 && !hinted { CallEnd::Other } else { end });
    let empty = backend.draw_now(|rng, _| rng.chance(50));
    let mut items = Items::new();
    let mut expected = ExpectedResponse { clean: true, ..ExpectedResponse::default() };
    if !empty && matches!(status, Status::Http(_)) {
        expected.bytes = Bytes::from_static(b"failed");
        items.push_back((0, Item::Data(expected.bytes.clone())));
    }
    finish(script, head, items, expected, false)
}

fn succeed(script: &Script, mut head: Builder, grpc: bool) -> Result<Response<SimBody>, BoxError> {
    let backend = &script.backend;
    let content = if grpc {
        Content::Messages
    } else if backend.draw_now(|rng, _| rng.chance(40)) {
        head = head.header("content-type", "text/event-stream");
        Content::Events
    } else {
        Content::Bytes
    };
    let (hangs, panics) = (backend.hangs, backend.panics);
    let (items, expected) = backend.draw_now(|rng, behavior| {
        content.draw(rng, Faults { chance: behavior.broken_body, hangs, panics })
    });
    let tells_end = backend.draw_now(|rng, _| rng.chance(50));
    finish(script, head, items, expected, tells_end)
}

fn finish(
    script: &Script,
    head: Builder,
    items: Items,
    expected: ExpectedResponse,
    tells_end: bool,
) -> Result<Response<SimBody>, BoxError> {
    let world = &script.backend.world;
    lock(&world.responses).insert(script.serial, expected);
    let body = Scripted::new(world, Kind::ResponseBody, items).tells_end(tells_end);
    Ok(head.body(SimBody::new(body))?)
}
