//! The page in a headless Chromium; run by `.ci/deep`, which installs one.

use super::backend::{Backend, load};
use super::*;
use crate::kit::secs;
use axum::response::Html;
use axum::routing::get;
use std::path::Path;

const NAMES: [&str; 4] = ["a", "b", "c", "backup"];

/// Opens a page, and returns what Chromium prints.
async fn chromium(options: &[&str], url: String) -> String {
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command.args(options).arg(url).stdin(Stdio::null()).stderr(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    String::from_utf8(ended.expect("chromium is installed").stdout).unwrap()
}

/// Three servers and a backup behind a gateway.
fn servers() -> (Gateway, [Backend; 4]) {
    let backends = NAMES.map(|_| Backend::start());
    let [a, b, c, backup] = backends.each_ref().map(|backend| backend.addr);
    let options = [
        "--endpoint".to_owned(),
        format!("b=http://{b},weight=2"),
        format!("--endpoint=c=http://{c}"),
        format!("--endpoint=backup=http://{backup},tier=1"),
        // one that fails is avoided at once, and so has its third failure in a row only after seconds
        "--eject-after=1".to_owned(),
    ];
    (Gateway::start(&[a], &options.each_ref().map(String::as_str)), backends)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium"]
async fn the_page_shows_the_endpoints() {
    bounded(async {
        let (gateway, backends) = servers();
        backends[2].fails(true).await;
        load(gateway.addr, secs(1)).await;
        let url = format!("http://{}/_failover/", gateway.addr);
        let page = chromium(&["--virtual-time-budget=3000", "--dump-dom"], url).await;
        let shown = |text: &str| assert!(page.contains(text), "no {text} in\n{page}");
        for (name, backend) in NAMES.into_iter().zip(&backends) {
            shown(&format!("<span class=\"name\">{name}</span>"));
            shown(&format!("http://{}", backend.addr));
        }
        shown("3 of 4 endpoints are available; c is ejected.");
        shown("200 in all");
        shown("data-state=\"ejected\"");
        shown("Tier 1, backup");
        assert!(!page.contains("class=\"lost\"") && !page.contains("NaN"), "{page}");
    })
    .await;
}

/// Takes the picture that is kept beside the example:
///
/// ```sh
/// TOWER_FAILOVER_PICTURE=examples/gateway/status.png cargo test --all-features --test it \
///     -- --ignored --exact gateway::browser::a_picture_is_taken
/// ```
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium, and most of a minute"]
async fn a_picture_is_taken() {
    let Ok(path) = env::var("TOWER_FAILOVER_PICTURE") else { return };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let (gateway, backends) = servers();
    let under_load = tokio::spawn(load(gateway.addr, secs(45)));
    let slow = slow_page(gateway.addr, secs(40)).await;
    let picture = format!("--screenshot={}", path.display());
    let options = [&picture, "--window-size=1080,900", "--timeout=60000"];
    let broken = async {
        sleep(secs(25)).await;
        backends[2].fails(true).await;
    };
    tokio::join!(chromium(&options, format!("http://{}/_failover/", slow.addr)), broken);
    under_load.await.unwrap();
    assert!(path.exists());
}

/// The page of a gateway, which is loaded to its end only after some time: what a screenshot waits for.
async fn slow_page(gateway: SocketAddr, time: std::time::Duration) -> Server {
    let of_gateway = move |path| async move { ask(gateway, Request::get(path)).await.into_body() };
    let page =
        move || async move { Html(of_gateway("/_failover/").await + "<img alt='' src='/loaded'>") };
    let router = Router::new()
        .route("/_failover/", get(page))
        .route("/_failover/status", get(move || of_gateway("/_failover/status")))
        .route("/loaded", get(move || sleep(time)));
    Server::axum(router).await
}
