//! What can be written on the command line, and what is said of what can't.

#[path = "../../../examples/gateway/cli.rs"]
mod cli;
#[path = "../../../examples/gateway/units.rs"]
mod units;

use super::program;
use crate::kit::{ms, secs};
use axum::http::uri::PathAndQuery;
use clap::Parser;
use cli::{Args, EndpointArg, HedgeArg, ProbeArg};
use std::process::Command;
use tower_failover::Ratio;
use tower_failover::hedge::Percentile;

const ONE: &str = "a=http://127.0.0.1:9001";

#[test]
fn times_have_a_number_and_a_unit() {
    for (text, time) in [
        ("500ms", ms(500)),
        ("1s", secs(1)),
        ("1.5s", ms(1500)),
        ("2m", secs(120)),
        ("1h", secs(3600)),
        ("0s", secs(0)),
    ] {
        assert_eq!(units::duration(text), Ok(time), "{text}");
    }
    let huge = format!("{}s", "9".repeat(400));
    for text in ["", "1", "s", "1 s", "-1s", "1.2.3s", "1e3s", "5d", "NaNs", "infs", &huge] {
        let error = units::duration(text).unwrap_err();
        assert!(error.contains("write one like 500ms"), "{error}");
    }
    assert_eq!(units::some_time("0ms"), Err("it must be longer than zero".into()));
}

#[test]
fn a_limit_is_a_time_or_off() {
    assert_eq!(units::time_or_off("off"), Ok(None));
    assert_eq!(units::time_or_off("1.5s"), Ok(Some(ms(1_500))));
    for text in ["0s", "on", "5", ""] {
        assert!(units::time_or_off(text).is_err(), "{text}");
    }
}

#[test]
fn sizes_are_bytes_unless_they_say_otherwise() {
    for (text, bytes) in [
        ("0", 0),
        ("65536", 65_536),
        ("10B", 10),
        ("64kB", 64_000),
        ("64KiB", 65_536),
        ("1.5KiB", 1_536),
        ("1MB", 1_000_000),
        ("1MiB", 1_048_576),
        ("1GiB", 1_073_741_824),
    ] {
        assert_eq!(units::size(text), Ok(bytes), "{text}");
    }
    let huge = format!("{}GiB", "9".repeat(400));
    for text in ["", "KiB", "64K", "64 KiB", "-1", "1e3", "0x10", &huge] {
        assert!(units::size(text).is_err(), "{text}");
    }
}

#[test]
fn shares_are_percent_up_to_a_hundred() {
    for (text, share) in [("0%", 0.0), ("20%", 0.2), ("12.5%", 0.125), ("100%", 1.0)] {
        assert_eq!(units::percent(text), Ok(Ratio::new(share).unwrap()), "{text}");
    }
    for text in ["", "%", "20", "0.2", "101%", "-1%", "20 %"] {
        assert!(units::percent(text).is_err(), "{text}");
    }
}

#[test]
fn an_endpoint_has_a_name_an_address_and_settings() {
    let endpoint = EndpointArg::parse(ONE).unwrap();
    assert_eq!((&*endpoint.name, &*endpoint.url()), ("a", "http://127.0.0.1:9001"));
    assert_eq!((endpoint.weight, endpoint.tier), (1.0, 0));
    let endpoint = EndpointArg::parse("b-2=http://[::1]:9002/,weight=2.5,tier=1").unwrap();
    assert_eq!((&*endpoint.name, &*endpoint.url()), ("b-2", "http://[::1]:9002"));
    assert_eq!((endpoint.weight, endpoint.tier), (2.5, 1));
}

#[test]
fn a_wrong_endpoint_is_told_what_is_wrong() {
    for (text, why) in [
        ("http://127.0.0.1:9001", "starts with a name"),
        ("=http://127.0.0.1:9001", "starts with a name"),
        ("a", "starts with a name"),
        ("a=127.0.0.1:9001", "http"),
        ("a=https://127.0.0.1:9001", "scheme http"),
        ("a=http://127.0.0.1:9001/api", "has a path"),
        ("a=http://127.0.0.1:9001?x", "has a path"),
        ("a=http://user@127.0.0.1:9001", "no user"),
        ("a=http://127.0.0.1:9001,weight=0", "no weight"),
        ("a=http://127.0.0.1:9001,weight=-1", "no weight"),
        ("a=http://127.0.0.1:9001,weight=NaN", "no weight"),
        ("a=http://127.0.0.1:9001,weight=inf", "no weight"),
        ("a=http://127.0.0.1:9001,weight", "no weight"),
        ("a=http://127.0.0.1:9001,tier=256", "no tier"),
        ("a=http://127.0.0.1:9001,color=red", "no `color`"),
    ] {
        let error = EndpointArg::parse(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn a_hedge_is_after_a_time_a_percentile_or_never() {
    let percentile = |share| HedgeArg::After(Percentile::new(Ratio::new(share).unwrap()).into());
    for (text, hedge) in [
        ("off", HedgeArg::Off),
        ("50ms", HedgeArg::After(ms(50).into())),
        ("p95", percentile(0.95)),
        ("p99.5", percentile(0.995)),
    ] {
        assert_eq!(HedgeArg::parse(text), Ok(hedge), "{text}");
    }
    for text in ["", "p", "p101", "p-1", "95", "p95%", "0ms", "on", "P95"] {
        assert!(HedgeArg::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_probe_has_a_path_and_its_times() {
    let path = PathAndQuery::from_static("/healthz");
    let probe = |interval, timeout| ProbeArg { path: path.clone(), interval, timeout };
    assert_eq!(ProbeArg::parse("/healthz"), Ok(probe(secs(1), ms(500))));
    let all = "/healthz,interval=2s,timeout=100ms";
    assert_eq!(ProbeArg::parse(all), Ok(probe(secs(2), ms(100))));
    for text in ["", "healthz", "/a b", "/x,interval=0s", "/x,timeout=1", "/x,often=1s"] {
        assert!(ProbeArg::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_defaults_are_those_of_the_crate() {
    let args = Args::try_parse_from(["gateway", "--endpoint", ONE]).unwrap();
    assert_eq!(args.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!((args.max_retries, args.replay_limit), (2, 65_536));
    assert_eq!((args.attempt_timeout, args.total_timeout), (secs(1), secs(10)));
    assert_eq!(args.budget, Ratio::percent::<20>());
    assert_eq!((args.eject_after, args.probe, args.retry_post), (None, None, false));
    assert_eq!(args.hedge, HedgeArg::After(Percentile::default().into()));
    assert_eq!((args.first_frame, args.stall), (None, None));
    assert!(args.sse_error.is_empty());
}

#[test]
fn two_endpoints_of_one_name_are_refused() {
    let twice = Args::try_parse_from(["gateway", "--endpoint", ONE, "--endpoint", ONE]).unwrap();
    assert_eq!(twice.check(), Err("two endpoints are named `a`".into()));
}

#[test]
fn a_gateway_without_endpoints_does_not_start() {
    let ended = Command::new(program()).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(said.contains("--endpoint"), "{said}");
}

#[test]
fn an_address_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let ended = Command::new(program()).args(["--listen", &addr, "--endpoint", ONE]).output();
    let ended = ended.unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(said.contains(&format!("can't listen on {addr}")), "{said}");
}

#[test]
fn help_explains_every_option_with_its_default() {
    let ended = Command::new(program()).arg("--help").output().unwrap();
    let help = String::from_utf8(ended.stdout).unwrap();
    let options: Vec<_> = help.split("\n      --").skip(1).collect();
    assert!(options.len() >= 14, "{help}");
    for option in options {
        let needed = option.starts_with("endpoint ");
        assert!(needed || option.contains("[default: "), "no default: --{option}");
    }
}
