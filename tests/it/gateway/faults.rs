//! Three servers under an even load, and what its callers notice of their faults.

use super::backend::{Backend, Call, load};
use super::*;
use crate::support::{now, secs};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const ATTEMPT: Duration = ms(500);

/// A gateway over three servers that is asked 200 times a second.
struct Scene {
    gateway: Gateway,
    backends: [Backend; 3],
    load: JoinHandle<Vec<Call>>,
}

impl Scene {
    /// Returns when the servers have been under load for a while; the load lasts so long in all.
    async fn new(time: Duration) -> Self {
        let backends = [Backend::start(), Backend::start(), Backend::start()];
        let addrs: Vec<_> = backends.iter().map(|backend| backend.addr).collect();
        let timeout = format!("--attempt-timeout={}ms", ATTEMPT.as_millis());
        let gateway = Gateway::start(&addrs, &[&timeout]);
        let load = tokio::spawn(load(gateway.addr, time));
        sleep(secs(1)).await;
        Self { gateway, backends, load }
    }

    async fn ended(self) -> Ended {
        Ended { calls: self.load.await.unwrap(), backends: self.backends, gateway: self.gateway }
    }
}

struct Ended {
    calls: Vec<Call>,
    backends: [Backend; 3],
    gateway: Gateway,
}

impl Ended {
    fn failed(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(|call| call.failed())
    }

    fn no_get_fails(&self) {
        let failed: Vec<_> =
            self.failed().filter(|call| call.is_get()).map(|call| call.status).collect();
        assert!(failed.is_empty(), "of {} calls: {failed:?}", self.calls.len());
    }

    /// After this moment the first server is used again in this time, and in the end as the others are.
    fn recovers_from(&self, healed: Instant, within: Duration) {
        let bad = &self.backends[0];
        let back = self.calls.iter().filter(|call| call.at > healed && call.served_by(bad));
        let back = back.map(|call| call.at - healed).min().expect("it is used again");
        assert!(back < within, "used again after {back:?}");
        let last = self.calls.iter().map(|call| call.at).max().unwrap() - ms(1500);
        let late: Vec<_> = self.calls.iter().filter(|call| call.at > last).collect();
        let share =
            late.iter().filter(|call| call.served_by(bad)).count() as f64 / late.len() as f64;
        assert!(share > 0.15, "its share is {share:.2} in the end");
    }
}

/// J17
#[tokio::test]
async fn nobody_notices_that_a_server_is_killed() {
    bounded(async {
        let mut scene = Scene::new(secs(9)).await;
        scene.backends[0].kill();
        let killed = now();
        sleep(secs(3)).await;
        scene.backends[0].restart();
        let healed = now();
        let ended = scene.ended().await;
        // nobody can know whether a POST that the dead had in its hands was done
        let held = |call: &&Call| {
            !call.is_get() && call.at < killed && call.at + call.took > killed - ms(20)
        };
        let failed: Vec<_> =
            ended.failed().filter(|call| !held(call)).map(|call| call.status).collect();
        assert!(failed.is_empty(), "{failed:?}");
        assert!(ended.failed().count() <= 2);
        ended.recovers_from(healed, secs(2));
    })
    .await;
}

/// J10
#[tokio::test]
async fn a_server_that_fails_at_once_costs_a_few_posts_and_no_get() {
    bounded(async {
        let scene = Scene::new(secs(9)).await;
        scene.backends[0].fails(true).await;
        let broken = now();
        sleep(secs(3)).await;
        scene.backends[0].fails(false).await;
        let healed = now();
        let ended = scene.ended().await;
        ended.no_get_fails();
        let posts: Vec<_> = ended.failed().map(|call| call.at - broken).collect();
        assert!(posts.len() < 10, "{} POSTs failed: {posts:?}", posts.len());
        ended.recovers_from(healed, secs(2));
    })
    .await;
}

/// J13
#[tokio::test]
async fn a_server_that_accepts_and_never_answers_costs_a_few_calls_their_time() {
    bounded(async {
        let scene = Scene::new(secs(11)).await;
        scene.backends[0].signal("STOP");
        sleep(secs(3)).await;
        scene.backends[0].signal("CONT");
        let healed = now();
        let ended = scene.ended().await;
        ended.no_get_fails();
        let posts = ended.failed().count();
        assert!(posts < 10, "{posts} POSTs failed");
        let late = ended.calls.iter().filter(|call| call.took > ATTEMPT).count();
        assert!(late <= 20, "{late} of {} took longer than one attempt may", ended.calls.len());
        // a trial may have been on its way, after which there is the longest pause of such an outage
        ended.recovers_from(healed, ATTEMPT + ms(2500));
    })
    .await;
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

#[tokio::test]
async fn when_all_fail_they_are_not_sent_much_more_and_all_is_well_soon_after() {
    bounded(async {
        let scene = Scene::new(secs(7)).await;
        for backend in &scene.backends {
            backend.fails(true).await;
        }
        let requests = async || {
            let mut sum = 0;
            for backend in &scene.backends {
                sum += backend.requests().await;
            }
            (sum, scene.gateway.status().await["gateway"]["requests"].as_u64().unwrap())
        };
        let (before, asked_before) = requests().await;
        sleep(secs(3)).await;
        let (after, asked_after) = requests().await;
        for backend in &scene.backends {
            backend.fails(false).await;
        }
        let healed = now();
        let share = f64::from(after - before) / (asked_after - asked_before) as f64;
        assert!(share < 1.3, "{share:.2} attempts a request");
        let ended = scene.ended().await;
        let last = ended.failed().map(|call| call.at).max().unwrap();
        assert!(last < healed + secs(1), "failed {:?} after all were well", last - healed);
        drop(ended.gateway);
    })
    .await;
}
