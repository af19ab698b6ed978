//! What of a request and its answer is for the next hop only, and what a hop adds.

use axum::http::header::{
    CONNECTION, COOKIE, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, Request, Response, Version};
use std::net::IpAddr;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HTTP: HeaderValue = HeaderValue::from_static("http");

/// Headers that belong to one connection, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Makes of a request that came from `peer` what any endpoint may be sent.
pub(crate) fn forward<B>(request: &mut Request<B>, peer: IpAddr, trusted: bool) {
    if request.version() == Version::HTTP_2 {
        join_cookies(request.headers_mut());
    }
    *request.version_mut() = Version::HTTP_11;
    // what the server left there is about its own connection
    request.extensions_mut().clear();
    remove_hop_by_hop(request.headers_mut());

    // an absolute target outranks the header
    let asked = request.uri().authority();
    let host = asked.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let host = host.or_else(|| request.headers().get(HOST).cloned());
    let headers = request.headers_mut();
    if !trusted {
        for name in [FORWARDED, FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO] {
            headers.remove(name);
        }
    }
    let hops = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let hops = hops.map(str::to_owned).chain([peer.to_string()]).collect::<Vec<_>>().join(", ");
    if let Ok(hops) = HeaderValue::from_str(&hops) {
        headers.insert(FORWARDED_FOR, hops);
    }
    if let Some(host) = host {
        headers.entry(FORWARDED_HOST).or_insert_with(|| host.clone());
        headers.insert(HOST, host);
    }
    headers.entry(FORWARDED_PROTO).or_insert(HTTP);
}

/// Makes of an endpoint's answer what the caller may be sent.
pub(crate) fn give_back<B>(answer: &mut Response<B>) {
    *answer.version_mut() = Version::HTTP_11;
    answer.extensions_mut().clear();
    remove_hop_by_hop(answer.headers_mut());
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        let names = values.flat_map(|value| value.split(','));
        let named: Vec<HeaderName> = names.filter_map(|name| name.trim().parse().ok()).collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// HTTP/2 may split what HTTP/1.1 has in one header.
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1 {
        if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}
