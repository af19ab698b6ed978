//! Three servers that stream tokens as model providers do, of which some fail after their 200, and what
//! the readers behind one service see of it: whole answers.
//!
//! ```sh
//! cargo run --features full --example streaming
//! ```
//!
//! All requests take the same way: retry, hedge, balance, and for each endpoint its address, a timeout
//! for one attempt, stall, first frame, and hyper-util's client. In the first scene all are well, until one
//! server says 200 and is silent, and one says 200 and tells of an error; in the second all are slow now and then.
//! Both are played without hedging and with it.

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{Request, Response, Uri};
use axum::routing::post;
use axum::serve::ListenerExt;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::convert::Infallible;
use std::future::IntoFuture;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use tower::util::{BoxCloneService, BoxCloneSyncService};
use tower::{ServiceBuilder, ServiceExt};
use tower_failover::balance::{BalanceLayer, Endpoint, Endpoints};
use tower_failover::first_frame::{Event, FirstFrameBody, FirstFrameLayer, Verdict};
use tower_failover::hedge::HedgeLayer;
use tower_failover::retry::RetryLayer;
use tower_failover::stall::{StallBody, StallLayer};
use tower_failover::{BoxError, Outcome};

/// How far apart requests are.
const PACE: Duration = Duration::from_millis(6);
/// How long a server thinks before its first token, and before each of the others.
const THINKING: Duration = Duration::from_millis(20);
const TOKEN: Duration = Duration::from_millis(2);
/// How long it thinks now and then: once in so many requests.
const SLOW: Duration = Duration::from_millis(300);
const ONCE_IN: usize = 40;
/// The prompts that a server answers before it fails.
const WELL_AT_FIRST: usize = 60;
/// After which time another server is asked as well.
const HEDGE_AFTER: Duration = Duration::from_millis(80);
/// The time for a first token, after which the attempt has failed.
const FIRST_TOKEN: Duration = Duration::from_millis(500);

const PATH: &str = "/v1/chat/completions";
const SERVED_BY: HeaderName = HeaderName::from_static("served-by");
const TOKENS: [&str; 6] = ["Three", " of", " us", " never", " fail", " together"];

type EndpointBody = StallBody<FirstFrameBody<Incoming>>;
type EndpointService = BoxCloneSyncService<Request<Body>, Response<EndpointBody>, BoxError>;
type Stack = BoxCloneService<Request<Body>, Response<Body>, BoxError>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // an answer that does not come is a failure too
    timeout(Duration::from_secs(18), run()).await?
}

async fn run() -> Result<(), BoxError> {
    println!("{:<31}{:>28}", "", "time to first token, in ms");
    println!(
        "{:<22}{:<9}{:>7}{:>7}{:>7}{:>7}   retries  hedges   answered by",
        "", "hedging", "p50", "p95", "p99", "max"
    );
    let faulty = [("a", Mood::Stalls), ("b", Mood::Errs), ("c", Mood::Well)];
    let alone = play("a stalls, b errs", faulty, false, 400).await?;
    let hedged = play("a stalls, b errs", faulty, true, 400).await?;
    for name in ["a", "b"] {
        let well = alone.served_by(name).max(hedged.served_by(name));
        assert!(well <= WELL_AT_FIRST, "what failed was answered by another one");
    }
    assert!(
        hedged.first_token(0.99) < alone.first_token(0.99),
        "hedges wait for less than the time limit"
    );
    let slow = ["a", "b", "c"].map(|name| (name, Mood::SlowNowAndThen));
    let alone = play("all slow now and then", slow, false, 400).await?;
    let hedged = play("all slow now and then", slow, true, 400).await?;
    for name in ["a", "b", "c"] {
        assert!(alone.served_by(name) > 0 && hedged.served_by(name) > 0, "each has its share");
    }
    assert!(alone.first_token(0.99) >= SLOW, "some had to wait");
    assert!(hedged.first_token(0.99) < alone.first_token(0.99), "with hedging, fewer had to");
    println!("\nEvery answer was whole, and no reader saw a byte of one that had failed.");
    Ok(())
}

/// Sends requests at an even pace to new servers; prints what their readers saw.
async fn play(
    scene: &str,
    servers: [(&'static str, Mood); 3],
    hedging: bool,
    requests: usize,
) -> Result<Played, BoxError> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut endpoints = Vec::new();
    for (name, mood) in servers {
        endpoints.push(Endpoint::new(name, service(serve(name, mood).await?, &client)));
    }
    let endpoints: Endpoints<_> = endpoints.into_iter().collect();

    // a prompt may be answered twice, which costs tokens and does no harm; only so may a POST be repeated
    // after a failure, or be at two servers at once
    let (retry, retries) = RetryLayer::http().idempotent([PATH]).body(Body::new).with_handle();
    let (hedge, hedges) = HedgeLayer::http()
        .idempotent([PATH])
        .max_hedges(u32::from(hedging))
        .delay(HEDGE_AFTER)
        .body(Body::new)
        .with_handle();
    let stack: Stack = ServiceBuilder::new()
        .layer(retry)
        .layer(hedge)
        .layer(BalanceLayer::http())
        .service(endpoints)
        .map_response(|answer| answer.map(Body::new))
        .boxed_clone();

    let (mut calls, mut pace) = (JoinSet::new(), interval(PACE));
    for _ in 0..requests {
        pace.tick().await;
        calls.spawn(ask(stack.clone()));
    }
    let mut answers = Vec::new();
    while let Some(answer) = calls.join_next().await {
        answers.push(answer??);
    }
    answers.sort_unstable_by_key(|answer| answer.first_token);
    let played = Played { answers, hedges: hedges.snapshot().hedges };

    let [p50, p95, p99, max] =
        [0.5, 0.95, 0.99, 1.0].map(|share| played.first_token(share).as_secs_f64() * 1_000.0);
    let shares: Vec<_> =
        servers.iter().map(|(name, _)| format!("{} {name}", played.served_by(name))).collect();
    println!(
        "{scene:<22}{:<9}{p50:>7.0}{p95:>7.0}{p99:>7.0}{max:>7.0}{:>10}{:>8}   {}",
        if hedging { "on" } else { "off" },
        retries.snapshot().retries,
        played.hedges,
        shares.join(", ")
    );
    Ok(played)
}

/// What stands for one endpoint.
fn service(uri: Uri, client: &Client<HttpConnector, Body>) -> EndpointService {
    let first_frame = FirstFrameLayer::http().timeout(FIRST_TOKEN).events(|event: Event<'_>| {
        match &*event.event() {
            // it has said that it did nothing
            "error" if event.data().contains("overloaded") => Verdict::Reject(Outcome::Refused),
            "error" => Verdict::Reject(Outcome::Failure),
            _ => Verdict::Commit,
        }
    });
    let stall = StallLayer::http().idle(Duration::from_secs(2));
    let service = ServiceBuilder::new()
        .map_request(move |mut request: Request<Body>| {
            *request.uri_mut() = uri.clone();
            request
        })
        .timeout(Duration::from_secs(2))
        .layer(stall)
        .layer(first_frame)
        .service(client.clone());
    BoxCloneSyncService::new(service)
}

/// What one reader saw.
struct Answer {
    first_token: Duration,
    served_by: String,
}

/// Sends one prompt and reads its answer, as it comes.
async fn ask(stack: Stack) -> Result<Answer, BoxError> {
    let prompt = r#"{"stream":true,"messages":[{"role":"user","content":"Why three?"}]}"#;
    let request = Request::post(PATH).header(CONTENT_TYPE, "application/json");
    let asked = now();
    let answer = stack.oneshot(request.body(Body::from(prompt))?).await?;
    let served_by = answer.headers()[SERVED_BY].to_str()?.to_owned();
    let mut body = answer.into_body();
    let (mut read, mut first_token) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        first_token.get_or_insert_with(|| asked.elapsed());
        read.extend(frame?.into_data().unwrap_or_default());
    }
    let whole: String = events().collect();
    assert_eq!(String::from_utf8(read)?, whole, "only good bytes, and all of them");
    Ok(Answer { first_token: first_token.ok_or("an empty answer")?, served_by })
}

/// What became of the requests of a scene.
struct Played {
    /// By the time to their first token.
    answers: Vec<Answer>,
    hedges: u64,
}

impl Played {
    /// The time in which this share of the answers had their first token.
    fn first_token(&self, share: f64) -> Duration {
        let rank = (share * self.answers.len() as f64).ceil() as usize;
        self.answers[rank.saturating_sub(1)].first_token
    }

    fn served_by(&self, name: &str) -> usize {
        self.answers.iter().filter(|answer| answer.served_by == name).count()
    }
}

#[derive(Clone, Copy)]
enum Mood {
    Well,
    SlowNowAndThen,
    /// Says 200 and a comment, and nothing more; after a while in which it is well.
    Stalls,
    /// Says 200, and then that it can't answer; after a while in which it is well.
    Errs,
}

/// Starts a server on a loopback port, and returns where it answers prompts.
async fn serve(name: &'static str, mood: Mood) -> Result<Uri, BoxError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let uri = format!("http://{}{PATH}", listener.local_addr()?).parse()?;
    let prompts = Arc::new(AtomicUsize::new(1));
    let handler = post(move |_prompt: Bytes| async move {
        let body = answer(mood, prompts.fetch_add(1, Relaxed));
        ([(CONTENT_TYPE, "text/event-stream"), (SERVED_BY, name)], body)
    });
    // a token waits for no others
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::spawn(axum::serve(listener, Router::new().route(PATH, handler)).into_future());
    Ok(uri)
}

/// The body of the answer to the prompt of this number, in the format that model providers use.
fn answer(mood: Mood, number: usize) -> Body {
    const ERROR: &str = "event: error\ndata: {\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    let thinks = match mood {
        Mood::SlowNowAndThen if number % ONCE_IN == 0 => SLOW,
        Mood::Well | Mood::SlowNowAndThen => THINKING,
        Mood::Errs | Mood::Stalls if number <= WELL_AT_FIRST => THINKING,
        Mood::Errs => return streamed(stream::iter([ERROR.to_owned()])),
        Mood::Stalls => {
            let comment = stream::iter([": the queue is long\n\n".to_owned()]);
            return streamed(comment.chain(stream::pending()));
        }
    };
    let pauses = [thinks].into_iter().chain([TOKEN; TOKENS.len()]);
    streamed(stream::iter(pauses.zip(events())).then(|(pause, event)| async move {
        work(pause).await;
        event
    }))
}

/// The events of a whole answer.
fn events() -> impl Iterator<Item = String> {
    let chunk = |token: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{token}\"}}}}]}}\n\n")
    };
    TOKENS.map(chunk).into_iter().chain(["data: [DONE]\n\n".to_owned()])
}

fn streamed(events: impl futures_util::Stream<Item = String> + Send + 'static) -> Body {
    Body::from_stream(events.map(Ok::<_, Infallible>))
}

#[expect(clippy::disallowed_methods, reason = "what is shown is real time")]
async fn work(time: Duration) {
    sleep(time).await;
}

#[expect(clippy::disallowed_methods, reason = "what is shown is real time")]
fn now() -> Instant {
    Instant::now()
}
