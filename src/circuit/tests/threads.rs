//! Several threads on one circuit.

use super::*;
use crate::trip::{Consecutive, FailureRatio, Failures};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread;

const THREADS: usize = 4;

fn together<T: Send>(run: impl Fn() -> T + Sync) -> Vec<T> {
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        let begin = || {
            scope.spawn(|| {
                start.wait();
                run()
            })
        };
        let threads: Vec<_> = (0..THREADS).map(|_| begin()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// F3: the most that were inside at once
#[test]
fn threads_on_a_half_open_circuit_are_never_more_trials_than_asked_for() {
    let config = CircuitConfig { trials: 3, successes: u32::MAX, ..plainly() };
    let bench = Bench::new(&[Consecutive::count::<1>().into()], config);
    bench.calls(1, BAD);
    let (inside, trials) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let most = together(|| {
        let mut most = 0;
        for n in 0..5_000 {
            let Ok(call) = begin(&bench.circuit, secs(1)) else { continue };
            assert!(call.is_trial());
            most = inside.fetch_add(1, SeqCst).max(most);
            trials.fetch_add(1, SeqCst);
            thread::yield_now();
            inside.fetch_sub(1, SeqCst);
            end(&bench.circuit, call, if n % 2 == 0 { GOOD } else { NEUTRAL }, secs(1));
        }
        most + 1
    });
    assert!(most.into_iter().all(|most| most <= 3));
    assert!(trials.into_inner() > 3, "permits were given back");
    assert_eq!(bench.circuit.snapshot(secs(1)).trials, 0);
}

/// E3: a circuit that trips again and again counts each call once, and no call of before
#[test]
fn what_threads_tell_a_circuit_adds_up_at_rest() {
    const CALLS: u64 = 10_000;
    let rules =
        [Failures::count::<40>().within(secs(10)).into(), FailureRatio::new(ratio(0.5)).degrade()];
    let circuit = Circuit::new(&rules, CircuitConfig { ramp: ms(5), ..trial_closes() }, 5, true);
    let time = AtomicU64::new(0);
    let kinds = [GOOD, GOOD, BAD, NEUTRAL, GOOD, DROPPED, BAD];
    let asked = together(|| {
        let mut told = [0_u64; 4];
        for n in 0..CALLS {
            let now = ms(time.fetch_add(1, SeqCst));
            let Ok(call) = begin(&circuit, now) else {
                told[3] += 1;
                continue;
            };
            let how = kinds[n as usize % kinds.len()];
            let kind = match how.verdict {
                CallVerdict::Good => 0,
                CallVerdict::Bad => 1,
                CallVerdict::Neutral | CallVerdict::Dropped => 2,
            };
            told[kind] += 1;
            end(&circuit, call, how, now);
        }
        told
    });
    let sum = |kind: usize| asked.iter().map(|told| told[kind]).sum::<u64>();
    let seen = circuit.snapshot(ms(CALLS * THREADS as u64));
    assert_eq!(
        (seen.successes, seen.failures, seen.neutral, seen.refused),
        (sum(0), sum(1), sum(2), sum(3))
    );
    assert!(seen.opened > 1 && seen.refused > 0);
}
