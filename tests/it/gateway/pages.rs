//! What the gateway tells of itself.

use super::*;
use axum::http::StatusCode;
use axum::routing::any;
use serde_json::json;

#[tokio::test]
async fn the_status_has_the_numbers_of_each_endpoint_and_of_the_gateway() {
    bounded(async {
        let server = Server::axum(Router::new().fallback(any(|| async { "fine" }))).await;
        let backup = "backup=http://127.0.0.1:1,tier=1,weight=2.5";
        let gateway = Gateway::start(&[server.addr], &["--endpoint", backup]);
        for _ in 0..3 {
            assert_eq!(gateway.get("/x").await.body(), "fine");
        }
        let status = gateway.get("/_failover/status").await;
        assert_eq!(status.headers()["content-type"], "application/json");
        assert_eq!(status.headers()["cache-control"], "no-store");
        let status = gateway.status().await;
        let [one, two] = &status["endpoints"].as_array().unwrap()[..] else { panic!("{status}") };
        let url = format!("http://{}", server.addr);
        for (key, value) in [
            ("name", json!("a")),
            ("url", json!(url)),
            ("tier", json!(0)),
            ("weight", json!(1.0)),
            ("state", json!("available")),
            ("in_flight", json!(0)),
            ("ejected_for_ms", json!(null)),
            ("ejections", json!(0)),
        ] {
            assert_eq!(one[key], value, "{key}: {status}");
        }
        assert_eq!(one["counts"]["successes"], 3, "{status}");
        for outcome in ["failures", "refused", "throttled", "unsuitable", "neutral"] {
            assert_eq!(one["counts"][outcome], 0, "{outcome}: {status}");
        }
        assert!(one["health"].as_f64().unwrap() > 0.9, "{status}");
        assert!(one["latency_ms"].as_f64().unwrap() > 0.0, "{status}");
        assert_eq!((&two["name"], &two["tier"]), (&json!("backup"), &json!(1)));
        assert_eq!((&two["weight"], &two["counts"]["successes"]), (&json!(2.5), &json!(0)));
        let own = &status["gateway"];
        assert_eq!((&own["requests"], &own["retries"]), (&json!(3), &json!(0)), "{status}");
        assert!(own["uptime_s"].as_f64().unwrap() > 0.0, "{status}");
        assert_eq!(own["gave_up"]["out_of_budget"], 0, "{status}");
        assert_eq!(own["answered_here"]["unavailable"], 0, "{status}");
    })
    .await;
}

#[tokio::test]
async fn the_page_is_one_file_that_loads_nothing_from_elsewhere() {
    bounded(async {
        let gateway = Gateway::start(&["127.0.0.1:1".parse().unwrap()], &[]);
        let page = gateway.get("/_failover/").await;
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        let page = page.body();
        let namespaces = page.replace("http://www.w3.org/2000/svg", "");
        for outside in
            ["http://", "https://", "//cdn", "@import", "url(", "<script src", "innerHTML"]
        {
            assert!(!namespaces.contains(outside), "{outside}");
        }
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
        let way = gateway.get("/_failover").await;
        assert_eq!(way.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(way.headers()["location"], "/_failover/");
        assert_eq!(gateway.get("/_failover/else").await.status(), StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn paths_that_only_look_like_the_pages_belong_to_the_endpoints() {
    bounded(async {
        let server = Server::axum(Router::new().fallback(any(|| async { "theirs" }))).await;
        let gateway = Gateway::start(&[server.addr], &[]);
        for path in ["/_failovers", "/_failover.html", "/x/_failover/", "/?/_failover/"] {
            assert_eq!(gateway.get(path).await.body(), "theirs", "{path}");
        }
    })
    .await;
}
