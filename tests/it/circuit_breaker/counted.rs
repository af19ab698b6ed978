//! What counts against a service, outcome by outcome.

use super::*;
use crate::kit::Gate;
use crate::kit::settings::Watch as _;
use tower::load_shed::error::Overloaded;
use tower_failover::Refusal;
use tower_failover::trip::Consecutive;

/// An answer that is judged like this, with this evidence.
#[derive(Clone, Copy, Debug)]
struct OutcomeMark {
    outcome: Outcome,
    overloaded: bool,
    local: bool,
}

impl OutcomeMark {
    const fn as_(outcome: Outcome) -> Self {
        Self { outcome, overloaded: false, local: false }
    }
}

#[derive(Clone, Copy)]
struct ByHand;

impl Classify<OutcomeMark, BoxError> for ByHand {
    fn classify(&self, result: Result<&OutcomeMark, &BoxError>) -> Outcome {
        result.unwrap().outcome
    }

    fn evidence(&self, result: Result<&OutcomeMark, &BoxError>) -> Evidence {
        let judged = result.unwrap();
        let mut evidence = Evidence::default();
        (evidence.overloaded, evidence.local) = (judged.overloaded, judged.local);
        evidence
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Counts {
    Good,
    Bad,
    Not,
}

const THROTTLED: Outcome = Outcome::Throttled { retry_after: None };

/// Each line of the table: what a call ends with, and how that counts; by default, and where throttling
/// answers are asked for.
const TABLE: [(OutcomeMark, Counts, Counts); 9] = {
    use Counts::{Bad, Good, Not};
    let as_ = OutcomeMark::as_;
    let overloaded = OutcomeMark { overloaded: true, ..as_(THROTTLED) };
    let failed_here = OutcomeMark { local: true, ..as_(Outcome::Failure) };
    let refused_here = OutcomeMark { local: true, ..as_(Outcome::Refused) };
    [
        (as_(Outcome::Success), Good, Good),
        (as_(Outcome::Failure), Bad, Bad),
        (failed_here, Bad, Bad),
        (as_(Outcome::Refused), Bad, Bad),
        (refused_here, Not, Not),
        (as_(THROTTLED), Not, Bad),
        (overloaded, Bad, Bad),
        (as_(Outcome::Unsuitable), Not, Not),
        (as_(Outcome::Neutral), Not, Not),
    ]
};

/// F8
#[tokio::test(start_paused = true)]
async fn each_outcome_counts_as_the_table_says() {
    let plain = CircuitBreakerLayer::plain().classify(ByHand).open_for(always(OPEN));
    let layer = plain.trip_on(Consecutive::count::<2>());
    for (judged, by_default, asked_for) in TABLE {
        for (layer, expected) in
            [(layer.clone(), by_default), (layer.clone().count_throttled(), asked_for)]
        {
            // clones of one layer share their circuit
            let circuit = layer.handle();
            circuit.reset();
            let before = counts(&circuit);
            let inner =
                tower::service_fn(|judged: OutcomeMark| async move { Ok::<_, BoxError>(judged) });
            let service = layer.layer(inner);
            let ask = |judged| service.clone().oneshot(judged);
            for _ in 0..2 {
                ask(judged).await.unwrap();
            }
            let after = counts(&circuit);
            let more: Vec<_> =
                after.iter().zip(before).map(|(after, before)| after - before).collect();
            let state = circuit.state();
            let (column, expected_state) = match expected {
                Counts::Good => ([2, 0, 0], CircuitState::Closed),
                Counts::Bad => ([0, 2, 0], CircuitState::Open),
                Counts::Not => ([0, 0, 2], CircuitState::Closed),
            };
            assert_eq!((more, state), (column.to_vec(), expected_state), "{judged:?}");

            // and the same of a trial
            circuit.reset();
            for _ in 0..2 {
                ask(OutcomeMark::as_(Outcome::Failure)).await.unwrap();
            }
            sleep(OPEN).await;
            ask(judged).await.unwrap();
            let reopened = circuit.state() == CircuitState::Open;
            assert_eq!(reopened, expected == Counts::Bad, "{judged:?} for a trial");
            assert_eq!(circuit.snapshot().trials, 0, "{judged:?}");
        }
    }
}

/// F8: what was refused on our own side says nothing about the service
#[tokio::test(start_paused = true)]
async fn refusals_from_inside_are_not_counted() {
    type Make = fn() -> BoxError;
    let inside: [(&str, Make); 3] = [
        ("our mark", || Refusal::new().after(secs(1)).into()),
        ("our mark, deep in", || std::io::Error::other(Refusal::new()).into()),
        ("tower's load shed", || Overloaded::new().into()),
    ];
    for (what, error) in inside {
        let layer = CircuitBreakerLayer::plain().trip_on(Consecutive::count::<1>());
        let inner = tower::service_fn(move |()| async move { Err::<(), _>(error()) });
        let service = layer.layer(inner);
        for _ in 0..100 {
            let error = service.clone().oneshot(()).await.unwrap_err();
            assert!(!error.is::<CircuitOpen>(), "{what}");
        }
        assert_eq!(counts(&layer.handle()), [0, 0, 100], "{what}");
    }
}

/// F8
#[tokio::test(start_paused = true)]
async fn a_circuit_is_not_held_against_the_one_outside() {
    let inner = Scene::new(breaker());
    inner.trip().await;
    let layer = trips_on(Consecutive::count::<1>());
    let outer = layer.layer(inner.service.clone());
    for _ in 0..100 {
        let refused = refusal(outer.clone().oneshot(GOOD).await);
        assert_eq!(refused.retry_after(), Some(OPEN));
    }
    assert_eq!(counts(&layer.handle()), [0, 0, 100]);
}

/// The same with tower's own layer in between.
#[tokio::test(start_paused = true)]
async fn a_load_shed_inside_is_not_counted() {
    let server = server();
    let limited = tower::limit::ConcurrencyLimit::new(server.clone(), 1);
    let layer = trips_on(Consecutive::count::<1>());
    let service = layer.layer(tower::load_shed::LoadShed::new(limited));
    let first = tokio::spawn(service.clone().oneshot(GOOD.taking(secs(1))));
    sleep(ms(1)).await;
    for _ in 0..10 {
        assert!(service.clone().oneshot(GOOD).await.unwrap_err().is::<Overloaded>());
    }
    first.await.unwrap().unwrap();
    assert_eq!(counts(&layer.handle()), [1, 0, 10]);
}

/// C5
#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_is_judged_by_the_next_call() {
    let layer = breaker();
    let unready = ["unready, 2 left", "unready, 1 left", "unready, 0 left"];
    let gates =
        move |poll: usize| unready.get(poll - 1).map_or(Gate::Open, |text| Gate::Broken(text));
    let mut service = layer.layer(server().gates(gates));
    // it is asked once for each call, however often we are
    for _ in 0..5 {
        service.ready().await.expect("the circuit itself is ready");
    }
    assert_eq!(counts(&layer.handle()), [0, 0, 0], "there was no call");
    let error = service.call(GOOD).await.unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), counts(&layer.handle())),
        ("unready, 2 left", [0, 1, 0])
    );
    let call = service.ready().await.unwrap().call(GOOD);
    assert_eq!(counts(&layer.handle()), [0, 2, 0], "also where nobody polls the call");
    drop(call);
    assert_eq!(layer.handle().state(), CircuitState::Open);
    sleep(OPEN).await;
    // a trial that is not taken has failed
    assert!(service.ready().await.unwrap().call(GOOD).await.is_err());
    assert_eq!(layer.handle().state(), CircuitState::Open);
    sleep(OPEN).await;
    for _ in 0..2 {
        service.ready().await.unwrap().call(GOOD).await.unwrap();
    }
    assert_eq!(layer.handle().state(), CircuitState::Closed);
}
