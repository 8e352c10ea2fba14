//! Request targets: from bytes, through `http`'s parser, to a route; and what a backend of other habits makes of what it gets.
#![no_main]

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, Method, Uri};
use libfuzzer_sys::fuzz_target;
use tidegate_proxy::error::Reason;
use tidegate_proxy::model::{Compatibility, Conditions, HostMatch, Origin, PathMatch, RequestFacts, normalize};
use tidegate_proxy::table::{Backend, Host, HostBuilder, Route};

const EXACT: [&str; 4] = ["/", "/a", "/a/", "/{c}/d"];
const PREFIX: [&str; 6] = ["/a", "/a/b", "/a/b/c", "/{c}", "/{*d}", "/\u{e9}"];

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let mut builder = HostBuilder::new(HostMatch::Any, Compatibility::Native);
        let exact = EXACT.map(|path| PathMatch::Exact(path.parse().expect("a path")));
        let prefix = PREFIX.map(|path| PathMatch::Prefix(path.parse().expect("a path")));
        for path in exact.into_iter().chain(prefix) {
            let route = Route {
                origin: Arc::new(Origin::new("Rule", "", &path.to_string())),
                host: HostMatch::Any,
                path: Some(path),
                conditions: Conditions::default(),
                compatibility: Compatibility::Native,
                filters: Box::default(),
                backend: Backend::Unavailable(Reason::NoEndpoints),
                series: Arc::default(),
            };
            builder.add(Arc::new(route)).expect("no two are alike");
        }
        builder.build().expect("a host")
    })
}

/// Reads a path as a backend might that takes `%2F`, `%5C` and `\` for slashes and cuts what stands behind `;`.
fn loosely(path: &str) -> Vec<String> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let escape = (*byte == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    let mut segments: Vec<String> = Vec::new();
    for segment in String::from_utf8_lossy(&bytes).split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment.to_owned()),
        }
    }
    segments
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(uri) = Uri::try_from(bytes) else { return };
    let Ok(path) = normalize(uri.path()) else { return };
    let request = RequestFacts { method: &Method::GET, headers: &HeaderMap::new(), query: uri.query() };
    let found = host().find(&path.path, request);
    let scanned = host().routes.iter().find(|route| route.path.as_ref().is_some_and(|rule| rule.matches(&path.path)));
    assert_eq!(found.map(|route| &route.origin), scanned.map(|route| &route.origin), "look-up finds what a scan finds");
    let Some(rule) = found.and_then(|route| route.path.as_ref()) else { return };
    let Ok(resolved) = path.target(uri.query()) else { return };
    let sent = if path.dots_resolved { resolved.path() } else { uri.path() };
    let rule = loosely(rule.literal());
    assert!(loosely(sent).starts_with(&rule), "no reading of the path leaves what the rule gives: {sent:?} of {rule:?}");
});
