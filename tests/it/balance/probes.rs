//! Checks apart from live traffic.

use crate::kit::{look, ms, now, secs, sleep};
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_failover::Ratio;
use tower_failover::balance::{
    Balance, BalanceLayer, Check, Endpoint, EndpointState, Endpoints, NoEndpoint, Report,
};
use tower_failover::classify::ErrorsOnly;
use tower_failover::replay::Plain;

type Checking = Pin<Box<dyn Future<Output = Report> + Send>>;

type Named = BoxCloneSyncService<&'static str, String, BoxError>;

/// An endpoint that answers calls with its name, and fails those that it is told to.
fn named(name: &'static str, fails: Arc<Mutex<Vec<&'static str>>>) -> Endpoint<Named> {
    let service = service_fn(move |_: &'static str| {
        let fails = fails.lock().unwrap().contains(&name);
        std::future::ready(if fails { Err(BoxError::from("broken")) } else { Ok(name.to_owned()) })
    });
    Endpoint::new(name, BoxCloneSyncService::new(service))
}

struct World {
    set: Endpoints<Named>,
    balance: Balance<Named, ErrorsOnly, Plain>,
    fails: Arc<Mutex<Vec<&'static str>>>,
}

impl World {
    fn new(names: &[&'static str]) -> Self {
        let fails = Arc::new(Mutex::new(Vec::new()));
        let set: Endpoints<_> = names.iter().map(|name| named(name, fails.clone())).collect();
        let balance = BalanceLayer::plain().layer(set.clone());
        Self { set, balance, fails }
    }

    async fn call(&self) -> Result<String, BoxError> {
        self.balance.clone().oneshot("call").await
    }

    /// A check that finds what is said here for each endpoint.
    fn check<F>(&self, found: F) -> impl Check<Named, Future = Checking> + Send + Sync + use<F>
    where
        F: Fn(&str) -> Report + Clone + Send + Sync + 'static,
    {
        move |mut service: Named| -> Checking {
            let found = found.clone();
            Box::pin(async move {
                match service.ready().await.unwrap().call("check").await {
                    Ok(name) => found(&name),
                    Err(_) => Report::down(),
                }
            })
        }
    }

    fn state(&self, name: &str) -> EndpointState {
        self.set.snapshot().iter().find(|found| &*found.name == name).unwrap().state
    }
}

fn at_once() -> NonZeroU32 {
    NonZeroU32::MIN
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_a_probe_finds_down_gets_no_calls_until_it_has_risen() {
    let world = World::new(&["a", "b"]);
    let sick = Arc::new(Mutex::new(true));
    let found = sick.clone();
    let check = world.check(move |name| {
        if name == "a" && *found.lock().unwrap() { Report::down() } else { Report::healthy() }
    });
    tokio::spawn(world.set.probe(check).interval(secs(1)));
    sleep(ms(4_500)).await;
    assert_eq!(
        (world.state("a"), world.state("b")),
        (EndpointState::Down, EndpointState::Available)
    );
    for _ in 0..50 {
        assert_eq!(world.call().await.unwrap(), "b");
    }
    *sick.lock().unwrap() = false;
    sleep(ms(2_400)).await;
    assert_eq!(world.state("a"), EndpointState::Available);
}

#[tokio::test(start_paused = true)]
async fn three_checks_in_a_row_must_fail_and_one_that_passes_between_starts_over() {
    let world = World::new(&["a", "b"]);
    let checks = Arc::new(AtomicUsize::new(0));
    let count = checks.clone();
    let check = world.check(move |name| {
        let fails = name == "a" && count.fetch_add(1, SeqCst) % 3 != 2;
        if fails { Report::down() } else { Report::healthy() }
    });
    tokio::spawn(world.set.probe(check).interval(secs(1)));
    for _ in 0..200 {
        sleep(ms(100)).await;
        assert_eq!(world.state("a"), EndpointState::Available);
    }
    assert!(checks.load(SeqCst) > 15);
}

/// J15
#[tokio::test(start_paused = true)]
async fn checks_of_one_endpoint_do_not_overlap_and_those_of_several_are_not_in_step() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let world = World::new(&names);
    let begun: Arc<Mutex<Vec<(String, Instant)>>> = Arc::default();
    let inside = Arc::new(AtomicUsize::new(0));
    let (notes, running) = (begun.clone(), inside.clone());
    let check = move |mut service: Named| {
        let (notes, running) = (notes.clone(), running.clone());
        async move {
            let name = service.ready().await.unwrap().call("check").await.unwrap();
            let alone = name == "a";
            if alone {
                assert_eq!(running.fetch_add(1, SeqCst), 0);
            }
            notes.lock().unwrap().push((name, now()));
            sleep(ms(900)).await;
            if alone {
                running.fetch_sub(1, SeqCst);
            }
            Report::healthy()
        }
    };
    tokio::spawn(world.set.probe(check).interval(ms(100)).timeout(secs(2)));
    sleep(secs(20)).await;
    let begun = begun.lock().unwrap();
    let of = |name: &str| {
        begun.iter().filter(|(own, _)| own == name).map(|(_, at)| *at).collect::<Vec<_>>()
    };
    assert!((18..=21).contains(&of("a").len()), "{}", of("a").len());
    let firsts: std::collections::HashSet<_> = names.iter().map(|name| of(name)[0]).collect();
    assert!(firsts.len() > 3, "{firsts:?}");
    let pauses: std::collections::HashSet<Duration> =
        of("a").windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.len() > 3, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_has_failed_at_its_timeout() {
    let world = World::new(&["a"]);
    let check = |_: Named| std::future::pending::<Report>();
    tokio::spawn(world.set.probe(check).interval(secs(1)).timeout(ms(200)).fall(at_once()));
    sleep(ms(1_300)).await;
    assert_eq!(world.state("a"), EndpointState::Down);
}

#[tokio::test(start_paused = true)]
async fn where_all_are_down_by_a_probe_traffic_flows_all_the_same() {
    let world = World::new(&["a", "b"]);
    let check = world.check(|_| Report::down());
    tokio::spawn(world.set.probe(check).interval(secs(1)).fall(at_once()));
    sleep(secs(3)).await;
    assert_eq!(world.state("a"), EndpointState::Down);
    world.call().await.expect("a broken check is no outage");
}

#[tokio::test(start_paused = true)]
async fn a_refused_credential_counts_at_once_and_holds_also_in_a_panic() {
    let world = World::new(&["a"]);
    let healed = Arc::new(Mutex::new(false));
    let fixed = healed.clone();
    let check = world.check(move |_| {
        if *fixed.lock().unwrap() { Report::healthy() } else { Report::misconfigured() }
    });
    tokio::spawn(world.set.probe(check).interval(secs(1)));
    sleep(ms(1_100)).await;
    assert_eq!(world.state("a"), EndpointState::Misconfigured);
    let error = world.call().await.unwrap_err();
    assert!(error.is::<NoEndpoint>());
    sleep(secs(3_600)).await;
    assert!(world.call().await.is_err(), "no timer heals it");
    *healed.lock().unwrap() = true;
    sleep(secs(3)).await;
    world.call().await.expect("a check that passes does");
}

#[tokio::test(start_paused = true)]
async fn a_degraded_endpoint_is_chosen_where_the_others_are_worse() {
    let world = World::new(&["a", "b"]);
    let check = world.check(|name| match name {
        "a" => Report::degraded(Ratio::percent::<30>()),
        _ => Report::healthy(),
    });
    tokio::spawn(world.set.probe(check).interval(secs(1)));
    sleep(secs(2)).await;
    for _ in 0..50 {
        assert_eq!(world.call().await.unwrap(), "b");
    }
    let health = world.set.snapshot()[0].health;
    assert!((health - 0.3).abs() < 0.01, "{health}");
    world.set.drain("b");
    assert_eq!(world.call().await.unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn of_several_probes_the_worst_finding_counts_and_goes_with_its_probe() {
    let world = World::new(&["a", "b"]);
    let good = world.check(|_| Report::healthy());
    let bad = world.check(|name| if name == "a" { Report::down() } else { Report::healthy() });
    tokio::spawn(world.set.probe(good).name("connection").interval(secs(1)));
    let model = world.set.probe(bad).name("model").interval(secs(1)).fall(at_once());
    let model = tokio::spawn(model);
    sleep(secs(3)).await;
    assert_eq!(world.state("a"), EndpointState::Down);
    model.abort();
    sleep(ms(1)).await;
    assert_eq!(world.state("a"), EndpointState::Available);
}

#[tokio::test(start_paused = true)]
async fn live_failures_outrank_a_check_that_passes() {
    let world = World::new(&["a", "b"]);
    let check = |_: Named| std::future::ready(Report::healthy());
    tokio::spawn(world.set.probe(check).interval(ms(100)));
    world.fails.lock().unwrap().push("a");
    let mut failed = 0;
    for _ in 0..2_000 {
        failed += u32::from(world.call().await.is_err());
        sleep(ms(2)).await;
    }
    assert!((1..12).contains(&failed), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_come_later_are_checked_and_the_probe_ends_with_its_set() {
    let world = World::new(&["a", "b"]);
    let check = world.check(|name| if name == "c" { Report::down() } else { Report::healthy() });
    let probe = world.set.probe(check).interval(secs(1)).fall(at_once());
    let probe = tokio::spawn(probe);
    sleep(secs(2)).await;
    world.set.insert(named("c", world.fails.clone()));
    sleep(secs(3)).await;
    assert_eq!(world.state("c"), EndpointState::Down);
    drop(world);
    sleep(secs(2)).await;
    assert!(probe.is_finished());
}

/// D5
#[tokio::test(start_paused = true)]
async fn an_interval_and_a_timeout_of_zero_are_the_shortest() {
    let world = World::new(&["a"]);
    let checks = Arc::new(AtomicUsize::new(0));
    let count = checks.clone();
    let check = world.check(move |_| {
        count.fetch_add(1, SeqCst);
        Report::healthy()
    });
    let probe = tokio::spawn(world.set.probe(check).interval(Duration::ZERO));
    sleep(ms(100)).await;
    let made = checks.load(SeqCst);
    assert!((30..=101).contains(&made), "one for each step of the timer: {made}");
    probe.abort();

    let check = |_: Named| async {
        sleep(ms(2)).await;
        Report::healthy()
    };
    tokio::spawn(world.set.probe(check).timeout(Duration::ZERO).fall(at_once()));
    sleep(secs(6)).await;
    assert_eq!(world.state("a"), EndpointState::Down);
}

/// J15, A17
#[tokio::test(start_paused = true)]
async fn what_a_probe_found_of_a_drained_endpoint_goes_with_it_too() {
    let world = World::new(&["a", "b"]);
    let down = |name: &str| if name == "a" { Report::down() } else { Report::healthy() };
    let probe = tokio::spawn(world.set.probe(world.check(down)).interval(ms(50)));
    sleep(secs(1)).await;
    assert_eq!(look(&world.set, "a").state, EndpointState::Down);
    assert!(world.set.drain("a"));
    probe.abort();
    let _ = probe.await;
    assert!(world.set.undrain("a"));
    assert_eq!(look(&world.set, "a").state, EndpointState::Available);
}
