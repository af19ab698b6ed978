//! Changes of a set that come from a discovery.

use super::endpoint::Endpoint;
use super::endpoints::{Edit, Endpoints};
use crate::error::BoxError;
use std::future::{self, Future};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower::discover::{Change, Discover};

/// So many changes are made at once; then others have their turn.
const AT_ONCE: usize = 1_024;

impl<S> Endpoints<S> {
    /// Returns a future that makes the changes which a discovery tells of, under the names of its keys:
    /// spawn it. An error of the discovery is reported as an event, and the set stays in service, as it
    /// does when the discovery ends; then the future is done. Dropping it stops the changes; until then it keeps
    /// the set.
    pub fn follow<D>(&self, discover: D) -> impl Future<Output = ()> + use<S, D>
    where
        D: Discover<Service = S>,
        D::Key: ToString,
        D::Error: Into<BoxError>,
    {
        self.follow_with(discover, |key, service| Endpoint::new(key.to_string(), service))
    }

    /// As [`follow`](Self::follow), with endpoints made by this closure. The name that it gives must be the
    /// key's own, since the endpoint is removed by that.
    pub fn follow_with<D, F>(
        &self,
        discover: D,
        mut endpoint: F,
    ) -> impl Future<Output = ()> + use<S, D, F>
    where
        D: Discover,
        D::Key: ToString,
        D::Error: Into<BoxError>,
        F: FnMut(&D::Key, D::Service) -> Endpoint<S>,
    {
        let set = self.clone();
        async move {
            let mut discover = std::pin::pin!(discover);
            let mut ended = false;
            while !ended {
                let edits = future::poll_fn(|cx| next(discover.as_mut(), cx)).await;
                let Edits { changes, ended: over } = edits;
                ended = over;
                set.apply(changes.into_iter().map(|change| match change {
                    Change::Insert(key, service) => Edit::Insert(endpoint(&key, service)),
                    Change::Remove(key) => Edit::Remove(key.to_string().into()),
                }));
                if !ended {
                    // a discovery that always has more must not keep others from running
                    yield_now().await;
                }
            }
        }
    }
}

struct Edits<K, S> {
    changes: Vec<Change<K, S>>,
    ended: bool,
}

/// All the changes that are there, up to a number.
fn next<D>(mut discover: Pin<&mut D>, cx: &mut Context<'_>) -> Poll<Edits<D::Key, D::Service>>
where
    D: Discover,
    D::Error: Into<BoxError>,
{
    let mut edits = Edits { changes: Vec::new(), ended: false };
    let mut errors = 0;
    while edits.changes.len() + errors < AT_ONCE {
        let polled = if edits.changes.is_empty() && errors == 0 {
            ready!(discover.as_mut().poll_discover(cx))
        } else {
            match discover.as_mut().poll_discover(cx) {
                Poll::Ready(next) => next,
                Poll::Pending => break,
            }
        };
        match polled {
            Some(Ok(change)) => edits.changes.push(change),
            Some(Err(error)) => {
                errors += 1;
                tracing::warn!(
                    target: "tower_failover::balance",
                    error = %error.into(), "the discovery failed, the set stays as it is"
                );
            }
            None => {
                edits.ended = true;
                break;
            }
        }
    }
    Poll::Ready(edits)
}

/// Lets others run before it goes on.
fn yield_now() -> impl Future<Output = ()> {
    let mut yielded = false;
    future::poll_fn(move |cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}
