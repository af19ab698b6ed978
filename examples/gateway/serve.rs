//! Connections of callers, from the first request to the end of the drain.

use super::headers;
use super::proxy::{AnswerBody, Proxy};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tower::ServiceExt;

/// What answers requests; clones are cheap.
#[derive(Clone)]
pub(crate) struct Gateway<P> {
    pub(crate) proxy: P,
    /// The pages about the gateway itself.
    pub(crate) own_pages: Router,
    pub(crate) trust_forwarded: bool,
    pub(crate) requests: Arc<AtomicU64>,
}

type Answer = Response<Either<AnswerBody, Body>>;

impl<P: Proxy> Gateway<P> {
    async fn answer(
        self,
        mut request: Request<Incoming>,
        peer: IpAddr,
    ) -> Result<Answer, Infallible> {
        let path = request.uri().path();
        if path
            .strip_prefix("/_failover")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        {
            let answer = self.own_pages.oneshot(request.map(Body::new)).await?;
            return Ok(answer.map(Either::Right));
        }
        if request.method() == Method::CONNECT {
            let mut answer = Response::new(Either::Right(Body::empty()));
            *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return Ok(answer);
        }
        self.requests.fetch_add(1, Relaxed);
        headers::forward(&mut request, peer, self.trust_forwarded);
        let mut answer = self.proxy.oneshot(request).await?;
        headers::give_back(&mut answer);
        Ok(answer.map(Either::Left))
    }
}

/// Serves until `stop` ends, and then what has begun, for this time at most. Tells whether all of it
/// came to its end.
pub(crate) async fn serve<P: Proxy>(
    listener: TcpListener,
    gateway: Gateway<P>,
    stop: impl Future<Output = ()>,
    drain: Duration,
) -> bool {
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, peer)) = accepted else {
            // most likely there are too many open files, and one will be closed
            let _ = timeout(Duration::from_millis(50), pending::<()>()).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let gateway = gateway.clone();
        let service = service_fn(move |request| gateway.clone().answer(request, peer.ip()));
        let watcher = connections.watcher();
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // that a caller has gone is nobody's error
            let _ = watcher.watch(builder.serve_connection(TokioIo::new(stream), service)).await;
        });
    }
    drop(listener);
    timeout(drain, connections.shutdown()).await.is_ok()
}
