//! What the tests are written with, one of each kind:
//!
//! | to have | take |
//! |---|---|
//! | the time of a paused clock | [`ms`], [`secs`], [`now`], [`sleep`], [`timed`] |
//! | a service | [`Scripted`]: its answers, its readiness, its panics; it notes its calls |
//! | an HTTP server without a socket | [`Upstream`]: a [`Scripted`] for requests with any body |
//! | a service that minds the contract of tower | [`Hostile`] around another one |
//! | a body | [`ScriptedBody`] of [`Step`]s |
//! | a set of endpoints | [`cast`] and [`numbered`], and [`look`] at one of them |
//! | the events | [`Log`] |
//! | to know what is still held, or what was woken | [`Gauge`], [`Woken`] |
//! | chance that depends on a seed | [`Dice`] |
//! | a number that is not zero, the handle of a layer | [`settings`] |
//!
//! How it looks is shown by the test at the end of this file.

mod body;
mod clock;
mod dice;
mod endpoint;
mod gauge;
mod hostile;
mod log;
mod service;
pub(crate) mod settings;
mod upstream;

pub(crate) use body::{ScriptedBody, Step, data};
pub(crate) use clock::{ms, now, secs, sleep, timed};
pub(crate) use dice::Dice;
pub(crate) use endpoint::{Actor, cast, in_flight, look, numbered};
pub(crate) use gauge::{Gauge, Woken};
pub(crate) use hostile::Hostile;
pub(crate) use log::Log;
pub(crate) use service::{Act, Gate, Place, Scripted};
pub(crate) use upstream::{Upstream, response};

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_made_again() {
    use tower::{Layer, ServiceExt};
    use tower_failover::retry::RetryLayer;

    let log = Log::default();
    let _following = log.follow();
    let inner = Scripted::new(|call| if call == 1 { Err("down".into()) } else { Ok(call) });
    let service = RetryLayer::plain().layer(inner.clone().taking(ms(10)));
    let (answer, took) = timed(service.oneshot("hello")).await;
    assert_eq!((answer.unwrap(), inner.notes()), (2, vec!["hello", "hello"]));
    assert!(took >= ms(20), "{took:?}");
    assert_eq!((inner.running(), inner.most()), (0, 1));
    assert!(!log.text().contains("hello"), "{}", log.text());
}
