//! Whether budgets keep their bound: an even load on a failing service, and every span between two extra
//! attempts.

use crate::execute::paused;
use crate::family::{BoxService, Erase, Http, boxed};
use crate::load::{self, Attempts};
use crate::random::Rng;
use crate::{clock, watchdog};
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;
use tower_failover::hedge::HedgeLayer;
use tower_failover::retry::RetryLayer;
use tower_failover::{Backoff, Budget, Ratio};
use tower_layer::Layer;

/// More seeds are not listed.
const MAX_SEEDS: u64 = 11;

/// A load and the budget that it meets.
struct Outage {
    seed: u64,
    per_second: u64,
    seconds: u64,
    /// Seconds before the load, which must not matter.
    idle: u64,
    ratio: f64,
    min: u32,
    bank: u64,
    hedge: bool,
    delay: u64,
    max_retries: u32,
}

impl Outage {
    fn draw(seed: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let per_second = rng.pick(&[1, 3, 10, 50, 200]);
        let ratio = rng.pick(&[0.0, 0.05, 0.2, 1.0]);
        let min = rng.pick(&[0, 1, 10]);
        let bank = rng.pick(&[0, 100, 1_000, 5_000]);
        let (hedge, delay, seconds) = (rng.chance(50), rng.pick(&[0, 5, 300]), rng.pick(&[3, 20]));
        let max_retries = rng.pick(&[1, 3]);
        let idle = rng.pick(&[0, 0, 60]);
        Self { seed, per_second, seconds, idle, ratio, min, bank, hedge, delay, max_retries }
    }

    fn stack(&self, attempts: &Attempts) -> BoxService<Http> {
        let ratio = Ratio::new(self.ratio).expect("sim: between 0 and 1");
        let bank = Duration::from_millis(self.bank);
        let budget = Budget::new().ratio(ratio).min_per_second(self.min).bank(bank);
        let mut service = load::failing(attempts, Duration::from_millis(self.delay));
        if self.hedge {
            let layer = HedgeLayer::http().body(boxed).delay(Duration::from_millis(20));
            service = layer.max_hedges(2).budget(budget.clone()).layer(service).erase();
        }
        let retry = RetryLayer::http()
            .body(boxed)
            .seed(self.seed)
            .max_retries(self.max_retries)
            // at once: an attempt is paid for when it is decided on, and a delay would blur the spans
            .backoff(Backoff::exponential(Duration::ZERO))
            .budget(budget);
        retry.layer(service).erase()
    }

    /// By how many attempts the worst span is above the bound, and what it was.
    fn excess(&self, extra: &[Instant]) -> (f64, String) {
        let rate = f64::from(self.min).max(self.ratio * self.per_second as f64);
        let (mut worst, mut story) = (0.0, String::new());
        for (first, a) in extra.iter().enumerate() {
            for (last, b) in extra.iter().enumerate().skip(first) {
                let (time, count) = ((*b - *a).as_secs_f64(), (last - first + 1) as f64);
                let banked = (time + self.bank as f64 / 1e3) * rate;
                let bound = banked.max(1.0 + self.ratio + time * rate);
                if count - bound > worst {
                    worst = count - bound;
                    story = format!("{count} in {time:.3} s, {bound:.2} are allowed");
                }
            }
        }
        (worst, story)
    }

    fn describe(&self) -> String {
        let Self { seed, per_second, idle, ratio, min, bank, hedge, delay, .. } = self;
        format!(
            "seed {seed}: rps {per_second} ratio {ratio} min {min} bank {bank} hedge {hedge} delay {delay} idle {idle}"
        )
    }
}

/// Whether all budgets kept their bounds.
pub(crate) fn check(seeds: Range<u64>) -> bool {
    let count = seeds.end - seeds.start;
    let mut broken = 0;
    for seed in seeds {
        watchdog::beat(seed);
        let (outage, attempts) = (Outage::draw(seed), Attempts::default());
        let service = outage.stack(&attempts);
        paused(async {
            clock::sleep(Duration::from_secs(outage.idle)).await;
            load::send(service, outage.per_second, outage.seconds).await;
        });
        let extra = attempts.extra();
        let (excess, story) = outage.excess(&extra);
        if excess > 1.0 {
            broken += 1;
            if broken <= MAX_SEEDS {
                let requests = outage.per_second * outage.seconds;
                println!("{}: {story}, {} extra of {requests}", outage.describe(), extra.len());
            }
        }
    }
    println!("budgets: {broken} of {count} over the bound by more than one attempt");
    broken == 0
}
