//! A reverse proxy with the whole stack, configured on the command line.
//!
//! ```sh
//! cargo run --release --features full --example gateway -- \
//!     --endpoint a=http://127.0.0.1:9001 --endpoint b=http://127.0.0.1:9002,weight=2 \
//!     --endpoint backup=http://127.0.0.1:9003,tier=1
//! ```
//!
//! Then open <http://127.0.0.1:8080/_failover/>; `--help` explains every option.
//!
//! It speaks HTTP/1.1 to the endpoints, and to callers HTTP/2 as well. Bodies are streamed both ways;
//! what a retry may need of a request's body is kept up to a limit. Headers that belong to one
//! connection end here, and with them upgrades and the trailers of HTTP/1.1.
//!
//! | answer made here | when |
//! |---|---|
//! | 503, with `Retry-After` | no endpoint is available, or none could be reached |
//! | 504 | none has answered in time |
//! | 502 | the connection broke, and the request could not be sent again |
//!
//! Whatever an endpoint itself answers is passed on, if no other one could do better. An answer that
//! breaks off, or stalls, is broken off for its caller too, and never ended as if it were whole.

mod cli;
mod headers;
mod proxy;
mod serve;
mod status;
mod units;

use clap::Parser;
use cli::Args;
use proxy::OwnAnswers;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tower_failover::BoxError;

fn main() -> ExitCode {
    let args = Args::parse();
    let ended = args.check().map_err(BoxError::from).and_then(|()| {
        let runtime = runtime(&args)?;
        runtime.block_on(run(args))
    });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("gateway: gave up requests that were still running");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One thread needs no other to be woken, which is the shortest way for a request.
fn runtime(args: &Args) -> std::io::Result<Runtime> {
    match args.threads.get() {
        1 => Builder::new_current_thread().enable_all().build(),
        threads => {
            Builder::new_multi_thread().worker_threads(threads as usize).enable_all().build()
        }
    }
}

/// Serves until it is told to stop; tells whether all requests came to their end.
async fn run(args: Args) -> Result<bool, BoxError> {
    let own = Arc::new(OwnAnswers::default());
    let requests = Arc::new(AtomicU64::new(0));
    let endpoints = proxy::endpoints(&args)?;
    if let Some(arg) = &args.probe {
        tokio::spawn(proxy::probe(&endpoints, arg));
    }
    let watched = endpoints.clone();
    let (proxy, handles) = proxy::stack(&args, endpoints, own.clone());
    let own_pages = status::pages(status::Watch {
        endpoints: Box::new(move || watched.snapshot()),
        handles,
        own,
        requests: requests.clone(),
        started: now(),
        urls: status::urls(&args),
    });
    let trust_forwarded = args.trust_forwarded;
    let gateway = serve::Gateway { proxy, own_pages, trust_forwarded, requests };

    let stop = told_to_stop()?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("can't listen on {}: {error}", args.listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(serve::serve(listener, gateway, stop, args.drain_timeout).await)
}

/// Ends with the first SIGTERM or SIGINT.
#[cfg(unix)]
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}

/// Ends with the first Ctrl-C.
#[cfg(not(unix))]
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}

#[expect(clippy::disallowed_methods, reason = "the uptime is real time")]
fn now() -> Instant {
    Instant::now()
}
