//! Sets that change while they serve.

use crate::kit::{Act, Actor, Gate, Gauge, Log, cast, in_flight, look, ms, secs};
use futures_util::stream;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_err};
use tower::discover::Change;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_failover::balance::{BalanceLayer, Endpoint, EndpointState, Endpoints, NoEndpoint};
use tower_failover::{BoxError, Outcome};

fn plain(set: &Endpoints<Actor>) -> impl Service<(), Response = String, Error = BoxError> + Clone {
    BalanceLayer::plain().layer(set.clone())
}

/// J1
#[tokio::test(start_paused = true)]
async fn calls_to_an_endpoint_that_is_removed_go_on() {
    let ([a], set) = cast();
    a.act(Act::AnswersAfter(ms(10)));
    let mut call = spawn(plain(&set).oneshot(()));
    assert_pending!(call.poll());
    assert!(set.remove("a"));
    assert!(!set.remove("a"), "it is gone");
    assert!(set.is_empty());
    assert!(plain(&set).oneshot(()).await.unwrap_err().is::<NoEndpoint>());
    tokio::time::advance(ms(11)).await;
    assert_eq!(assert_ready!(call.poll()).unwrap(), "a");
    assert_eq!((a.count(), a.running(), set.len()), (1, 0, 0));
}

/// J2
#[tokio::test(start_paused = true)]
async fn late_answers_do_not_touch_the_one_that_took_the_place() {
    for act in [Act::Answers, Act::Fails, Act::Hangs] {
        let ([a], set) = cast();
        a.gate(Gate::Shut);
        a.act(act);
        let mut calls: Vec<_> = (0..10).map(|_| spawn(plain(&set).oneshot(()))).collect();
        calls.iter_mut().for_each(|call| assert_pending!(call.poll()));
        let new = Actor::new("new");
        set.insert(Endpoint::new("a", new.clone()));
        assert_eq!((set.len(), in_flight(&set)), (1, 0));
        a.gate(Gate::Open);
        calls.iter_mut().for_each(|call| drop(call.poll()));
        tokio::time::advance(secs(1)).await;
        drop(calls);
        let found = look(&set, "a");
        assert_eq!((found.in_flight, found.counts, found.latency), (0, Default::default(), None));
        assert_eq!((found.state, found.health), (EndpointState::Available, 1.0));
        assert_eq!(plain(&set).oneshot(()).await.unwrap(), "new");
    }
}

/// Calls to the endpoints of this name alone, which fail, until it is ejected or has failed often.
async fn fail(set: &Endpoints<Actor>, name: &str) -> bool {
    let only = name.to_owned();
    let layer = BalanceLayer::plain().allow(move |(): &(), endpoint| endpoint.name() == only);
    let balance =
        layer.classify_fn(|_: Result<&String, &BoxError>| Outcome::Failure).layer(set.clone());
    for _ in 0..5 {
        let _ = balance.clone().oneshot(()).await;
    }
    look(set, name).state == EndpointState::Ejected
}

/// J1, E2: `max_ejected` still means what it says
#[tokio::test(start_paused = true)]
async fn the_share_that_may_be_ejected_stays_right_while_endpoints_come_and_go() {
    let (_, set) = cast::<4>();
    for round in 0..50 {
        assert!(fail(&set, "a").await && fail(&set, "b").await, "round {round}");
        assert!(!fail(&set, "c").await, "half of them at most, round {round}");
        match round % 3 {
            0 => {
                set.insert(Endpoint::new("a", Actor::new("a")));
                assert!(set.remove("b"));
                set.insert(Endpoint::new("b", Actor::new("b")));
            }
            1 => {
                for name in ["a", "b"] {
                    assert!(set.drain(name) && set.remove(name));
                    set.insert(Endpoint::new(name, Actor::new(name)));
                }
            }
            _ => {
                for name in ["a", "b"] {
                    assert!(set.drain(name));
                    set.insert(Endpoint::new(name, Actor::new(name)));
                }
            }
        }
        set.insert(Endpoint::new("c", Actor::new("c")));
    }
}

/// One that was ejected and is drained does not keep others from being ejected.
#[tokio::test(start_paused = true)]
async fn drained_endpoints_are_not_counted_among_the_ejected() {
    let (_, set) = cast::<6>();
    assert!(fail(&set, "a").await && fail(&set, "b").await && fail(&set, "c").await);
    assert!(!fail(&set, "d").await, "half of six");
    assert!(set.drain("a") && set.drain("b"));
    assert!(fail(&set, "d").await, "one of four was ejected, and two may be");
    assert!(!fail(&set, "e").await, "half of four");
    assert!(set.undrain("a") && set.undrain("b"));
    assert_eq!(look(&set, "a").state, EndpointState::Ejected, "as it was");
}

/// A17: clones, handles and balancers don't keep what was removed
#[tokio::test(start_paused = true)]
async fn an_idle_balancer_keeps_no_endpoint_that_was_removed() {
    let gauge = Gauge::new();
    let endpoint = |name: &str| {
        let kept = gauge.clone();
        Endpoint::new(
            name,
            service_fn(move |(): ()| {
                let _kept = &kept;
                ready(Ok::<_, BoxError>(()))
            }),
        )
    };
    let set: Endpoints<_> = ["a", "b"].map(endpoint).into_iter().collect();
    let balance = BalanceLayer::plain().layer(set.clone());
    let clones: Vec<_> = (0..10).map(|_| balance.clone()).collect();
    for clone in &clones {
        clone.clone().oneshot(()).await.unwrap();
    }
    assert_eq!(gauge.held(), 2);
    assert!(set.remove("a"));
    assert_eq!(gauge.held(), 1);
    set.insert(endpoint("b"));
    assert_eq!(gauge.held(), 1);
    assert!(set.drain("b") && set.remove("b"));
    assert_eq!(gauge.held(), 0);
    assert!(clones[0].clone().oneshot(()).await.unwrap_err().is::<NoEndpoint>());
}

/// Looks at its set when it is dropped.
struct Looks(Endpoints<Curious>, Arc<AtomicUsize>);

impl Drop for Looks {
    fn drop(&mut self) {
        self.0.remove("another");
        self.0.drain("another");
        self.1.fetch_add(self.0.snapshot().len() + 1, SeqCst);
    }
}

#[derive(Clone)]
struct Curious(Option<Arc<Looks>>);

impl Service<()> for Curious {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        let _own = &self.0;
        ready(Ok(()))
    }
}

/// L2
#[tokio::test(start_paused = true)]
async fn services_are_dropped_where_nothing_is_locked() {
    let (set, drops) = (Endpoints::new(), Arc::new(AtomicUsize::new(0)));
    let curious = || Curious(Some(Arc::new(Looks(set.clone(), drops.clone()))));
    set.insert(Endpoint::new("a", curious()));
    set.insert(Endpoint::new("a", curious()));
    assert_eq!(drops.load(SeqCst), 2, "replaced, with one in the set");
    let mut balance = BalanceLayer::plain().layer(set.clone());
    balance.call(()).await.unwrap();
    let call = balance.call(());
    assert!(set.remove("a"));
    assert_eq!(drops.load(SeqCst), 2, "the call holds it");
    drop(call);
    assert_eq!(drops.load(SeqCst), 3, "with none in the set");
    let mut both = set.clone();
    both.extend([Endpoint::new("b", curious()), Endpoint::new("b", curious())]);
    assert_eq!(drops.load(SeqCst), 5, "the first of one name");
    assert!(set.drain("b") && set.remove("b"));
    assert_eq!(drops.load(SeqCst), 6);
}

/// F13, L2
#[tokio::test(start_paused = true)]
async fn filters_and_classifiers_may_use_the_handle() {
    let ([a, _b], set) = cast();
    a.act(Act::Fails);
    let (in_filter, in_judge) = (set.clone(), set.clone());
    let layer = BalanceLayer::plain()
        .allow(move |(): &(), endpoint| {
            assert!(!in_filter.snapshot().is_empty());
            in_filter.reweight(endpoint.name(), 1.0).unwrap()
        })
        .classify_fn(move |result: Result<&String, &BoxError>| {
            in_judge.drain("nobody");
            in_judge.insert(Endpoint::new("c", Actor::new("c")));
            if result.is_ok() { Outcome::Success } else { Outcome::Failure }
        });
    let balance = layer.layer(set.clone());
    for _ in 0..50 {
        let _ = balance.clone().oneshot(()).await;
    }
    assert_eq!((set.len(), in_flight(&set)), (3, 0));
}

/// L2: also endpoints that are made one by one while they are put in
#[tokio::test(start_paused = true)]
async fn endpoints_may_be_made_with_the_help_of_the_set_they_go_into() {
    let set = Endpoints::new();
    let seen = set.clone();
    let mut all = set.clone();
    all.extend((0..3).map(|_| {
        let name = format!("after {}", seen.len());
        Endpoint::new(name.clone(), Actor::new(&name))
    }));
    let seen = set.clone();
    let changes = stream::iter([Ok::<_, BoxError>(Change::Insert("d", Actor::new("d")))]);
    let follow = set.follow_with(changes, move |key, service| {
        assert!(seen.len() < 4);
        Endpoint::new(*key, service)
    });
    tokio::time::timeout(secs(1), follow).await.unwrap();
    assert_eq!(look(&set, "d").state, EndpointState::Available);
}

/// F13: what follows events may use the handle
#[tokio::test(start_paused = true)]
async fn an_event_subscriber_may_use_the_handle() {
    use tracing_subscriber::layer::{Context, SubscriberExt};
    struct Looking(Endpoints<Actor>, Arc<AtomicUsize>);
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Looking {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            if event.metadata().target().starts_with("tower_failover::balance") {
                self.1.fetch_add(self.0.snapshot().len(), SeqCst);
                self.0.insert(Endpoint::new("c", Actor::new("c")));
            }
        }
    }
    let ([a, _b], set) = cast();
    let events = Arc::new(AtomicUsize::new(0));
    let _log = Log::default().follow();
    let looking = tracing_subscriber::registry().with(Looking(set.clone(), events.clone()));
    let _guard = tracing::subscriber::set_default(looking);
    assert!(fail(&set, "a").await);
    a.act(Act::Answers);
    tokio::time::advance(ms(700)).await;
    for _ in 0..10 {
        plain(&set).oneshot(()).await.unwrap();
    }
    assert!(events.load(SeqCst) >= 3, "ejected, trial, returned");
    assert_eq!((set.len(), in_flight(&set)), (3, 0));
}

/// J7, C5
#[tokio::test(start_paused = true)]
async fn an_error_of_the_discovery_leaves_the_set_in_service() {
    let set = Endpoints::new();
    let changes = stream::iter([
        Ok(Change::Insert("a", Actor::new("a"))),
        Err(BoxError::from("no answer")),
        Ok(Change::Insert("b", Actor::new("b"))),
        Err("no answer".into()),
        Ok(Change::Remove("a")),
        Ok(Change::Remove("nobody")),
    ]);
    let log = Log::default();
    let guard = log.follow();
    set.follow(changes).await;
    drop(guard);
    assert_eq!((set.len(), plain(&set).oneshot(()).await.unwrap()), (1, "b".to_owned()));
    assert_eq!(log.text().matches("no answer").count(), 2, "{}", log.text());
}

/// J7: silence, and an end
#[tokio::test(start_paused = true)]
async fn a_discovery_that_falls_silent_or_ends_leaves_the_set_as_it_is() {
    let (changes, mut found) = tokio::sync::mpsc::unbounded_channel();
    let set = Endpoints::new();
    let discover = stream::poll_fn(move |cx| found.poll_recv(cx));
    let mut follow = spawn(set.follow(discover));
    assert_pending!(follow.poll());
    changes.send(Ok::<_, BoxError>(Change::Insert("a", Actor::new("a")))).unwrap();
    assert!(follow.is_woken());
    assert_pending!(follow.poll());
    assert_pending!(follow.poll(), "after it has let others run");
    tokio::time::advance(secs(1_000)).await;
    assert!(!follow.is_woken());
    plain(&set).oneshot(()).await.unwrap();
    drop(changes);
    assert_ready!(follow.poll());
    plain(&set).oneshot(()).await.unwrap();
}

/// J7, L3
#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_changes_at_once_let_others_run() {
    const COUNT: usize = 100_000;
    let set = Endpoints::new();
    let changes = (0..COUNT).map(|key| Ok::<_, BoxError>(Change::Insert(key, Tiny)));
    let mut follow = spawn(set.follow(stream::iter(changes)));
    let (mut polls, mut len) = (0, 0);
    while follow.poll().is_pending() {
        assert!(follow.is_woken(), "it goes on by itself");
        assert!(set.len() - len <= 2_000, "not too many in one poll");
        (polls, len) = (polls + 1, set.len());
        let balance = BalanceLayer::plain();
        if polls == 20 {
            balance.layer(set.clone()).oneshot(()).await.unwrap();
        }
    }
    assert_eq!(set.len(), COUNT);
    assert!(polls > 40, "{polls}");
    let removals = (0..5_000).map(|key| Ok::<_, BoxError>(Change::<_, Tiny>::Remove(key)));
    set.follow(stream::iter(removals)).await;
    assert_eq!(set.len(), COUNT - 5_000);
}

#[derive(Clone, Copy)]
struct Tiny;

impl Service<()> for Tiny {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

/// J7: duplicates and flapping
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_flaps_is_there_once_and_served_from_its_newest_service() {
    let set = Endpoints::new();
    let actors: Vec<_> = (0..1_000).map(|at| Actor::new(&at.to_string())).collect();
    let changes = actors.iter().enumerate().flat_map(|(at, actor)| {
        let insert = || Ok::<_, BoxError>(Change::Insert("a", actor.clone()));
        let remove = (at % 3 == 0).then_some(Ok(Change::Remove("a")));
        [Some(insert()), remove, Some(insert())].into_iter().flatten()
    });
    set.follow(stream::iter(changes.collect::<Vec<_>>())).await;
    assert_eq!(set.len(), 1);
    assert_eq!(plain(&set).oneshot(()).await.unwrap(), "999");
}

/// J4
#[tokio::test(start_paused = true)]
async fn a_set_that_empties_and_fills_again_serves_the_next_call() {
    let ([a], set) = cast();
    let waits = BalanceLayer::plain().wait_for(secs(1)).layer(set.clone());
    for _ in 0..20 {
        assert!(set.remove("a"));
        let mut now = spawn(plain(&set).oneshot(()));
        assert!(assert_ready_err!(now.poll()).is::<NoEndpoint>());
        let mut waiting = spawn(waits.clone().oneshot(()));
        assert_pending!(waiting.poll());
        set.insert(Endpoint::new("a", a.clone()));
        assert!(waiting.is_woken());
        assert_eq!(assert_ready!(waiting.poll()).unwrap(), "a");
        assert_eq!(plain(&set).oneshot(()).await.unwrap(), "a");
    }
}

/// D4, L1: scopes of endpoints that are gone are forgotten, and many of them are no work
#[tokio::test(start_paused = true)]
async fn many_scopes_are_put_in_at_once() {
    let many = |from: usize| {
        let endpoint = move |at: usize| {
            let name = (from + at).to_string();
            Endpoint::new(name.clone(), Tiny).account(name)
        };
        (0..20_000).map(endpoint)
    };
    let mut set: Endpoints<_> = many(0).collect();
    set.extend(many(20_000));
    assert_eq!(set.len(), 40_000);
}
