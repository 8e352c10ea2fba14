//! The tables of a run.

use std::fmt::Write as _;

use super::{Spread, Who};
use crate::peers::Peer;
use crate::run::Results;
use crate::suites::{SUITES, Suite};

const METHOD: &str = "All proxies are up at once, each with one worker, on core 0; the generator and the backend share core 1. Slices go round-robin, \
each round beginning with another, a proxy's sites one after the other; ratios are taken inside a round. A cell shows the median of the rounds and, in brackets, the \
least and the greatest. For suites of memory each is started anew and alone, six times at most. **CPU µs** is the time that the kernel counted for all of the proxy's threads (`/proc/PID/task/*/schedstat`), by \
request. Every reply is checked: each byte by our own generator (HTTP/1.1, WebSocket), counts and statuses by h2load (HTTP/2). The backend \
polls instead of sleeping while requests come, so that waking it costs every proxy the same. All keep connections to the backend, add \
X-Forwarded-For and X-Forwarded-Proto, and speak TLS 1.3 with ECDSA P-256 and X25519, without tickets except in `resume` (Tidegate hands \
them out always). Tidegate and the floor add seven fields to requests and `Server` to responses. Tidegate has all its defaults on (metrics, timeouts, limits, request ids, retries); the access log is off for all except in `access-log`. nginx streams \
uploads (`proxy_request_buffering off`) as the others do.";

const DOUBTS: &str = "Ratios hold for this processor: on another, the kernel's part of a request and the price of cryptography differ. Absolute \
values of different runs must not be compared: neighbours and frequency move them by a quarter. Requests per second say how busy the \
one core of load kept the proxy, no more. nginx and HAProxy are Debian's releases on Debian's OpenSSL, which are not their newest. \
Memory with many hosts is not of like things: Tidegate has a Service and an Ingress for each host, the others one backend for all; Envoy \
has one certificate for all.";

/// Renders all tables.
pub fn render(results: &Results) -> String {
    let mut text = String::from("# Results of one paired run\n\n");
    for fault in &results.faults {
        line(&mut text, format_args!("**Fault**: {}\n", fault.lines().next().unwrap_or_default()));
    }
    summary(&mut text, results);
    for suite in SUITES.iter().filter(|suite| results.samples.iter().any(|sample| sample.suite == suite.name)) {
        table(&mut text, results, suite);
    }
    line(&mut text, format_args!("## Machine, settings, method, doubts\n"));
    for (name, value) in &results.machine {
        line(&mut text, format_args!("- {name}: {value}"));
    }
    for version in &results.versions {
        line(&mut text, format_args!("- {version}"));
    }
    line(&mut text, format_args!("- {} rounds of slices of {} s\n\n{METHOD}\n\n{DOUBTS}", results.rounds, results.slice));
    text
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{arguments}");
}

fn summary(text: &mut String, results: &Results) {
    let others: Vec<&str> = Peer::ALL.iter().map(|peer| peer.name()).filter(|name| *name != "tidegate").collect();
    line(text, format_args!("## Tidegate's figure ÷ theirs\n\n| suite | figure | {} |", others.join(" | ")));
    line(text, format_args!("|---|---|{}", "---|".repeat(others.len())));
    for suite in SUITES {
        let site = suite.sites.last().map_or("", |site| site.name);
        let figure = suite.measure.key();
        let cells: Vec<String> = others
            .iter()
            .map(|peer| results.ratio(suite.name, ("tidegate", site), (peer, site), figure).map_or("".to_owned(), ratio))
            .collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            let site = if site.is_empty() { String::new() } else { format!(" ({site})") };
            line(text, format_args!("| {}{site} | {figure} | {} |", suite.name, cells.join(" | ")));
        }
    }
    line(text, format_args!(""));
}

fn table(text: &mut String, results: &Results, suite: &Suite) {
    let key = suite.measure.key();
    let all = results.contestants(suite.name);
    let mut figures: Vec<&str> = results
        .samples
        .iter()
        .filter(|sample| sample.suite == suite.name)
        .flat_map(|sample| sample.figures.keys().map(String::as_str))
        .collect();
    figures.sort_unstable_by_key(|figure| (*figure != key, *figure));
    figures.dedup();
    line(text, format_args!("## {}: {}\n", suite.name, suite.what));
    let several = suite.sites.len() > 1;
    let first = suite.sites.first().map_or("", |site| site.name);
    let against = if several { " | ÷ its own without |" } else { " |" };
    line(text, format_args!("| | {} | Tidegate ÷ it{against}", figures.join(" | ")));
    line(text, format_args!("|---|{}", "---|".repeat(figures.len() + 1 + usize::from(several))));
    for peer in Peer::ALL {
        for who in all.iter().filter(|(name, _)| *name == peer.name()) {
            let (name, site) = *who;
            let mut cells: Vec<String> =
                figures.iter().map(|figure| results.spread(suite.name, *who, figure).map_or(String::new(), value)).collect();
            let ours: Who<'_> = ("tidegate", site);
            cells.push(if ours == *who { String::new() } else { results.ratio(suite.name, ours, *who, key).map_or(String::new(), ratio) });
            if several {
                cells.push(if site == first {
                    String::new()
                } else {
                    results.ratio(suite.name, *who, (name, first), key).map_or(String::new(), ratio)
                });
            }
            line(text, format_args!("| {name}{}{site} | {} |", if site.is_empty() { "" } else { ", " }, cells.join(" | ")));
        }
    }
    line(text, format_args!(""));
}

fn ratio(spread: Spread) -> String {
    format!("**{:.2}** ({:.2}–{:.2})", spread.median, spread.min, spread.max)
}

fn value(spread: Spread) -> String {
    let digits = if spread.median < 10.0 { 2 } else { usize::from(spread.median < 1_000.0) };
    format!("{:.digits$} ({:.digits$}–{:.digits$})", spread.median, spread.min, spread.max)
}
