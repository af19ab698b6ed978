//! Checks that are made of endpoints from time to time, apart from live traffic.

use super::checked::Checked;
use super::endpoints::{EndpointSet, Endpoints};
use super::set::Member;
use crate::clock;
use crate::ratio::Ratio;
use crate::shortest::at_least_shortest;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::future::{self, Future};
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

/// Looks whether an endpoint is well.
///
/// Closures from a clone of the endpoint's service to a future of a [`Report`] implement it, and so does
/// [`HttpCheck`](super::HttpCheck).
pub trait Check<S> {
    /// The check of one endpoint.
    type Future: Future<Output = Report> + Send;

    /// Begins a check with this clone of the endpoint's service, which was not polled ready.
    fn check(&self, service: S) -> Self::Future;
}

impl<S, F, Fut> Check<S> for F
where
    F: Fn(S) -> Fut,
    Fut: Future<Output = Report> + Send,
{
    type Future = Fut;

    fn check(&self, service: S) -> Fut {
        self(service)
    }
}

/// What a [`Check`] has found.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Report {
    found: Checked,
    measurements: Vec<(Cow<'static, str>, f64)>,
}

impl Report {
    const fn new(found: Checked) -> Self {
        Self { found, measurements: Vec::new() }
    }

    /// The endpoint is well.
    pub const fn healthy() -> Self {
        Self::new(Checked::HEALTHY)
    }

    /// The endpoint serves, and this is its health: it gets as much less traffic as one that fails so
    /// often. Zero is as bad as a health can be, and still not [`down`](Self::down).
    pub fn degraded(health: Ratio) -> Self {
        Self::new(Checked::Serves(health.get() as f32))
    }

    /// The endpoint does not serve.
    pub const fn down() -> Self {
        Self::new(Checked::Down)
    }

    /// The endpoint can't serve until somebody does something: a credential was refused. It counts at
    /// once, holds also where ejections are ignored, and only a check that passes ends it.
    pub const fn misconfigured() -> Self {
        Self::new(Checked::Misconfigured)
    }

    /// Adds something that was measured, such as the time to the first token, for the events.
    pub fn measured(mut self, what: impl Into<Cow<'static, str>>, value: f64) -> Self {
        self.measurements.push((what.into(), value));
        self
    }
}

/// How a probe goes about its checks.
#[derive(Clone, Debug)]
struct ProbeConfig {
    /// Unlike that of any other probe.
    id: u64,
    name: Arc<str>,
    interval: Duration,
    timeout: Duration,
    rise: u32,
    fall: u32,
}

/// Checks all the endpoints of a set from time to time: a future that has to be polled, so spawn it. Made
/// by [`Endpoints::probe`].
///
/// It ends when the set is gone. When it is dropped, what it has found is forgotten. A check that panics
/// makes it panic.
#[must_use = "futures do nothing unless they are polled"]
pub struct Probe<S, K> {
    shared: Weak<EndpointSet<S>>,
    check: Arc<K>,
    config: ProbeConfig,
    running: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S> Endpoints<S> {
    /// Returns a future that checks every endpoint from time to time, also those that come later: spawn it.
    /// Checks of one endpoint never overlap, and those of several begin at different times. Of several
    /// probes of a set, the worst finding counts for each endpoint. Live failures outrank a check that
    /// passes: an endpoint that was ejected then gets its trial at once, and no more.
    pub fn probe<K: Check<S>>(&self, check: K) -> Probe<S, K> {
        // Relaxed: each is handed out once, and that is all
        static IDS: AtomicU64 = AtomicU64::new(0);
        let config = ProbeConfig {
            id: IDS.fetch_add(1, Relaxed),
            name: Arc::from("probe"),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
        };
        let shared = Arc::downgrade(&self.shared);
        Probe { shared, check: Arc::new(check), config, running: None }
    }
}

impl<S, K> Probe<S, K> {
    /// Names the probe in events: its level or its kind. Default: `probe`.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.config.name = name.into();
        self
    }

    /// Sets the time from the end of a check of an endpoint to the next. Default: 5 s. Each is up to a
    /// tenth shorter or longer, so that probes don't come in step. The shortest is 1 ns, and zero counts as
    /// that.
    pub fn interval(mut self, time: Duration) -> Self {
        self.config.interval = at_least_shortest(time);
        self
    }

    /// Sets after which time a check has failed. Default: 1 s. The shortest is 1 ns, and zero counts as that.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.config.timeout = at_least_shortest(time);
        self
    }

    /// Sets how many checks in a row must pass before an endpoint that was down serves again. Default: 2.
    pub fn rise(mut self, checks: NonZeroU32) -> Self {
        self.config.rise = checks.get();
        self
    }

    /// Sets how many checks in a row must fail before an endpoint is down. Default: 3.
    pub fn fall(mut self, checks: NonZeroU32) -> Self {
        self.config.fall = checks.get();
        self
    }
}

impl<S, K> Unpin for Probe<S, K> {}

impl<S, K> Future for Probe<S, K>
where
    S: Clone + Send + Sync + 'static,
    K: Check<S> + Send + Sync + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let run = || {
            let (shared, check, config) =
                (this.shared.clone(), this.check.clone(), this.config.clone());
            Box::pin(run(shared, check, config)) as Pin<Box<dyn Future<Output = ()> + Send>>
        };
        this.running.get_or_insert_with(run).as_mut().poll(cx)
    }
}

impl<S, K> Drop for Probe<S, K> {
    fn drop(&mut self) {
        let (Some(shared), Some(_)) = (self.shared.upgrade(), &self.running) else { return };
        let now = clock::now();
        for member in shared.everybody() {
            member.health.check(member.endpoint_ref(), self.config.id, None, now);
        }
    }
}

impl<S, K> fmt::Debug for Probe<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Looks for endpoints that are new, and watches all of them side by side.
async fn run<S, K>(shared: Weak<EndpointSet<S>>, check: Arc<K>, config: ProbeConfig)
where
    S: Clone + Send + Sync + 'static,
    K: Check<S> + Send + Sync + 'static,
{
    let (mut watched, mut watches) = (HashSet::new(), FuturesUnordered::new());
    while let Some(set) = shared.upgrade() {
        for member in set.snapshot().members() {
            if watched.insert(member.id()) {
                let jitter = set.set_state.jitter();
                let first = config.interval.mul_f64(jitter);
                watches.push(watch(
                    Arc::downgrade(member),
                    member.id(),
                    first,
                    check.clone(),
                    config.clone(),
                ));
            }
        }
        drop(set);
        let mut pause = pin!(clock::sleep_until(clock::after(clock::now(), config.interval)));
        future::poll_fn(|cx| {
            while let Poll::Ready(Some(gone)) = watches.poll_next_unpin(cx) {
                watched.remove(&gone);
            }
            pause.as_mut().poll(cx)
        })
        .await;
    }
}

/// Checks one endpoint, as long as it is there; returns its number.
async fn watch<S, K>(
    member: Weak<Member<S>>,
    id: u64,
    first: Duration,
    check: Arc<K>,
    config: ProbeConfig,
) -> u64
where
    S: Clone,
    K: Check<S>,
{
    let mut streak = CheckStreak::default();
    let mut pause = first;
    loop {
        clock::sleep_until(clock::after(clock::now(), pause)).await;
        let Some(service) = member.upgrade().map(|member| member.service.clone()) else {
            return id;
        };
        let report = within(config.timeout, check.check(service)).await;
        let report = report.unwrap_or(Report::down());
        let Some(member) = member.upgrade() else { return id };
        tracing::debug!(
            target: "tower_failover::balance",
            endpoint = member.info.name(), probe = &*config.name, found = ?report.found,
            measurements = ?report.measurements, "checked"
        );
        if let Some(found) = streak.add(report.found, &config) {
            tracing::info!(
                target: "tower_failover::balance",
                endpoint = member.info.name(), probe = &*config.name, ?found, "a probe has found"
            );
            member.health.check(member.endpoint_ref(), config.id, Some(found), clock::now());
        }
        let tenths = config.interval.mul_f64(member.set_state.jitter() / 5.0);
        pause = config.interval.mul_f64(0.9).saturating_add(tenths);
    }
}

/// What the checks of one endpoint have found in a row.
#[derive(Debug)]
struct CheckStreak {
    configured: Checked,
    passed: u32,
    failed: u32,
}

impl Default for CheckStreak {
    fn default() -> Self {
        Self { configured: Checked::HEALTHY, passed: 0, failed: 0 }
    }
}

impl CheckStreak {
    /// Returns what is to be told, if that is another thing than before.
    fn add(&mut self, found: Checked, config: &ProbeConfig) -> Option<Checked> {
        let holds = match found {
            Checked::Misconfigured => true,
            Checked::Down => {
                (self.passed, self.failed) = (0, self.failed.saturating_add(1));
                self.failed >= config.fall
            }
            Checked::Serves(_) => {
                (self.passed, self.failed) = (self.passed.saturating_add(1), 0);
                matches!(self.configured, Checked::Serves(_)) || self.passed >= config.rise
            }
        };
        let news = holds && found != self.configured;
        if news {
            (self.configured, self.passed, self.failed) = (found, 0, 0);
        }
        news.then_some(found)
    }
}

/// The output of a future that ends in time.
async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut sleep = pin!(clock::sleep_until(clock::after(clock::now(), time)));
    future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}
