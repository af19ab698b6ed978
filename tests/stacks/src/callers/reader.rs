//! Reads a response of HTTP or gRPC, and compares its body with the one that the backend sent.

use super::ask::check_serial;
use crate::clock::{self, ms};
use crate::family::{PING, SimBody};
use crate::random::Rng;
use crate::run::Run;
use crate::world::{ExpectedResponse, lock};
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use tower::BoxError;

/// A response, as far as it was read.
struct Reader<'a> {
    run: &'a Run,
    id: u64,
    serial: u64,
    expected: ExpectedResponse,
    bytes: Vec<u8>,
    trailers: Option<String>,
}

/// Reads until the body ends or the caller leaves. Returns how the request ended.
pub(super) async fn read(
    run: &Run,
    mut rng: Rng,
    id: u64,
    response: Response<SimBody>,
) -> &'static str {
    let headers = response.headers();
    let serial = headers.get("x-serial").and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(serial) = serial.filter(|_| !headers.contains_key("x-fallback")) {
        check_serial(run, id, serial);
    }
    let mut reader = serial.and_then(|serial| {
        let expected = lock(&run.world.responses).get(&serial).cloned()?;
        Some(Reader { run, id, serial, expected, bytes: Vec::new(), trailers: None })
    });
    let mut body = response.into_body();
    let stop = rng.chance(15).then(|| rng.below(4));
    let pause = rng.pick(&[0, 0, 0, 5, 400]);
    let mut frames = 0;
    while stop != Some(frames) {
        frames += 1;
        if pause > 0 {
            clock::sleep(ms(pause)).await;
        }
        let frame = body.frame().await;
        let end = match &mut reader {
            Some(reader) => reader.check(frame),
            None => frame.is_none().then_some("fallback"),
        };
        if let Some(end) = end {
            return end;
        }
    }
    "left body"
}

impl Reader<'_> {
    /// Checks a frame. Returns how the request ended if the body has ended.
    fn check(&mut self, frame: Option<Result<Frame<Bytes>, BoxError>>) -> Option<&'static str> {
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.check_error(&error);
                return Some("body error");
            }
            None => {
                self.check_end();
                return Some("answer");
            }
        };
        match frame.into_data() {
            Ok(data) => self.check_data(&data),
            Err(frame) => {
                let status =
                    |map: HeaderMap| Some(map.get("grpc-status")?.to_str().ok()?.to_owned());
                self.trailers = frame.into_trailers().ok().and_then(status);
            }
        }
        None
    }

    /// After the bytes that were sent, nothing follows but pings.
    fn check_data(&mut self, data: &Bytes) {
        self.bytes.extend_from_slice(data);
        let sent = &self.expected.bytes;
        let (bytes, more) = self.bytes.split_at(self.bytes.len().min(sent.len()));
        let only_pings = more.iter().zip(PING.iter().cycle()).all(|(byte, ping)| byte == ping);
        let too_much = self.expected.clean && !more.is_empty();
        if bytes != &sent[..bytes.len()] || !only_pings || too_much {
            self.violate("answer-bytes-differ", String::new());
        }
    }

    /// A body that was sent well arrives well.
    fn check_error(&self, error: &BoxError) {
        if self.expected.clean && !lock(&self.run.built).stalls {
            self.violate("answer-error", format!(": {error}"));
        }
    }

    /// A body that ends is complete.
    fn check_end(&self) {
        let Self { expected, bytes, trailers, .. } = self;
        if !expected.clean || *bytes != expected.bytes || *trailers != expected.trailers {
            let text = format!(
                ": {} of {} bytes, clean {}, trailers {trailers:?} of {:?}",
                bytes.len(),
                expected.bytes.len(),
                expected.clean,
                expected.trailers
            );
            self.violate("answer-cut", text);
        }
    }

    fn violate(&self, class: &str, text: String) {
        let Self { run, id, serial, .. } = self;
        run.world.violate(class, format!("req {id} #{serial}{text}"));
    }
}
