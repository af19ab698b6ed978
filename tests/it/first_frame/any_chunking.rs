//! Whatever is judged, the bytes are those that were sent.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tower::{Layer, ServiceExt};
use tower_failover::Outcome;
use tower_failover::classify::OutcomeMark;
use tower_failover::first_frame::{FirstFrameLayer, Verdict};

/// Gives these verdicts, and the last one for ever.
fn verdicts(list: Vec<Verdict>) -> impl Fn() -> Verdict + Clone {
    let asked = Arc::new(AtomicUsize::new(0));
    move || {
        let at = asked.fetch_add(1, SeqCst).min(list.len() - 1);
        list[at]
    }
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        4 => Just(Verdict::Skip),
        1 => Just(Verdict::Commit),
        1 => Just(Verdict::Reject(Outcome::Unsuitable)),
    ]
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"data: x\n\n".to_vec()),
        Just(b": ping\r\n\r\n".to_vec()),
        Just(b"\0\0\0\0\x02hi".to_vec()),
        Just(b"\x01\0\0\0\0".to_vec()),
        vec(any::<u8>(), 0..12),
    ]
}

async fn send(
    kind: usize,
    limit: usize,
    list: Vec<Verdict>,
    answer: Response<ScriptedBody>,
) -> Seen {
    let (next, layer) = (verdicts(list), FirstFrameLayer::http().limit(limit));
    macro_rules! through {
        ($layer:expr) => {{
            let answer = $layer.layer(service([answer])).oneshot(request()).await.unwrap();
            let judged = answer.extensions().get::<OutcomeMark>().map(|judged| judged.outcome());
            (judged, read(answer.into_body()).await)
        }};
    }
    match kind {
        0 => through!(layer.frames(move |_| next())),
        1 => through!(layer.events(move |_| next())),
        _ => through!(layer.messages(move |_| next())),
    }
}

/// Sends it through a runtime of its own.
fn run(kind: usize, limit: usize, list: &[Verdict], steps: Vec<Step>) -> Seen {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async { send(kind, limit, list.to_vec(), answer(steps)).await })
}

type Seen = (Option<Outcome>, (Vec<u8>, Option<HeaderMap>, bool));

proptest! {
    #[test]
    fn any_chunking_of_any_stream_comes_out_equal(
        parts in vec(part(), 0..20),
        cuts in vec(0..9_usize, 1..8),
        waits in vec(any::<bool>(), 1..8),
        end in 0..3,
        kind in 0..3_usize,
        limit in prop_oneof![Just(0_usize), Just(20), Just(65_536)],
        list in vec(verdict(), 1..6),
    ) {
        let stream = parts.concat();
        let (mut steps, mut rest) = (Vec::new(), &stream[..]);
        for (cut, wait) in cuts.iter().cycle().zip(waits.iter().cycle()) {
            if rest.is_empty() {
                break;
            }
            // a cut of nothing is an empty frame, unless there is nothing else
            let cut = if cuts.iter().all(|cut| *cut == 0) { 1 } else { *cut };
            let (frame, left) = rest.split_at(cut.min(rest.len()));
            steps.push(data(frame));
            if *wait {
                steps.push(Step::Wait(crate::kit::ms(1)));
            }
            rest = left;
        }
        let end_of_all = || match end {
            0 => None,
            1 => Some(Step::Trailers("x-sum", "7")),
            _ => Some(Step::Fail),
        };
        steps.extend(end_of_all());
        let (judged, (bytes, trailers, broken)) = run(kind, limit, &list, steps);
        prop_assert_eq!(&bytes, &stream);
        prop_assert_eq!(trailers.is_some(), end == 1);
        prop_assert_eq!(broken, end == 2);
        // frames are cut as the network likes, and a limit is looked at with each; records are what they are
        if kind != 0 && limit > stream.len() {
            let whole = std::iter::once(data(&stream)).chain(end_of_all()).collect();
            prop_assert_eq!(judged, run(kind, limit, &list, whole).0);
        }
        if judged == Some(Outcome::Unsuitable) {
            prop_assert!(list.contains(&Verdict::Reject(Outcome::Unsuitable)));
        }
    }
}
