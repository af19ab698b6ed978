//! Endpoints that fail: how fast the traffic goes elsewhere, and how it comes back.

use crate::support::{ms, now, sleep};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_failover::balance::{BalanceLayer, Endpoint, Endpoints};

/// J10
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_in_a_millisecond_gets_next_to_nothing() {
    let counts = Arc::new(Mutex::new([0_u32; 3]));
    let set: Endpoints<_> = (0..3)
        .map(|index| {
            let counts = counts.clone();
            let service = service_fn(move |(): ()| {
                let counts = counts.clone();
                async move {
                    counts.lock().unwrap()[index] += 1;
                    sleep(if index == 0 { ms(1) } else { ms(10) }).await;
                    if index == 0 { Err(BoxError::from("broken")) } else { Ok(()) }
                }
            });
            Endpoint::new(index.to_string(), service)
        })
        .collect();
    let balance = BalanceLayer::plain().layer(set.clone());
    let started = now();
    for call in 0..1_050 {
        if call == 50 {
            *counts.lock().unwrap() = [0; 3];
        }
        let mut clone = balance.clone();
        let _ = clone.ready().await.unwrap().call(()).await;
        tokio::time::advance(Duration::ZERO).await;
    }
    println!("{:?} after {:?}\n{:#?}", counts.lock().unwrap(), started.elapsed(), set.snapshot());
    assert!(counts.lock().unwrap()[0] < 20);
}
