//! The servers behind the gateways: processes of their own, so that killing one cuts its connections.
//!
//! Each answers after a lognormal pause. It is steered by lines on its standard input, answers each
//! with a line, and ends with that input: none outlives the measurement.

use crate::BoxError;
use crate::clock::{self, Alarm};
use crate::pauses::Pauses;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::env;
use std::future;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines, stdin};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const MEAN_MS: f64 = 5.0;
const SIGMA: f64 = 0.5;
const ARRIVALS: &str = "arrivals";

/// How a backend answers.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Good,
    /// 503 at once.
    Fail,
    /// So many times longer pauses.
    Slow(u32),
    /// Takes requests and never answers them.
    Hang,
}

impl Mode {
    fn line(self) -> String {
        match self {
            Self::Good => "good".into(),
            Self::Fail => "fail".into(),
            Self::Slow(times) => format!("slow {times}"),
            Self::Hang => "hang".into(),
        }
    }

    fn read(line: &str) -> Option<Self> {
        Some(match line {
            "good" => Self::Good,
            "fail" => Self::Fail,
            "hang" => Self::Hang,
            _ => Self::Slow(line.strip_prefix("slow ")?.parse().ok()?),
        })
    }
}

struct State {
    mode: Mode,
    pauses: Pauses,
    /// Stamps of all requests since it was last asked.
    arrivals: Vec<u64>,
}

/// Serves until its standard input ends.
pub(crate) async fn serve(port: u16) -> Result<(), BoxError> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let pauses = Pauses::new(1, port.into());
    let state = Arc::new(Mutex::new(State { mode: Mode::Good, pauses, arrivals: Vec::new() }));
    tokio::spawn(accept(listener, state.clone()));
    println!("listening");
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let mut state = state.lock().expect("no request panics");
        if line == ARRIVALS {
            let stamps: Vec<String> = state.arrivals.drain(..).map(|at| at.to_string()).collect();
            println!("{}", stamps.join(" "));
        } else {
            state.mode = Mode::read(&line).ok_or_else(|| format!("unknown: {line}"))?;
            println!("done");
        }
    }
    Ok(())
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let alarm = Alarm::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (state, alarm) = (state.clone(), alarm.clone());
        let service = service_fn(move |_: Request<Incoming>| answer(state.clone(), alarm.clone()));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    alarm: Alarm,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let begun = clock::now();
    let (mode, pause) = {
        let mut state = state.lock().expect("no request panics");
        state.arrivals.push(clock::stamp());
        (state.mode, state.pauses.next(MEAN_MS, SIGMA))
    };
    let times = match mode {
        Mode::Good => 1,
        Mode::Slow(times) => times,
        Mode::Hang => future::pending().await,
        Mode::Fail => {
            let mut bad = Response::new(Full::from("bad\n"));
            *bad.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(bad);
        }
    };
    alarm.at(begun + Duration::from_secs_f64(pause * f64::from(times) / 1e3)).await;
    Ok(Response::new(Full::from("good\n")))
}

/// All backends of a run; faults of one hit the last.
pub(crate) struct Backends {
    ports: Vec<u16>,
    running: Vec<Backend>,
    /// Of each backend, of those too that were killed.
    arrivals: Vec<Vec<u64>>,
}

impl Backends {
    pub(crate) async fn start(ports: &[u16]) -> Result<Self, BoxError> {
        let mut running = Vec::new();
        for &port in ports {
            running.push(Backend::start(port).await?);
        }
        Ok(Self { ports: ports.to_vec(), running, arrivals: vec![Vec::new(); ports.len()] })
    }

    pub(crate) async fn turn_last(&mut self, mode: Mode) -> Result<(), BoxError> {
        self.last().turn(mode).await
    }

    pub(crate) async fn turn_all(&mut self, mode: Mode) -> Result<(), BoxError> {
        for backend in &mut self.running {
            backend.turn(mode).await?;
        }
        Ok(())
    }

    pub(crate) async fn kill(&mut self) -> Result<(), BoxError> {
        // a dead one can't tell any more
        self.collect().await?;
        Ok(self.last().process.kill().await?)
    }

    pub(crate) async fn start_again(&mut self) -> Result<(), BoxError> {
        let port = self.ports[self.ports.len() - 1];
        *self.last() = Backend::start(port).await?;
        Ok(())
    }

    /// Ends all, and tells when each was asked.
    pub(crate) async fn end(mut self) -> Result<Vec<Vec<u64>>, BoxError> {
        self.collect().await?;
        for backend in &mut self.running {
            backend.process.kill().await?;
        }
        Ok(self.arrivals)
    }

    fn last(&mut self) -> &mut Backend {
        self.running.last_mut().expect("there are backends")
    }

    async fn collect(&mut self) -> Result<(), BoxError> {
        for (backend, arrivals) in self.running.iter_mut().zip(&mut self.arrivals) {
            for stamp in backend.ask(ARRIVALS).await?.split_whitespace() {
                arrivals.push(stamp.parse()?);
            }
        }
        Ok(())
    }
}

struct Backend {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Backend {
    async fn start(port: u16) -> Result<Self, BoxError> {
        let mut process = Command::new(env::current_exe()?)
            .args(["backend", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let orders = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut backend = Self { process, orders, answers };
        backend.line().await?;
        Ok(backend)
    }

    async fn turn(&mut self, mode: Mode) -> Result<(), BoxError> {
        self.ask(&mode.line()).await?;
        Ok(())
    }

    async fn ask(&mut self, order: &str) -> Result<String, BoxError> {
        self.orders.write_all(format!("{order}\n").as_bytes()).await?;
        self.line().await
    }

    async fn line(&mut self) -> Result<String, BoxError> {
        Ok(self.answers.next_line().await?.ok_or("a backend has ended")?)
    }
}
