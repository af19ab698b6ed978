//! Second requests beside slow ones.

use super::*;
use crate::kit::{secs, timed};
use axum::extract::Request as Asked;
use axum::routing::any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// A gateway over a server that is silent, and a backup that answers; tells how often each was asked.
struct Pair {
    gateway: Gateway,
    asked: [Arc<AtomicU32>; 2],
    _servers: [Server; 2],
}

impl Pair {
    async fn new(options: &[&str]) -> Self {
        let asked = [Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default()];
        let server = |asked: &Arc<AtomicU32>, silent| {
            let asked = asked.clone();
            let answer = any(move |_: Asked| async move {
                asked.fetch_add(1, SeqCst);
                if silent {
                    sleep(secs(20)).await;
                }
                "backup"
            });
            Server::axum(Router::new().fallback(answer))
        };
        let servers = [server(&asked[0], true).await, server(&asked[1], false).await];
        let backup = format!("--endpoint=backup=http://{},tier=1", servers[1].addr);
        let options = [options, &[&backup]].concat();
        Self { gateway: Gateway::start(&[servers[0].addr], &options), asked, _servers: servers }
    }

    fn asked(&self) -> [u32; 2] {
        self.asked.each_ref().map(|asked| asked.load(SeqCst))
    }
}

#[tokio::test]
async fn a_request_that_takes_long_is_sent_to_another_endpoint_as_well() {
    bounded(async {
        let pair = Pair::new(&["--hedge=100ms", "--attempt-timeout=15s"]).await;
        let (answer, took) = timed(pair.gateway.get("/")).await;
        assert_eq!(answer.body(), "backup");
        assert!((ms(100)..secs(10)).contains(&took), "{took:?}");
        assert_eq!(pair.asked(), [1, 1]);
        let status = &pair.gateway.status().await["gateway"];
        assert_eq!((&status["hedges"], &status["hedges_won"]), (&1.into(), &1.into()), "{status}");
        assert_eq!((&status["retries"], &status["hedge_after_ms"]), (&0.into(), &100.0.into()));
    })
    .await;
}

#[tokio::test]
async fn without_hedges_another_endpoint_is_asked_only_when_the_attempt_has_failed() {
    bounded(async {
        let pair = Pair::new(&["--hedge=off", "--attempt-timeout=300ms"]).await;
        let (answer, took) = timed(pair.gateway.get("/")).await;
        assert_eq!(answer.body(), "backup");
        assert!(took >= ms(300), "{took:?}");
        let status = &pair.gateway.status().await["gateway"];
        assert_eq!((&status["hedges"], &status["retries"]), (&0.into(), &1.into()), "{status}");
    })
    .await;
}

#[tokio::test]
async fn only_what_may_be_repeated_is_hedged() {
    bounded(async {
        for (options, method, status, asked) in [
            (&[][..], "POST", 504, [1, 0]),
            (&["--retry-post"], "POST", 200, [1, 1]),
            (&["--replay-limit=5"], "PUT", 504, [1, 0]),
            (&["--replay-limit=6"], "PUT", 200, [1, 1]),
        ] {
            let fixed = ["--hedge=50ms", "--attempt-timeout=400ms", "--max-retries=0"];
            let pair = Pair::new(&[&fixed[..], options].concat()).await;
            let request = format!(
                "{method} / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 6\r\n\r\na body"
            );
            let answer = pair.gateway.raw(&request).await;
            assert_eq!(answer[9..12], status.to_string(), "{method} with {options:?}");
            assert_eq!(pair.asked(), asked, "{method} with {options:?}");
        }
    })
    .await;
}

/// By default the time is learned: not before a hundred answers, and it is never below 5 ms.
#[tokio::test]
async fn the_time_after_which_is_hedged_is_learned_from_the_answers() {
    bounded(async {
        let fine = || Router::new().fallback(any(|| async { "fine" }));
        let (learns, _server) = before(fine(), &[]).await;
        let (off, _server) = before(fine(), &["--hedge=off"]).await;
        let ask = async |gateway: &Gateway, requests| {
            for _ in 0..requests {
                gateway.get("/").await;
            }
            gateway.status().await["gateway"]["hedge_after_ms"].as_f64()
        };
        assert_eq!(ask(&learns, 90).await, None);
        let after = ask(&learns, 20).await.expect("it is known by now");
        assert_eq!(ask(&off, 110).await, None);
        assert!((5.0..=1_000.0).contains(&after), "{after} ms");
    })
    .await;
}
