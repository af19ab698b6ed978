//! Makes the requests of each family, and checks their responses.

use super::reader;
use crate::clock::{self, ms};
use crate::family::{Done, Http, Item, Job, Meta, Plain, Scripted, SimBody};
use crate::layers::Layers;
use crate::plan::Protocol;
use crate::random::Rng;
use crate::run::Run;
use crate::world::{ExpectedRequest, Kind, Live, RequestState, lock};
use bytes::Bytes;
use http::request::Builder;
use http::{HeaderMap, Method, Request, Response};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Weak;
use tokio::time::Instant;
use tower_failover::{Deadline, RequestPolicy};

pub(crate) trait Ask: Layers {
    fn request(run: &Run, rng: &mut Rng, id: u64) -> Self::Request;

    /// Reads the response, and returns how the request ended.
    fn read(
        run: &Run,
        rng: Rng,
        id: u64,
        response: Self::Response,
    ) -> impl Future<Output = &'static str> + Send;
}

/// Facts about a request that must be noted before it is sent.
struct Facts {
    idempotent: bool,
    deadline: Option<Instant>,
    body: ExpectedRequest,
    body_alive: Weak<()>,
}

fn note(run: &Run, id: u64, facts: Facts) {
    let Facts { idempotent, deadline, body, body_alive } = facts;
    let (began, calls) = (run.world.event(), Vec::new());
    let state =
        RequestState { began, calls, idempotent, body, open: 0, over: false, deadline, body_alive };
    lock(&run.world.requests).insert(id, state);
}

/// The response of a backend must be one to a call of this request.
pub(super) fn check_serial(run: &Run, id: u64, serial: u64) {
    let requests = lock(&run.world.requests);
    let own = requests[&id].calls.iter().any(|call| call.serial == serial);
    drop(requests);
    if !own {
        run.world.violate("wrong-answer", format!("req {id} got #{serial}"));
    }
}

impl Ask for Plain {
    fn request(run: &Run, _: &mut Rng, id: u64) -> Job {
        let facts = Facts {
            idempotent: true,
            deadline: None,
            body: ExpectedRequest::default(),
            body_alive: Weak::new(),
        };
        note(run, id, facts);
        Job { id, attempts: None, _live: Live::new(&run.world, Kind::Request) }
    }

    async fn read(run: &Run, _: Rng, id: u64, response: Done) -> &'static str {
        let Some(serial) = response.serial else { return "fallback" };
        check_serial(run, id, serial);
        "answer"
    }
}

impl Ask for Http {
    fn request(run: &Run, rng: &mut Rng, id: u64) -> Request<SimBody> {
        let grpc = run.protocol == Protocol::Grpc;
        let Head { mut head, policy, idempotent, deadline } = Head::draw(rng, grpc);
        if rng.chance(15) {
            let timeout = rng.pick(&["0m", "100m", "3S", "99999999H", "junk"]);
            head = head.header("grpc-timeout", timeout);
        }
        let (scripted, body) = draw_body(run, rng, id);
        note(run, id, Facts { idempotent, deadline, body, body_alive: scripted.alive() });
        let live = Live::new(&run.world, Kind::Request);
        let meta = Meta { id, protocol: run.protocol, _live: live };
        let request = head.extension(meta).body(SimBody::new(scripted));
        let mut request = request.expect("sim: request");
        if policy != RequestPolicy::new() {
            request.extensions_mut().insert(policy);
        }
        request
    }

    fn read(
        run: &Run,
        rng: Rng,
        id: u64,
        response: Response<SimBody>,
    ) -> impl Future<Output = &'static str> + Send {
        reader::read(run, rng, id, response)
    }
}

/// The head of a request, and its meaning.
struct Head {
    head: Builder,
    policy: RequestPolicy,
    idempotent: bool,
    deadline: Option<Instant>,
}

impl Head {
    fn draw(rng: &mut Rng, grpc: bool) -> Self {
        let method = if grpc {
            Method::POST
        } else {
            rng.pick(&[Method::GET, Method::GET, Method::PUT, Method::POST, Method::POST])
        };
        let mut idempotent = method != Method::POST;
        let mut head = Request::builder().method(method).uri("http://sim.test/path");
        if rng.chance(20) {
            head = head.header("idempotency-key", "k");
            idempotent = true;
        }
        let mut policy = RequestPolicy::new();
        if rng.chance(if grpc { 60 } else { 15 }) {
            policy = policy.idempotent();
            idempotent = true;
        }
        if rng.chance(5) {
            policy = policy.no_retry();
        }
        if rng.chance(5) {
            policy = policy.no_hedge();
        }
        if rng.chance(5) {
            policy = policy.no_fallback();
        }
        let mut deadline = None;
        if rng.chance(15) {
            let time = ms(rng.pick(&[0, 200, 5_000]));
            deadline = Some(clock::now() + time);
            head = head.extension(Deadline::within(time));
        }
        Self { head, policy, idempotent, deadline }
    }
}

fn draw_body(run: &Run, rng: &mut Rng, id: u64) -> (Scripted, ExpectedRequest) {
    let len = rng.pick(&[0_usize, 0, 1, 900, 3_000, 70_000]);
    let bytes = request_bytes(id, len);
    let part = rng.pick(&[1_usize, 100, 1_000, 100_000]).max(len / 50);
    let gap = rng.pick(&[0, 0, 0, 1, 40]);
    let parts = bytes.chunks(part).map(|part| (gap, Item::Data(Bytes::copy_from_slice(part))));
    let mut items: VecDeque<_> = parts.collect();
    let trailers = rng.chance(20);
    if trailers {
        let mut map = HeaderMap::new();
        map.insert("x-trailer", id.into());
        items.push_back((gap, Item::Trailers(map)));
    }
    let fails = rng.chance(5);
    if fails {
        let at = rng.below(items.len() as u64 + 1) as usize;
        items.insert(at, (gap, Item::Error));
    }
    let scripted = Scripted::new(&run.world, Kind::RequestBody, items)
        .tells_end(rng.chance(50))
        .tells_size(!fails && rng.chance(50));
    (scripted, ExpectedRequest { bytes, trailers, fails })
}

/// The bytes of a request's body: no two offsets look alike for long.
fn request_bytes(id: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng::new(id.wrapping_mul(77) + 5);
    (0..len).map(|_| rng.next() as u8).collect()
}
