//! The gateway of `examples/`, as a process between real sockets.

mod args;
mod backend;
mod browser;
mod ends;
mod events;
mod faults;
mod headers;
mod hedges;
mod pages;
mod streams;

use crate::kit::{ms, sleep};
use crate::wire::{Server, bounded};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use std::env;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The example stands beside the tests' own program.
fn program() -> PathBuf {
    let tests = env::current_exe().unwrap();
    let target = tests.ancestors().nth(2).unwrap();
    let program = target.join("examples").join(format!("gateway{}", env::consts::EXE_SUFFIX));
    assert!(program.exists(), "cargo test builds it, or cargo build --all-features --examples");
    program
}

/// A gateway that runs until it is dropped.
struct Gateway {
    process: Child,
    addr: SocketAddr,
}

impl Gateway {
    /// Starts one on a port of its own, with endpoints named `a`, `b` and so on.
    fn start(endpoints: &[SocketAddr], options: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(["--listen", "127.0.0.1:0"]).args(options).stdout(Stdio::piped());
        for (endpoint, name) in endpoints.iter().zip('a'..) {
            command.arg("--endpoint").arg(format!("{name}=http://{endpoint}"));
        }
        let mut process = command.spawn().unwrap();
        let addr = told_address(&mut process, "listening on http://");
        Self { process, addr }
    }

    /// Sends a request on a connection of its own, written out, and returns all that comes back.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn get(&self, path: &str) -> Response<String> {
        ask(self.addr, Request::get(path)).await
    }

    /// The status page's numbers.
    async fn status(&self) -> serde_json::Value {
        serde_json::from_str(self.get("/_failover/status").await.body()).unwrap()
    }

    fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    /// Waits for the end of the process; tells its exit code.
    async fn ended(&mut self) -> Option<i32> {
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            sleep(ms(5)).await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads what a process prints up to the line with its address.
fn told_address(process: &mut Child, before: &str) -> SocketAddr {
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let addr = lines.find_map(|line| line.unwrap().strip_prefix(before).map(str::to_owned));
    addr.expect("it tells where it listens").parse().unwrap()
}

fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &process.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Sends a request without a body.
async fn ask(addr: SocketAddr, request: axum::http::request::Builder) -> Response<String> {
    let path = request.uri_ref().unwrap().clone();
    let request = request.uri(format!("http://{addr}{path}")).body(Body::empty()).unwrap();
    let answer = crate::wire::client(crate::wire::Version::H1).request(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let text = body.collect().await.unwrap().to_bytes();
    Response::from_parts(head, String::from_utf8(text.to_vec()).unwrap())
}

/// An endpoint that reads one request of a connection after another and answers each with this text;
/// what it read is kept.
struct Plain {
    server: SocketAddr,
    heads: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Plain {
    async fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let (told, heads) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let told = told.clone();
                tokio::spawn(async move {
                    let mut read = String::new();
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        read.push_str(&String::from_utf8_lossy(&buffer[..length]));
                        while let Some(end) = read.find("\r\n\r\n") {
                            let _ = told.send(read.drain(..end + 4).collect());
                            stream.write_all(answer.as_bytes()).await.unwrap();
                        }
                    }
                });
            }
        });
        Self { server, heads }
    }

    /// The head of the next request, in lower case.
    async fn head(&mut self) -> String {
        self.heads.recv().await.unwrap().to_lowercase()
    }
}

/// An axum server behind a gateway with these options.
async fn before(router: Router, options: &[&str]) -> (Gateway, Server) {
    let server = Server::axum(router).await;
    (Gateway::start(&[server.addr], options), server)
}
