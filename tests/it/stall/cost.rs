//! What a frame costs in memory.

use super::*;
use crate::kit::settings::nonzero;

/// Gives frames for ever, each at once or after one poll that is pending.
struct Frames {
    each_waits: bool,
    waits: bool,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.waits = self.each_waits && !self.waits;
        if self.waits {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"frame")))))
    }
}

fn frames(each_waits: bool) -> StallBody<Frames> {
    let layer = idle(secs(5)).total(secs(600)).min_rate(nonzero(1), secs(1));
    let inner = service_fn(move |()| {
        ready(Ok::<_, Infallible>(Response::new(Frames { each_waits, waits: false })))
    });
    let Poll::Ready(Ok(answer)) = spawn(layer.layer(inner).oneshot(())).poll() else {
        panic!("it answers at once")
    };
    answer.into_body()
}

/// Allocations while so many frames are read.
fn allocations(body: &mut StallBody<Frames>, count: usize) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut drive = |count| {
        runtime.block_on(async {
            for _ in 0..count {
                body.frame().await.unwrap().unwrap();
            }
        });
    };
    drive(1);
    let few = allocation_counter::measure(|| drive(1)).count_total;
    allocation_counter::measure(|| drive(count + 1)).count_total - few
}

#[test]
fn a_frame_allocates_nothing() {
    for each_waits in [false, true] {
        assert_eq!(allocations(&mut frames(each_waits), 1_000), 0, "waits: {each_waits}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_allocates_its_timer_when_it_is_first_waited_for() {
    let poll = |body: &mut Spawn<StallBody<Frames>>| {
        allocation_counter::measure(|| drop(body.enter(|cx, body| body.poll_frame(cx)))).count_total
    };
    let mut prompt = spawn(frames(false));
    assert_eq!([poll(&mut prompt), poll(&mut prompt)], [0, 0]);
    let mut waiting = spawn(frames(true));
    assert_eq!([(); 5].map(|()| poll(&mut waiting)), [1, 0, 0, 0, 0]);
}

/// D13
#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_bodies_that_were_waited_for_and_left_leave_nothing_behind() {
    let leave = |count| {
        for _ in 0..count {
            let (body, _) = answer(&idle(secs(5)), [Step::Hang]);
            assert!(spawn(body).enter(|cx, body| body.poll_frame(cx)).is_pending());
        }
    };
    leave(1_000);
    let grown = allocation_counter::measure(|| leave(100_000)).bytes_current;
    assert_eq!(grown, 0);
    assert!(now().elapsed().is_zero());
}
