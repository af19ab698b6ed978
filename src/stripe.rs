//! A counter that every call writes, spread over cache lines.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

const STRIPES: usize = 8;

/// Two lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// A sum that threads add to side by side.
#[derive(Debug, Default)]
pub(crate) struct Striped([Line; STRIPES]);

impl Striped {
    pub(crate) fn add(&self, amount: u64) {
        self.0[stripe()].0.fetch_add(amount, Relaxed);
    }

    /// Takes out all that was added; nothing is lost or taken twice when several threads take.
    pub(crate) fn take(&self) -> u64 {
        self.0.iter().fold(0, |sum, line| match line.0.load(Relaxed) {
            0 => sum,
            _ => sum.saturating_add(line.0.swap(0, Relaxed)),
        })
    }
}

fn stripe() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static STRIPE: usize = THREADS.fetch_add(1, Relaxed) % STRIPES);
    // a thread that is being torn down has lost its number
    STRIPE.try_with(|stripe| *stripe).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn what_many_threads_add_is_taken_exactly_once() {
        let counter = Striped::default();
        let taken = thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| (0..10_000).for_each(|_| counter.add(3)));
            }
            let takers: Vec<_> = (0..2)
                .map(|_| scope.spawn(|| (0..1_000).map(|_| counter.take()).sum::<u64>()))
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum::<u64>()
        });
        assert_eq!(taken + counter.take(), 16 * 10_000 * 3);
    }
}
