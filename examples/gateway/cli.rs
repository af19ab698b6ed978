//! The command line.

use super::units::{TimeOrOff, duration, percent, size, some_time, time_or_off};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderValue, Uri};
use clap::Parser;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;
use tower_failover::Ratio;
use tower_failover::hedge::{Delay, Percentile};

/// A reverse proxy that keeps answering while the servers behind it fail.
///
/// Each request goes to the endpoint that will serve it best; where that one fails, it goes to
/// another, as far as the request may be sent twice and the budget allows. Endpoints that fail get no
/// more than trials until they are well. What is going on is shown at /_failover/ (a page) and
/// /_failover/status (JSON) of the same address: keep both from the public if it can reach it.
#[derive(Clone, Debug, Parser)]
#[command(name = "gateway")]
pub(crate) struct Args {
    /// Address to listen on; with port 0 the system chooses one, which is printed
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// Endpoint to send requests to, once for each: NAME=http://HOST:PORT[,weight=1][,tier=0]
    ///
    /// The weight is its share among healthy endpoints of its tier. Tier 1 takes over what tier 0
    /// can't carry, and so on.
    #[arg(long = "endpoint", value_name = "ENDPOINT", required = true, value_parser = EndpointArg::parse)]
    pub(crate) endpoints: Vec<EndpointArg>,

    /// Attempts that a request gets beside the first; 0 for none
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) max_retries: u32,

    /// Time in which an endpoint has to begin its answer, with a status and headers, before another one
    /// is asked
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = some_time)]
    pub(crate) attempt_timeout: Duration,

    /// Time in which an endpoint has to accept the connection; one that has not can't have seen the
    /// request, which then goes elsewhere whatever it is
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = some_time)]
    pub(crate) connect_timeout: Duration,

    /// Time in which an answer has to begin, all attempts together; then it is a 504
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    pub(crate) total_timeout: Duration,

    /// Retries that all requests together may add, as a share of the requests; 10 a second are
    /// always allowed
    #[arg(long, value_name = "PERCENT", default_value = "20%", value_parser = percent)]
    pub(crate) budget: Ratio,

    /// When a second endpoint is asked beside one that has not begun its answer: after a TIME, or after
    /// the time in which pNN percent of the answers of late have begun, or `off`
    ///
    /// Only requests that may be sent twice are, and at most 5 % of all; the first good answer counts.
    #[arg(long, value_name = "pNN|TIME|off", default_value = "p95", value_parser = HedgeArg::parse)]
    pub(crate) hedge: HedgeArg,

    /// Time in which an answer has to have its first frame, from the beginning of the attempt; one of
    /// server-sent events, its first event with data
    ///
    /// Otherwise the request goes elsewhere, if it may be sent twice. The last attempt that it can get
    /// has no such limit.
    #[arg(long, value_name = "TIME|off", default_value = "off", value_parser = time_or_off)]
    pub(crate) first_frame: TimeOrOff,

    /// An answer whose first server-sent event is of this type has failed; may be given several times
    ///
    /// The request goes elsewhere, if it may be sent twice. Answers of server-sent events are then held
    /// until their first event, and for that the total timeout counts.
    ///
    /// [default: none]
    #[arg(long, value_name = "EVENT")]
    pub(crate) sse_error: Vec<String>,

    /// Time for which the body of an answer may be silent while its reader waits; then it is broken off
    #[arg(long, value_name = "TIME|off", default_value = "off", value_parser = time_or_off)]
    pub(crate) stall: TimeOrOff,

    /// Failures in a row after which an endpoint is ejected, and gets nothing but trials
    ///
    /// [default: 3]
    #[arg(long, value_name = "N")]
    pub(crate) eject_after: Option<NonZeroU32>,

    /// Ask this path of each endpoint how it is: PATH[,interval=1s][,timeout=500ms]
    ///
    /// After three answers in a row that are no 2xx it gets no requests, until two are; at a 401 or
    /// 403 it gets none at once
    ///
    /// [default: no probes, as real requests tell it]
    #[arg(long, value_name = "PROBE", value_parser = ProbeArg::parse)]
    pub(crate) probe: Option<ProbeArg>,

    /// Take every request for repeatable, POST and PATCH too
    ///
    /// [default: only idempotent methods, and requests with an Idempotency-Key]
    #[arg(long)]
    pub(crate) retry_post: bool,

    /// Length up to which the body of a request is kept for a retry; a longer one is sent once
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = size)]
    pub(crate) replay_limit: usize,

    /// Send endpoints the Host that the caller asked for
    ///
    /// [default: the host and port of the endpoint]
    #[arg(long)]
    pub(crate) keep_host: bool,

    /// Believe the X-Forwarded-* headers of callers, and add to them: for use behind another proxy
    ///
    /// [default: they are replaced by what is seen here]
    #[arg(long)]
    pub(crate) trust_forwarded: bool,

    /// Time that running requests have after a SIGTERM
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) drain_timeout: Duration,

    /// Threads that serve requests
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) threads: NonZeroU32,
}

impl Args {
    /// Says what is wrong with the arguments taken together.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut names = HashSet::new();
        match self.endpoints.iter().find(|endpoint| !names.insert(&endpoint.name)) {
            Some(twice) => Err(format!("two endpoints are named `{}`", twice.name)),
            None => Ok(()),
        }
    }
}

/// An endpoint, as it is written on the command line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EndpointArg {
    pub(crate) name: String,
    pub(crate) authority: Authority,
    /// The same, as a header.
    pub(crate) host: HeaderValue,
    pub(crate) weight: f64,
    pub(crate) tier: u8,
}

impl EndpointArg {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, rest) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty() && !name.contains([',', '/', ':']))
            .ok_or("it starts with a name: NAME=http://HOST:PORT")?;
        let mut parts = rest.split(',');
        let (authority, host) = base(parts.next().unwrap_or_default())?;
        let mut endpoint = Self { name: name.into(), authority, host, weight: 1.0, tier: 0 };
        for (key, value) in parts.map(setting) {
            match key {
                "weight" => endpoint.weight = weight(value)?,
                "tier" => {
                    endpoint.tier = value
                        .parse()
                        .map_err(|_| format!("`{value}` is no tier: it is between 0 and 255"))?;
                }
                _ => return Err(format!("there is no `{key}`: there are weight and tier")),
            }
        }
        Ok(endpoint)
    }

    /// Where it is, for people.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }
}

/// When to ask a second endpoint, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum HedgeArg {
    Off,
    After(Delay),
}

impl HedgeArg {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let delay = match text.strip_prefix('p') {
            Some(number) => Percentile::new(percent(&format!("{number}%"))?).into(),
            None => some_time(text)?.into(),
        };
        Ok(Self::After(delay))
    }
}

/// A check of the endpoints, as it is written on the command line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProbeArg {
    pub(crate) path: PathAndQuery,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

impl ProbeArg {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let path = parts.next().unwrap_or_default();
        let path = path.parse().ok().filter(|_| path.starts_with('/'));
        let path = path.ok_or("it begins with a path: /healthz")?;
        let interval = Duration::from_secs(1);
        let timeout = Duration::from_millis(500);
        let mut probe = Self { path, interval, timeout };
        for (key, value) in parts.map(setting) {
            match key {
                "interval" => probe.interval = some_time(value)?,
                "timeout" => probe.timeout = some_time(value)?,
                _ => return Err(format!("there is no `{key}`: there are interval and timeout")),
            }
        }
        Ok(probe)
    }
}

fn setting(part: &str) -> (&str, &str) {
    part.split_once('=').unwrap_or((part, ""))
}

fn weight(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(weight) if weight > 0.0 && f64::is_finite(weight) => Ok(weight),
        _ => Err(format!("`{text}` is no weight: it is a number above zero")),
    }
}

/// The host and port of a URL that has nothing else.
fn base(url: &str) -> Result<(Authority, HeaderValue), String> {
    let wrong = |why: &str| format!("`{url}` {why}: write one like http://127.0.0.1:9001");
    let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
    if uri.scheme() != Some(&Scheme::HTTP) {
        return Err(wrong("is not of the scheme http, which is all that is spoken here"));
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(wrong("has a path, and those of the requests are kept as they are"));
    }
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
    let authority = authority.ok_or_else(|| wrong("needs a host, and no user"))?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("is no URL"))?;
    Ok((authority.clone(), host))
}
