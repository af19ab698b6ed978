//! What the copies of one body see, whoever reads first.

mod interleaved;
mod upload;

use self::upload::*;
use super::*;
use crate::replay::ReplayBody;

/// G7, M13
#[test]
fn what_fits_the_limit_is_kept_and_what_does_not_passes_once() {
    for len in [LIMIT - 1, LIMIT, LIMIT + 1] {
        for piece in [1, 5, LIMIT, LIMIT + 1] {
            for in_trailers in [0, 3] {
                let data = len - in_trailers;
                let pieces = (0..data).step_by(piece).map(|at| Data(piece.min(data - at)));
                let plan = Plan::of(pieces);
                if in_trailers > 0 {
                    plan.give(Trailers(in_trailers));
                }
                plan.give(End);
                plan.script().announces_end = true;
                let (mut first, keeper) = plan.keep();
                let mut passed = 0;
                let end = loop {
                    let at_end = matches!(plan.script().steps.front(), Some(End));
                    assert_eq!(first.is_end_stream(), at_end);
                    match read(&mut first) {
                        Poll::Ready(Seen::Data(bytes)) => passed += bytes.len(),
                        Poll::Ready(Seen::Trailers(all)) => assert_eq!(all, trailers(in_trailers)),
                        other => break other,
                    }
                    assert!(plan.live() <= LIMIT, "the frame itself is dropped already");
                };
                assert_eq!((end, passed), (Poll::Ready(Seen::End), data));
                assert_eq!(keeper.beside().is_some(), len <= LIMIT, "{len} bytes by {piece}");
                if len > LIMIT {
                    assert_eq!(plan.live(), 0, "what can't be sent again is not kept");
                }
            }
        }
    }
}

/// G7
#[test]
fn a_body_known_to_be_too_long_is_not_kept_at_all() {
    for len in [LIMIT - 1, LIMIT, LIMIT + 1] {
        let plan = Plan::of([Data(len), End]);
        plan.script().known = true;
        let (body, keeper) = ReplayBody::keep(Original(plan.clone()), LIMIT);
        assert_eq!(keeper.is_some(), len <= LIMIT);
        assert_eq!(body.size_hint().exact(), Some(len as u64));
        let mut body = task::spawn(body);
        assert_eq!(read_all(&mut body), [Seen::Data((0..len as u8).collect()), Seen::End]);
    }
}

/// G8
#[test]
fn every_copy_has_the_same_frames_and_tells_of_them_what_is_true() {
    let bodies: [&[Step]; 5] = [
        &[Data(3), Data(1), Data(4), End],
        &[Data(3), Data(4), Trailers(5), End],
        &[Trailers(5), End],
        &[Data(7), End],
        &[End],
    ];
    for (steps, known, announces_end) in bodies
        .iter()
        .flat_map(|steps| [(steps, true, true), (steps, true, false), (steps, false, true)])
        .chain(bodies.iter().map(|steps| (steps, false, false)))
    {
        let plan = Plan::of(steps.iter().copied());
        (plan.script().known, plan.script().announces_end) = (known, announces_end);
        let (first, keeper) = plan.keep();
        let check = |mut copy: Copied, read_before: bool| {
            let mut left = steps.iter().map(|s| if let Data(len) = s { *len as u64 } else { 0 });
            let mut left: u64 = left.by_ref().sum();
            let mut all = Vec::new();
            loop {
                let hint = copy.size_hint();
                assert!(hint.lower() <= left && hint.upper().is_none_or(|upper| upper >= left));
                let last = steps.len() - 1 == all.len();
                // one that is known to be empty from the start is not kept at all
                if known || left + all.len() as u64 > 0 || !announces_end {
                    assert_eq!(hint.exact(), known.then_some(left), "{steps:?} after {all:?}");
                }
                if known || read_before {
                    assert!(last || !copy.is_end_stream());
                }
                if last && (announces_end || read_before) {
                    assert!(copy.is_end_stream(), "{steps:?} after {all:?}");
                }
                let announced = copy.is_end_stream();
                let Poll::Ready(one) = read(&mut copy) else { panic!("nothing is pending") };
                assert!(!announced || one == Seen::End);
                if let Seen::Data(bytes) = &one {
                    left -= bytes.len() as u64;
                }
                all.push(one);
                if all.last() == Some(&Seen::End) {
                    return (copy, all);
                }
            }
        };
        let (_first, all) = check(first, false);
        for _ in 0..2 {
            assert_eq!(check(beside(&keeper), true).1, all);
            assert_eq!(check(instead(&keeper), true).1, all);
        }
    }
}

/// G8: a copy that joins in the middle is told what is kept and what the original has left.
#[test]
fn a_copy_that_joins_in_the_middle_knows_the_whole_length() {
    let plan = Plan::of([Data(3), Data(2), Data(4), End]);
    plan.script().known = true;
    let (mut first, keeper) = plan.keep();
    let _ = read(&mut first);
    let mut second = beside(&keeper);
    assert_eq!((first.size_hint().exact(), second.size_hint().exact()), (Some(6), Some(9)));
    assert_eq!(read_all(&mut second).len(), 4);
    assert_eq!((first.size_hint().exact(), second.size_hint().exact()), (Some(6), Some(0)));
    assert!(!first.is_end_stream() && second.is_end_stream());
    assert_eq!(read(&mut first), seen(3..5));
}

#[test]
fn a_copy_that_waits_is_woken_when_another_takes_the_frame() {
    let plan = Plan::default();
    let (mut first, mut second, _keeper) = two_waiting(&plan);
    // nobody but the second copy can wake the first
    plan.script().steps.push_back(Data(2));
    assert_eq!(read(&mut second), seen(0..2));
    assert!(first.is_woken());
    assert_eq!(read(&mut first), seen(0..2));
}

/// It may be full on its way out, and not ask again for long.
#[test]
fn a_copy_that_asked_last_and_does_not_come_back_holds_up_nobody() {
    for frame in [Data(2), Data(0), Trailers(3), End, Fail] {
        let plan = Plan::default();
        let (mut first, second, _keeper) = two_waiting(&plan);
        plan.give(frame);
        assert!(first.is_woken() && second.is_woken(), "{frame:?}");
        assert!(read(&mut first).is_ready());
        // the same when the original woke one of them, and that one was the only one to come
        assert!(read(&mut first).is_pending() || plan.sent().ended || plan.sent().broken);
        plan.give(Data(1));
        assert!(first.is_woken() || plan.sent().ended || plan.sent().broken, "{frame:?}");
    }
}

#[test]
fn a_copy_that_waits_is_woken_by_a_frame_without_data() {
    let plan = Plan::default();
    let (first, mut second, _keeper) = two_waiting(&plan);
    plan.script().steps.push_back(Data(0));
    assert_eq!(read(&mut second), seen(0..0));
    assert!(first.is_woken(), "the original has no waker now");
}

#[test]
fn a_copy_that_waits_is_woken_when_the_one_that_asked_last_is_dropped() {
    let plan = Plan::default();
    let (first, second, _keeper) = two_waiting(&plan);
    drop(second);
    assert!(first.is_woken());
}

#[test]
fn a_copy_that_waits_is_woken_by_the_end_by_an_error_and_by_too_long_a_frame() {
    let ends = [(End, Seen::End), (Fail, Seen::Lost), (Data(LIMIT + 1), Seen::Lost)];
    for (step, told) in ends {
        let plan = Plan::default();
        let (mut first, mut second, keeper) = two_waiting(&plan);
        // nobody but the second copy can wake the first
        plan.script().steps.push_back(step);
        assert!(read(&mut second).is_ready());
        assert!(first.is_woken(), "{step:?}");
        assert_eq!(read(&mut first), Poll::Ready(told.clone()));
        assert_eq!(keeper.beside().is_some(), told == Seen::End);
    }
}

/// G14
#[test]
fn a_copy_in_the_place_of_others_ends_them() {
    let plan = Plan::default();
    let (mut first, mut second, keeper) = two_waiting(&plan);
    let mut third = instead(&keeper);
    assert!(first.is_woken() && second.is_woken());
    plan.give(Data(2));
    for old in [&mut first, &mut second] {
        assert_eq!(read(old), Poll::Ready(Seen::Lost));
        assert!(!old.is_end_stream() && old.size_hint().exact().is_none());
    }
    assert_eq!(read(&mut third), seen(0..2), "they took nothing of it");
}

/// G9
#[test]
fn an_error_of_the_original_is_told_once_after_all_that_was_sent_before() {
    let plan = Plan::of([Data(2), Fail]);
    let (mut first, keeper) = plan.keep();
    let mut second = beside(&keeper);
    let data = Seen::Data(vec![0, 1]);
    assert_eq!(read_all(&mut first), [data.clone(), Seen::Failed]);
    assert_eq!(read(&mut first), Poll::Ready(Seen::Lost));
    assert_eq!(read_all(&mut second), [data, Seen::Lost]);
    assert!(!first.is_end_stream() && !second.is_end_stream());
    assert!(keeper.beside().is_none() && keeper.instead().is_none());
}

/// B2, B10
#[test]
fn a_panic_of_the_original_ends_the_other_copies_and_locks_nothing() {
    let plan = Plan::default();
    let (mut first, mut second, keeper) = two_waiting(&plan);
    plan.script().steps.push_back(Panic);
    let panic = std::panic::AssertUnwindSafe(|| read(&mut second));
    assert!(std::panic::catch_unwind(panic).is_err());
    drop(second);
    assert!(first.is_woken());
    assert_eq!(read(&mut first), Poll::Ready(Seen::Lost));
    assert!(keeper.beside().is_none());
    drop((first, keeper));
    assert!(plan.is_freed());
}

/// B8: nobody may take the frame behind it for the next one.
#[test]
fn a_panic_in_the_data_of_a_frame_breaks_the_body() {
    struct Bad;
    impl bytes::Buf for Bad {
        fn remaining(&self) -> usize {
            2
        }
        fn chunk(&self) -> &[u8] {
            std::panic::resume_unwind(Box::new("bad data"))
        }
        fn advance(&mut self, _: usize) {}
    }
    let frames = futures_util::stream::repeat_with(|| Ok::<_, BoxError>(Frame::data(Bad)));
    let (mut first, keeper) = Keeper::new(http_body_util::StreamBody::new(frames), LIMIT);
    let cx = &mut Context::from_waker(Waker::noop());
    let panic = std::panic::AssertUnwindSafe(|| first.poll_frame(cx));
    assert!(std::panic::catch_unwind(panic).is_err());
    assert!(keeper.beside().is_none(), "a frame is missing");
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(matches!(first.poll_frame(cx), Poll::Ready(Some(Err(_)))));
}

/// A17
#[test]
fn what_is_kept_is_freed_as_the_slowest_reads_on_once_no_copy_can_follow() {
    let plan = Plan::of([Data(4), Data(4), Data(4)]);
    let (mut first, keeper) = plan.keep();
    let mut second = beside(&keeper);
    assert_eq!(read_all(&mut first).len(), 3);
    assert_eq!(read(&mut second), seen(0..4));
    assert_eq!(plan.live(), 12, "a third copy may come");
    drop(keeper);
    assert_eq!(plan.live(), 8);
    assert_eq!(read(&mut second), seen(4..8));
    assert_eq!(plan.live(), 4);
    drop(second);
    assert_eq!(plan.live(), 0);
    plan.give(Data(4));
    assert_eq!(
        read(&mut first),
        seen(12..16),
        "the last copy reads on, and nothing is kept for it"
    );
    assert_eq!(plan.live(), 0);
    drop(first);
    assert!(plan.is_freed());
}

fn is_data(read: &Poll<Seen>) -> bool {
    matches!(read, Poll::Ready(Seen::Data(_)))
}

/// Over a limit of small frames, this would be felt if the work grew with their square.
#[test]
fn many_small_frames_are_freed_one_by_one_without_moving_the_rest() {
    let plan = Plan::of([Data(1)].repeat(MOST_FRAMES).into_iter().chain([End]));
    let (body, keeper) = ReplayBody::keep(Original(plan.clone()), 60_000);
    let keeper = keeper.unwrap();
    assert_eq!(read_all(&mut task::spawn(body)).len(), MOST_FRAMES + 1);
    let mut copy = instead(&keeper);
    drop(keeper);
    let counted = allocation_counter::measure(|| while is_data(&read(&mut copy)) {});
    assert!(counted.bytes_max < 4_096, "{counted:?}");
    assert!(plan.live() == 0);
}

/// L1, M13: the limit would hold them all, and their bookkeeping a hundred times of it.
#[test]
fn a_body_of_too_many_small_frames_passes_and_is_not_kept() {
    let plan = Plan::of([Data(1)].repeat(MOST_FRAMES + 1).into_iter().chain([End]));
    let (body, keeper) = ReplayBody::keep(Original(plan.clone()), 60_000);
    assert_eq!(read_all(&mut task::spawn(body)).len(), MOST_FRAMES + 2);
    assert!(keeper.unwrap().instead().is_none());
    assert_eq!(plan.live(), 0);
}

/// L1
#[test]
fn frames_without_data_and_copies_without_number_do_not_add_up() {
    let plan = Plan::default();
    let (mut first, keeper) = plan.keep();
    let mut round = |times| {
        for _ in 0..times {
            plan.give(Data(0));
            let _ = read(&mut first);
            first = instead(&keeper);
        }
        let shared = keeper.0.as_ref().unwrap().lock();
        (shared.frames.len(), shared.cursors.len())
    };
    assert_eq!(round(10_000), round(10));
}
