//! On the wire: real sockets on loopback, where the socket is the point.

mod faults;
mod grpc;
mod http;
mod reqwest;

use ::http::{Method, Request};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::{Client, Error as ClientError, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// No test of a socket takes longer.
pub(crate) async fn bounded<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), test).await.expect("it hangs")
}

/// Lets this time pass.
async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, pending::<()>()).await;
}

/// Something that listens until it is dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    /// The requests that were read.
    requests: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Server {
    /// Runs `serve` on a port of its own; it counts the requests that it reads.
    async fn start<Fut>(serve: impl FnOnce(TcpListener, Arc<AtomicU32>) -> Fut) -> Self
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().unwrap(), serve).await
    }

    async fn start_at<Fut>(
        addr: SocketAddr,
        serve: impl FnOnce(TcpListener, Arc<AtomicU32>) -> Fut,
    ) -> Self
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::<AtomicU32>::default();
        let task = tokio::spawn(serve(listener, requests.clone()));
        Self { addr, requests, task }
    }

    /// Serves each connection in a task of its own.
    async fn per_connection<Fut>(
        serve: impl Fn(TcpStream, Arc<AtomicU32>) -> Fut + Send + 'static,
    ) -> Self
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::start(|listener, requests| async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, requests.clone()));
            }
        })
        .await
    }

    /// Serves axum routes, which count for themselves.
    pub(crate) async fn axum(router: axum::Router) -> Self {
        Self::start(|listener, _| async move { axum::serve(listener, router).await.unwrap() }).await
    }

    fn requests(&self) -> u32 {
        self.requests.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address where nobody listens.
async fn dead_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Version {
    H1,
    H2,
}

pub(crate) fn client<B>(version: Version) -> Client<HttpConnector, B>
where
    B: http_body::Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new()).http2_only(version == Version::H2).build_http()
}

const UPLOAD: &str = "upload";

fn request(method: Method, addr: SocketAddr) -> Request<Full<Bytes>> {
    let body = if method == Method::POST { Full::from(UPLOAD) } else { Full::default() };
    Request::builder().method(method).uri(format!("http://{addr}/work")).body(body).unwrap()
}
