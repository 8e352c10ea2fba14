//! A line of the access log, from a request that has ended.

use std::borrow::Cow;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Version};
use serde::Serialize;

use super::record::{Attempt, Ended};
use crate::model::{Origin, request_host};
use crate::settings::{LogFormat, Piece, Shape, Variable};

/// The time as lines write it, spelt out once a second.
#[derive(Debug, Default)]
pub(super) struct Clock {
    second: Option<u64>,
    millisecond: u32,
    local: String,
    iso: String,
}

impl Clock {
    fn now(&mut self) {
        self.set(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    }

    fn set(&mut self, since_1970: Duration) {
        let second = since_1970.as_secs();
        self.millisecond = since_1970.subsec_millis();
        if self.second == Some(second) {
            return;
        }
        let time = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok()).unwrap_or_default();
        self.local = time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        self.iso = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        self.second = Some(second);
    }
}

/// Writes the line, without its line break.
pub(super) fn render(out: &mut Vec<u8>, format: &LogFormat, clock: &mut Clock, ended: &Ended<'_>) {
    clock.now();
    match format.shape() {
        Shape::Json => json(out, clock, ended),
        Shape::Text(pieces) => {
            for piece in pieces {
                match piece {
                    Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                    Piece::Header(at) => escaped_or_dash(out, ended.details.headers.get(*at).and_then(Option::as_ref)),
                    Piece::Variable(variable) => text(out, *variable, clock, ended),
                }
            }
        }
    }
}

/// Writes a variable. Writing to memory cannot fail, so that results of `write!` are let go.
fn text(out: &mut Vec<u8>, variable: Variable, clock: &Clock, ended: &Ended<'_>) {
    let details = ended.details;
    let labels = ended.series.map(super::RouteSeries::labels);
    let origin = labels.and_then(|labels| labels.origin.as_deref());
    let _ = match variable {
        Variable::RemoteAddr => return address(out, details.client.ip()),
        Variable::RemotePort => return number(out, details.client.port()),
        Variable::RemoteUser => out.write_all(b"-"),
        Variable::TimeLocal => out.write_all(clock.local.as_bytes()),
        Variable::TimeIso8601 => write!(out, "{}+00:00", clock.iso),
        Variable::Msec => write!(out, "{}.{:03}", clock.second.unwrap_or_default(), clock.millisecond),
        Variable::Request => {
            escaped(out, details.method.as_str().as_bytes());
            out.push(b' ');
            escaped(out, target(ended).as_bytes());
            out.push(b' ');
            out.write_all(protocol(details.version).as_bytes())
        }
        Variable::RequestMethod => return escaped(out, details.method.as_str().as_bytes()),
        Variable::RequestUri => return escaped(out, target(ended).as_bytes()),
        Variable::ServerProtocol => out.write_all(protocol(details.version).as_bytes()),
        Variable::Scheme => out.write_all(details.scheme.as_str().as_bytes()),
        Variable::Host => return or_dash(out, host(ended).as_deref()),
        Variable::ServerPort => return number(out, details.local_port),
        Variable::Listener => out.write_all(details.listener.as_bytes()),
        Variable::Status => return number(out, ended.status),
        Variable::Reason => return or_dash(out, ended.reason.map(crate::error::Reason::as_str)),
        Variable::BodyBytesSent => return number(out, ended.bytes_out),
        Variable::RequestLength => return number(out, details.head_bytes + ended.bytes_in),
        Variable::RequestTime => return seconds(out, ended.took),
        Variable::ProxyUpstreamName => match &details.service {
            Some(service) => {
                out.extend_from_slice(service.namespace.as_bytes());
                for part in service.name.split(':') {
                    out.push(b'-');
                    out.extend_from_slice(part.as_bytes());
                }
                return;
            }
            None => Ok(()),
        },
        Variable::ProxyAlternativeUpstreamName => Ok(()),
        Variable::UpstreamAddr => return each(out, ended, |out, attempt| socket_address(out, attempt.address)),
        Variable::UpstreamResponseLength => return each(out, ended, |out, attempt| number(out, attempt.bytes)),
        Variable::UpstreamResponseTime => return each(out, ended, |out, attempt| seconds(out, attempt.took)),
        Variable::UpstreamConnectTime => return each(out, ended, |out, attempt| seconds_or_dash(out, attempt.connected)),
        Variable::UpstreamHeaderTime => {
            return each(out, ended, |out, attempt| seconds_or_dash(out, attempt.answered.map(|(_, after)| after)));
        }
        Variable::UpstreamStatus => {
            // A try that brought no answer counts as the status that the client would have got for it, as in nginx.
            return each(out, ended, |out, attempt| number(out, attempt.answered.map_or(502, |(status, _)| status)));
        }
        Variable::Endpoint => return or_dash(out, details.attempts.last().map(|attempt| &*attempt.name)),
        Variable::Tries => return number(out, details.attempts.len()),
        Variable::ReqId | Variable::RequestId => return escaped_or_dash(out, details.request_id.as_ref()),
        Variable::Namespace => return or_dash(out, origin.map(|origin| &*origin.namespace)),
        Variable::IngressName => return or_dash(out, origin.map(|origin| &*origin.name)),
        Variable::LocationPath => return or_dash(out, labels.map(|labels| &*labels.path)),
        Variable::ServiceName => return or_dash(out, service_parts(ended).map(|(name, _)| name)),
        Variable::ServicePort => return or_dash(out, service_parts(ended).map(|(_, port)| port)),
        Variable::SslProtocol => return or_dash(out, details.tls_version),
        Variable::SslServerName => return or_dash(out, details.server_name.as_deref()),
    };
}

/// A line of JSON. Keys and their order are stable; what is not known is null.
#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    #[serde(rename = "client.ip")]
    client_ip: IpAddr,
    #[serde(rename = "client.port")]
    client_port: u16,
    listener: &'a str,
    scheme: &'static str,
    protocol: &'static str,
    tls_version: Option<&'a str>,
    server_name: Option<&'a str>,
    method: &'a str,
    host: Option<Cow<'a, str>>,
    target: Cow<'a, str>,
    status: u16,
    reason: Option<&'static str>,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: f64,
    #[serde(rename = "request.id")]
    request_id: Option<Cow<'a, str>>,
    route: Option<JsonRoute<'a>>,
    backend: Option<String>,
    attempts: Vec<JsonAttempt<'a>>,
    referer: Option<Cow<'a, str>>,
    user_agent: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct JsonRoute<'a> {
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    host: String,
    path: &'a str,
}

#[derive(Serialize)]
struct JsonAttempt<'a> {
    address: SocketAddr,
    endpoint: &'a str,
    status: Option<u16>,
    connect_ms: Option<f64>,
    header_ms: Option<f64>,
    duration_ms: f64,
}

impl<'a> JsonAttempt<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        Self {
            address: attempt.address,
            endpoint: &attempt.name,
            status: attempt.answered.map(|(status, _)| status),
            connect_ms: attempt.connected.map(milliseconds),
            header_ms: attempt.answered.map(|(_, after)| milliseconds(after)),
            duration_ms: milliseconds(attempt.took),
        }
    }
}

fn json(out: &mut Vec<u8>, clock: &Clock, ended: &Ended<'_>) {
    let details = ended.details;
    let header = |at: usize| details.headers.get(at).and_then(Option::as_ref).map(lossy);
    let labels = ended.series.map(super::RouteSeries::labels);
    let route = labels.and_then(|labels| {
        let origin = labels.origin.as_deref()?;
        let host = labels.host.as_ref().map(ToString::to_string).unwrap_or_default();
        Some(JsonRoute { kind: &origin.kind, namespace: &origin.namespace, name: &origin.name, host, path: &labels.path })
    });
    let line = JsonLine {
        time: format!("{}.{:03}Z", clock.iso, clock.millisecond),
        client_ip: details.client.ip(),
        client_port: details.client.port(),
        listener: &details.listener,
        scheme: details.scheme.as_str(),
        protocol: protocol(details.version),
        tls_version: details.tls_version,
        server_name: details.server_name.as_deref(),
        method: details.method.as_str(),
        host: host(ended),
        target: target(ended),
        status: ended.status,
        reason: ended.reason.map(crate::error::Reason::as_str),
        bytes_in: ended.bytes_in,
        bytes_out: ended.bytes_out,
        duration_ms: milliseconds(ended.took),
        request_id: details.request_id.as_ref().map(lossy),
        route,
        backend: details.service.as_ref().map(|service| backend(service)),
        attempts: details.attempts.iter().map(JsonAttempt::of).collect(),
        referer: header(0),
        user_agent: header(1),
    };
    // Neither the keys nor the values can fail to become JSON, and memory takes them.
    let _ = serde_json::to_writer(out, &line);
}

fn backend(service: &Origin) -> String {
    format!("{}/{}", service.namespace, service.name)
}

/// The target as the client sent it: with an authority where it had one in HTTP/1, as path and query in HTTP/2, where the authority
/// has a place of its own.
fn target<'a>(ended: &Ended<'a>) -> Cow<'a, str> {
    let uri = &ended.details.target;
    let own = || uri.path_and_query().map_or("*", http::uri::PathAndQuery::as_str);
    if ended.details.version >= Version::HTTP_2 || uri.scheme().is_none() {
        return match uri.authority() {
            Some(authority) if uri.path_and_query().is_none() => Cow::Borrowed(authority.as_str()),
            Some(_) | None => Cow::Borrowed(own()),
        };
    }
    Cow::Owned(uri.to_string())
}

fn host<'a>(ended: &Ended<'a>) -> Option<Cow<'a, str>> {
    let details = ended.details;
    let authority = match details.target.authority() {
        Some(authority) => authority.as_str(),
        None => details.host.as_ref()?.to_str().ok()?,
    };
    request_host(authority).ok()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        // The type of versions is open; what remains is HTTP/1.1.
        _ => "HTTP/1.1",
    }
}

/// Name and port of the Service, which stand together as `name:port`.
fn service_parts<'a>(ended: &Ended<'a>) -> Option<(&'a str, &'a str)> {
    let name: &str = &ended.details.service.as_ref()?.name;
    Some(name.rsplit_once(':').unwrap_or((name, "-")))
}

fn lossy(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// Writes one value for each try, joined as nginx does; `-` without one.
fn each(out: &mut Vec<u8>, ended: &Ended<'_>, one: impl Fn(&mut Vec<u8>, &Attempt)) {
    if ended.details.attempts.is_empty() {
        out.push(b'-');
    }
    for (i, attempt) in ended.details.attempts.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        one(out, attempt);
    }
}

fn or_dash(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) if !value.is_empty() => escaped(out, value.as_bytes()),
        Some(_) | None => out.push(b'-'),
    }
}

fn escaped_or_dash(out: &mut Vec<u8>, value: Option<&HeaderValue>) {
    match value {
        Some(value) if !value.is_empty() => escaped(out, value.as_bytes()),
        Some(_) | None => out.push(b'-'),
    }
}

/// Writes bytes as nginx does: quotes, backslashes and all that is not printable ASCII as `\xHH`, so that no request can forge a line.
fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(plain) {
        return out.extend_from_slice(bytes);
    }
    for byte in bytes {
        if plain(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(b"\\x");
            out.extend([byte >> 4, byte & 15].iter().filter_map(|half| HEX.get(usize::from(*half))));
        }
    }
}

/// Writes a number; the formatter of the standard library costs several times as much.
fn number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            number(out, first);
            for octet in rest {
                out.push(b'.');
                number(out, octet);
            }
        }
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

fn socket_address(out: &mut Vec<u8>, of: SocketAddr) {
    match of {
        SocketAddr::V4(_) => {
            address(out, of.ip());
            out.push(b':');
            number(out, of.port());
        }
        SocketAddr::V6(of) => drop(write!(out, "{of}")),
    }
}

fn seconds(out: &mut Vec<u8>, time: Duration) {
    number(out, time.as_secs());
    let millis = time.subsec_millis();
    out.push(b'.');
    if millis < 100 {
        out.extend_from_slice(if millis < 10 { b"00" } else { b"0" });
    }
    number(out, millis);
}

fn seconds_or_dash(out: &mut Vec<u8>, time: Option<Duration>) {
    match time {
        Some(time) => seconds(out, time),
        None => out.push(b'-'),
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
