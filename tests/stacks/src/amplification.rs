//! How attempts add up in an outage where several tiers retry.

use crate::execute::paused;
use crate::family::{BoxService, Erase, Http, boxed};
use crate::load::{self, Attempts};
use std::time::Duration;
use tower_failover::balance::{BalanceLayer, Endpoint, Endpoints};
use tower_failover::hedge::HedgeLayer;
use tower_failover::retry::RetryLayer;
use tower_layer::Layer;

const PER_SECOND: u64 = 100;
const SECONDS: u64 = 20;

#[derive(Clone, Copy)]
struct Setting {
    hedge: bool,
    /// Tiers are processes of their own, which see nothing of each other.
    apart: bool,
    budget: bool,
}

/// Prints the attempts per request, with one to three tiers.
pub(crate) fn print() {
    println!(
        "attempts at the end for each request, all endpoints failing, {PER_SECOND} a second for {SECONDS} s"
    );
    println!("(and beside it the largest number of attempts of one request)");
    for hedge in [false, true] {
        for apart in [false, true] {
            for budget in [true, false] {
                print!("hedge {hedge}, separate processes {apart}, budgets {budget}:");
                for depth in 1..=3 {
                    let attempts = Attempts::default();
                    let setting = Setting { hedge, apart, budget };
                    paused(async {
                        load::send(tier(depth, &attempts, setting), PER_SECOND, SECONDS).await;
                    });
                    let each = attempts.count() as f64 / (PER_SECOND * SECONDS) as f64;
                    print!("  {depth} tiers {each:.3} ({})", attempts.most());
                }
                println!();
            }
        }
    }
}

/// Retries over a balancer of three endpoints, each of which is the next tier.
fn tier(depth: u32, attempts: &Attempts, setting: Setting) -> BoxService<Http> {
    let endpoints: Endpoints<BoxService<Http>> = Endpoints::new();
    for n in 0..3 {
        let inner = match depth {
            1 => load::failing(attempts, Duration::from_millis(5)),
            _ => tier(depth - 1, attempts, setting),
        };
        let inner = if setting.apart && depth > 1 { load::wall(inner) } else { inner };
        endpoints.insert(Endpoint::new(format!("e{n}"), inner));
    }
    let mut service = BalanceLayer::http().seed(depth.into()).layer(endpoints).erase();
    if setting.hedge {
        let layer = HedgeLayer::http().body(boxed).delay(Duration::from_millis(2)).max_hedges(1);
        let layer = if setting.budget { layer } else { layer.no_budget() };
        service = layer.layer(service).erase();
    }
    let layer = RetryLayer::http().body(boxed).seed(depth.into());
    let layer = if setting.budget { layer } else { layer.no_budget() };
    layer.layer(service).erase()
}
