//! Three servers under an even load, and what its callers notice of their faults.

use super::backend::{Backend, Call, Calls, load};
use super::*;
use crate::kit::{now, secs};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// How long a fault lasts.
const FAULT: Duration = secs(3);

/// A gateway over three servers that is asked 200 times a second.
struct Scene {
    gateway: Gateway,
    backends: [Backend; 3],
    load: JoinHandle<Calls>,
}

/// What has happened.
struct Ended {
    calls: Vec<Call>,
    lag: Duration,
    backends: [Backend; 3],
    /// What the gateway said of itself in the end.
    status: String,
    broken: Instant,
    healed: Instant,
}

impl Scene {
    /// Returns when the servers have been under load for a second; then come a fault, and this time.
    async fn begin(after: Duration) -> Self {
        let backends = [Backend::start(), Backend::start(), Backend::start()];
        let addrs = backends.each_ref().map(|backend| backend.addr);
        let gateway = Gateway::start(&addrs, &[]);
        let load = tokio::spawn(load(gateway.addr, secs(1) + FAULT + after));
        sleep(secs(1)).await;
        Self { gateway, backends, load }
    }

    async fn end(self, broken: Instant, healed: Instant) -> Ended {
        let Calls { all: calls, lag } = self.load.await.unwrap();
        let status = self.gateway.status().await.to_string();
        Ended { calls, lag, backends: self.backends, status, broken, healed }
    }
}

/// Plays a scene, once more if the machine had no time for it.
async fn play(scene: impl AsyncFn() -> Ended) -> Ended {
    let played = async {
        for _ in 0..2 {
            let ended = scene().await;
            if ended.lag < ms(50) {
                return ended;
            }
        }
        scene().await
    };
    timeout(secs(60), played).await.expect("it hangs")
}

impl Ended {
    fn failed(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.failed())
    }

    /// None of these has failed.
    fn none(&self, which: impl Fn(&Call) -> bool) {
        let mut statuses = BTreeMap::new();
        for call in self.failed().filter(|call| which(call)) {
            *statuses.entry(call.status).or_insert(0) += 1;
        }
        assert!(statuses.is_empty(), "{statuses:?} {}", self.tell());
    }

    fn tell(&self) -> String {
        format!("of {} calls, {:?} late: {}", self.calls.len(), self.lag, self.status)
    }

    /// The server that was at fault is used again in this time, and in the end as the others are.
    fn recovers(&self, within: Duration) {
        let bad = &self.backends[0];
        let back = self.calls.iter().filter(|call| call.at > self.healed && call.served_by(bad));
        let back = back.map(|call| call.at - self.healed).min();
        assert!(back.is_some_and(|back| back < within), "back after {back:?}, {}", self.tell());
        let last = self.calls.iter().map(|call| call.at).max().unwrap() - ms(1500);
        let late = self.calls.iter().filter(|call| call.at > last);
        let share =
            late.clone().filter(|call| call.served_by(bad)).count() as f64 / late.count() as f64;
        assert!(share > 0.15, "a share of {share:.2} in the end, {}", self.tell());
    }
}

/// J17
#[tokio::test]
async fn nobody_notices_that_a_server_is_killed() {
    let ended = play(async || {
        let mut scene = Scene::begin(secs(5)).await;
        scene.backends[0].kill();
        let killed = now();
        sleep(FAULT).await;
        scene.backends[0].restart();
        scene.end(killed, now()).await
    })
    .await;
    // nobody can know whether a POST that the dead had in its hands was done
    let was_held = |call: &Call| {
        let there = call.at < ended.broken && call.at + call.took > ended.broken - ms(20);
        there && !call.is_get()
    };
    ended.none(|call| !was_held(call));
    assert!(ended.failed().count() <= 2, "{}", ended.tell());
    ended.recovers(secs(2));
}

/// J10
#[tokio::test]
async fn a_server_that_fails_at_once_costs_a_few_posts_and_no_get() {
    let ended = play(async || {
        let scene = Scene::begin(secs(5)).await;
        scene.backends[0].fails(true).await;
        let broken = now();
        sleep(FAULT).await;
        scene.backends[0].fails(false).await;
        scene.end(broken, now()).await
    })
    .await;
    ended.none(Call::is_get);
    assert!(ended.failed().count() < 10, "{}", ended.tell());
    ended.recovers(secs(2));
}

/// J13
#[tokio::test]
async fn a_server_that_accepts_and_never_answers_costs_a_few_calls_their_time() {
    let ended = play(async || {
        let scene = Scene::begin(secs(14)).await;
        scene.backends[0].signal("STOP");
        let stopped = now();
        sleep(FAULT).await;
        scene.backends[0].signal("CONT");
        scene.end(stopped, now()).await
    })
    .await;
    ended.none(Call::is_get);
    assert!(ended.failed().count() < 10, "{}", ended.tell());
    // three in a hundred of the first second's, and half of one of those after it
    let second = ended.broken + secs(1);
    let (early, after): (Vec<_>, Vec<_>) = ended
        .calls
        .iter()
        .filter(|call| call.at > ended.broken - ms(20))
        .partition(|call| call.at < second);
    for (calls, share) in [(early, 0.03), (after, 0.005)] {
        let late = calls.iter().filter(|call| call.took > ms(200)).count();
        let most = share * calls.len() as f64;
        assert!(late as f64 <= most, "{late} of {} took too long, {}", calls.len(), ended.tell());
    }
    // two calls that failed are not enough to eject it, and so no trial finds out that it is back: they are
    // forgiven with time
    ended.recovers(secs(11));
}

#[tokio::test]
async fn when_all_fail_they_are_not_sent_much_more_and_all_is_well_soon_after() {
    let ended = play(async || {
        let scene = Scene::begin(secs(2)).await;
        let counts = async || {
            let mut attempts = 0;
            for backend in &scene.backends {
                attempts += backend.requests().await;
            }
            (attempts, scene.gateway.status().await["gateway"]["requests"].as_u64().unwrap())
        };
        for backend in &scene.backends {
            backend.fails(true).await;
        }
        let broken = now();
        let before = counts().await;
        sleep(FAULT).await;
        let after = counts().await;
        for backend in &scene.backends {
            backend.fails(false).await;
        }
        let healed = now();
        let share = f64::from(after.0 - before.0) / (after.1 - before.1) as f64;
        // a fifth of the requests in retries and a twentieth in hedges, both with a second saved up
        let most = 1.0 + 0.25 * (FAULT + secs(1)).as_secs_f64() / FAULT.as_secs_f64();
        assert!(share < most + 0.03, "{share:.2} attempts a request");
        scene.end(broken, healed).await
    })
    .await;
    let last = ended.failed().map(|call| call.at).max().unwrap();
    assert!(last < ended.healed + secs(1), "until {:?} after it", last - ended.healed);
}

/// J15
#[tokio::test]
async fn a_probe_finds_what_live_traffic_does_not_tell() {
    bounded(async {
        let backends = [Backend::start(), Backend::start()];
        let addrs = backends.each_ref().map(|backend| backend.addr);
        let gateway = Gateway::start(&addrs, &["--probe=/_well,interval=50ms,timeout=200ms"]);
        let state = async || gateway.status().await["endpoints"][0]["state"].clone();
        backends[0].fails(true).await;
        while state().await != "down" {
            sleep(ms(10)).await;
        }
        for _ in 0..20 {
            let served = gateway.get("/work").await;
            assert_eq!(served.headers()["served-by"], addrs[1].port().to_string());
        }
        assert_eq!(gateway.status().await["gateway"]["requests"], 20, "probes are no requests");
        backends[0].fails(false).await;
        while state().await == "down" {
            sleep(ms(10)).await;
        }
    })
    .await;
}
