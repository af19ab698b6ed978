//! The two families of requests: plain values, and HTTP with gRPC.

mod bodies;
mod content;
mod http;
mod plain;
mod respond;

pub(crate) use bodies::{Item, PING, Scripted, SimBody, boxed};
pub(crate) use http::{Http, Meta};
pub(crate) use plain::{Done, Job, Plain};

use crate::backend::Script;
use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, ServiceExt};
use tower_service::Service;

/// Any service of a family, so that layers can be stacked in any order.
pub(crate) type BoxService<F> =
    BoxCloneSyncService<<F as Family>::Request, <F as Family>::Response, BoxError>;
/// A response in the making.
pub(crate) type Answering<R> = Pin<Box<dyn Future<Output = Result<R, BoxError>> + Send>>;
/// Something that acts when it is dropped.
pub(crate) type Guard = Box<dyn Any + Send>;

pub(crate) trait Family: Sized + Send + Sync + 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;

    fn id(request: &Self::Request) -> u64;

    /// The number of the attempt, as the request states it; 0 where it can't.
    fn number(request: &Self::Request) -> u64;

    /// Keeps the guard until the response has ended.
    fn hold(response: Self::Response, guard: Guard) -> Self::Response;

    /// Answers the request as the script says.
    fn answer(script: Script, request: Self::Request) -> Answering<Self::Response>;
}

/// A service that can be one of a family, whatever the type of its error and of its bodies.
pub(crate) trait Erase<F: Family> {
    fn erase(self) -> BoxService<F>;
}

impl<S> Erase<Plain> for S
where
    S: Service<Job, Response = Done> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    fn erase(self) -> BoxService<Plain> {
        BoxCloneSyncService::new(self.map_err(Into::into))
    }
}

impl<S, B> Erase<Http> for S
where
    S: Service<::http::Request<SimBody>, Response = ::http::Response<B>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    fn erase(self) -> BoxService<Http> {
        let boxed = |response: ::http::Response<B>| response.map(boxed);
        BoxCloneSyncService::new(self.map_response(boxed).map_err(Into::into))
    }
}
