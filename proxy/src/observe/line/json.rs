//! A line of JSON: its keys and their order are stable, and what is not known is null.
//!
//! It is written straight into the worker's buffer, as `serde_json` would: what that makes of each value is held by a test.

use std::time::Duration;

use super::clock::Clock;
use super::write::{address, is_plain, number, socket_address, thousandths};
use super::{host, protocol};
use crate::model::HostMatch;
use crate::observe::details::{Attempt, Details};
use crate::observe::record::Ended;

/// From here on, in seconds, `f64` no longer has all microseconds: some thirty years.
const INEXACT: u64 = 1_000_000_000;

pub(super) fn json(out: &mut Vec<u8>, clock: &Clock, ended: &Ended<'_>) {
    let details = ended.details;
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(clock.iso().as_bytes());
    thousandths(out, clock.millisecond().into());
    out.extend_from_slice(b"Z\",\"client.ip\":\"");
    address(out, details.client.ip());
    out.extend_from_slice(b"\",\"client.port\":");
    number(out, details.client.port().into());
    out.extend_from_slice(b",\"listener\":\"");
    inside(out, details.listener());
    out.extend_from_slice(b"\",\"scheme\":\"");
    out.extend_from_slice(details.scheme.as_str().as_bytes());
    out.extend_from_slice(b"\",\"protocol\":\"");
    out.extend_from_slice(protocol(details.version).as_bytes());
    out.extend_from_slice(b"\",\"tls_version\":");
    text_or_null(out, details.tls_version);
    out.extend_from_slice(b",\"server_name\":");
    text_or_null(out, details.server_name());
    out.extend_from_slice(b",\"method\":\"");
    inside(out, details.method.as_str().as_bytes());
    out.extend_from_slice(b"\",\"host\":");
    text_or_null(out, host(ended).as_deref());
    out.extend_from_slice(b",\"target\":\"");
    inside(out, details.target());
    out.extend_from_slice(b"\",\"status\":");
    number(out, ended.status.into());
    out.extend_from_slice(b",\"reason\":");
    text_or_null(out, ended.reason.map(crate::error::Reason::as_str));
    out.extend_from_slice(b",\"bytes_in\":");
    number(out, ended.bytes_in);
    out.extend_from_slice(b",\"bytes_out\":");
    number(out, ended.bytes_out);
    out.extend_from_slice(b",\"duration_ms\":");
    milliseconds(out, ended.took);
    out.extend_from_slice(b",\"request.id\":");
    text_or_null(out, details.request_id());
    out.extend_from_slice(b",\"route\":");
    route(out, ended);
    out.extend_from_slice(b",\"backend\":");
    match details.service() {
        Some([namespace, name]) => {
            out.push(b'"');
            inside(out, namespace);
            out.push(b'/');
            inside(out, name);
            out.push(b'"');
        }
        None => null(out),
    }
    out.extend_from_slice(b",\"attempts\":[");
    for (i, attempt) in details.attempts.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        tried(out, details, attempt);
    }
    out.extend_from_slice(b"],\"referer\":");
    text_or_null(out, details.header(0));
    out.extend_from_slice(b",\"user_agent\":");
    text_or_null(out, details.header(1));
    out.push(b'}');
}

fn route(out: &mut Vec<u8>, ended: &Ended<'_>) {
    let labels = ended.series.map(crate::observe::RouteSeries::labels);
    let Some((labels, origin)) = labels.and_then(|labels| Some((labels, labels.origin.as_deref()?))) else { return null(out) };
    out.extend_from_slice(b"{\"kind\":\"");
    inside(out, origin.kind.as_bytes());
    out.extend_from_slice(b"\",\"namespace\":\"");
    inside(out, origin.namespace.as_bytes());
    out.extend_from_slice(b"\",\"name\":\"");
    inside(out, origin.name.as_bytes());
    out.extend_from_slice(b"\",\"host\":\"");
    match &labels.host {
        Some(HostMatch::Exact(name)) => inside(out, name.as_str().as_bytes()),
        Some(HostMatch::OneLabel(suffix) | HostMatch::ManyLabels(suffix)) => {
            out.extend_from_slice(b"*.");
            inside(out, suffix.as_str().as_bytes());
        }
        Some(HostMatch::Any) => out.push(b'*'),
        None => {}
    }
    out.extend_from_slice(b"\",\"path\":\"");
    inside(out, labels.path.as_bytes());
    out.extend_from_slice(b"\"}");
}

fn tried(out: &mut Vec<u8>, details: &Details, attempt: &Attempt) {
    out.extend_from_slice(b"{\"address\":\"");
    socket_address(out, attempt.address);
    out.extend_from_slice(b"\",\"endpoint\":\"");
    inside(out, details.text(attempt.name));
    out.extend_from_slice(b"\",\"status\":");
    match attempt.answered {
        Some(status) => number(out, status.into()),
        None => null(out),
    }
    out.extend_from_slice(b",\"connect_ms\":");
    milliseconds_or_null(out, attempt.connected);
    out.extend_from_slice(b",\"header_ms\":");
    milliseconds_or_null(out, attempt.header_after);
    out.extend_from_slice(b",\"duration_ms\":");
    milliseconds(out, attempt.took);
    out.push(b'}');
}

fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

fn text_or_null(out: &mut Vec<u8>, text: Option<impl AsRef<[u8]>>) {
    match text {
        Some(text) => {
            out.push(b'"');
            inside(out, text.as_ref());
            out.push(b'"');
        }
        None => null(out),
    }
}

/// Writes what stands between the quotes of a string; what is not UTF-8 becomes U+FFFD.
fn inside(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        escaped(out, text);
    }
}

#[cold]
fn escaped(out: &mut Vec<u8>, text: &[u8]) {
    // Strings can always be written, and memory takes them.
    let quoted = serde_json::to_vec(&String::from_utf8_lossy(text)).unwrap_or_default();
    if let [b'"', inside @ .., b'"'] = &*quoted {
        out.extend_from_slice(inside);
    }
}

/// Writes milliseconds with at most three decimals, and at least one.
fn milliseconds(out: &mut Vec<u8>, time: Duration) {
    if time.as_secs() >= INEXACT {
        let _ = serde_json::to_writer(out, &((time.as_secs_f64() * 1e6).round() / 1e3));
        return;
    }
    let microseconds = time.as_secs() * 1_000_000 + u64::from((time.subsec_nanos() + 500) / 1000);
    number(out, microseconds / 1000);
    let rest = microseconds % 1000;
    thousandths(out, rest);
    let unneeded = match rest {
        rest if rest % 100 == 0 => 2,
        rest if rest % 10 == 0 => 1,
        _ => 0,
    };
    out.truncate(out.len() - unneeded);
}

fn milliseconds_or_null(out: &mut Vec<u8>, time: Option<Duration>) {
    match time {
        Some(time) => milliseconds(out, time),
        None => null(out),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
