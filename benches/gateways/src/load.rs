//! Requests at a constant rate, whether earlier ones are answered or not: an open loop.
//!
//! Latency counts from the time at which a request was due, so that those that wait for their turn
//! because something stands still don't look fast.

use crate::BoxError;
use crate::clock::{self, Alarm};
use bytes::Bytes;
use http::Request;
use http::header::HOST;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// After which a request is an error, as a person would have left.
const PATIENCE: Duration = Duration::from_secs(3);

/// How a request went.
pub(crate) struct Answer {
    /// Stamps.
    pub(crate) due: u64,
    pub(crate) ended: u64,
    /// It got a 200.
    pub(crate) good: bool,
}

impl Answer {
    pub(crate) fn ms(&self) -> f64 {
        (self.ended - self.due) as f64 / 1e3
    }
}

/// The connections that wait for a request, to one address.
pub(crate) struct Client {
    port: u16,
    idle: Mutex<Vec<SendRequest<Empty<Bytes>>>>,
}

impl Client {
    pub(crate) fn new(port: u16) -> Self {
        Self { port, idle: Mutex::default() }
    }

    /// Asks once, and tells whether the answer is a 200.
    pub(crate) async fn ask(&self) -> Result<bool, BoxError> {
        let mut connection = match self.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let request = Request::get("/x").header(HOST, "gateways").body(Empty::new())?;
        let answer = connection.send_request(request).await?;
        let good = answer.status() == 200;
        answer.into_body().collect().await?;
        self.keep(connection);
        Ok(good)
    }

    fn take(&self) -> Option<SendRequest<Empty<Bytes>>> {
        let mut idle = self.idle.lock().expect("nothing panics while it is locked");
        // the last first; one that is not ready has been closed, or has not seen its answer's end
        let at = idle.iter().rposition(SendRequest::is_ready)?;
        Some(idle.remove(at))
    }

    fn keep(&self, connection: SendRequest<Empty<Bytes>>) {
        let mut idle = self.idle.lock().expect("nothing panics while it is locked");
        idle.retain(|connection| !connection.is_closed());
        idle.push(connection);
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, BoxError> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(connection)
    }
}

/// Asks these addresses in turn, from a time on, `count` requests in all.
pub(crate) async fn send(ports: Vec<u16>, rate: f64, from: Instant, count: u32) -> Vec<Answer> {
    let clients: Vec<Arc<Client>> = ports.into_iter().map(Client::new).map(Arc::new).collect();
    let alarm = Alarm::new();
    let (first, earlier) = (clock::stamp(), clock::now());
    let first = first + (from - earlier).as_micros() as u64;
    let mut running = Vec::new();
    for number in 0..count {
        let after = Duration::from_secs_f64(f64::from(number) / rate);
        alarm.at(from + after).await;
        let client = clients[number as usize % clients.len()].clone();
        running.push(tokio::spawn(async move {
            let good = matches!(timeout(PATIENCE, client.ask()).await, Ok(Ok(true)));
            let took = from.elapsed().saturating_sub(after).as_micros() as u64;
            let due = first + after.as_micros() as u64;
            Answer { due, ended: due + took, good }
        }));
    }
    let mut answers = Vec::new();
    for answer in running {
        answers.push(answer.await.expect("no request panics"));
    }
    answers
}
