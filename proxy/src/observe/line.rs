//! A line of the access log, from a request that has ended.

mod clock;
mod json;
mod write;

use std::borrow::Cow;
use std::io::Write as _;
use std::time::Duration;

use http::Version;

pub(super) use clock::Clock;

use super::details::Attempt;
use super::record::Ended;
use crate::model::request_host;
use crate::settings::{LogFormat, Piece, Shape, Variable};
use write::{address, escaped, number, seconds, socket_address, thousandths};

/// Writes the line, without its line break.
pub(super) fn render(out: &mut Vec<u8>, format: &LogFormat, clock: &mut Clock, ended: &Ended<'_>) {
    clock.go_to(ended.at);
    match format.shape() {
        Shape::Json => json::json(out, clock, ended),
        Shape::Text(pieces) => {
            for piece in pieces {
                match piece {
                    Piece::Literal(text) => literal(out, text.as_bytes()),
                    Piece::Header(at) => or_dash(out, ended.details.header(*at)),
                    Piece::Variable(variable) => text(out, *variable, clock, ended),
                }
            }
        }
    }
}

/// Writes what stands between variables: mostly so little that a call to copy it would cost more than it.
fn literal(out: &mut Vec<u8>, text: &[u8]) {
    match *text {
        [one] => out.push(one),
        [one, two] => out.extend_from_slice(&[one, two]),
        [one, two, three] => out.extend_from_slice(&[one, two, three]),
        _ => out.extend_from_slice(text),
    }
}

/// Writes a variable. Writing to memory cannot fail, so that results of `write!` are let go.
fn text(out: &mut Vec<u8>, variable: Variable, clock: &Clock, ended: &Ended<'_>) {
    let details = ended.details;
    let labels = ended.series.map(super::RouteSeries::labels);
    let origin = labels.and_then(|labels| labels.origin.as_deref());
    let _ = match variable {
        Variable::RemoteAddr => return address(out, details.client.ip()),
        Variable::RemotePort => return number(out, details.client.port().into()),
        Variable::RemoteUser => out.write_all(b"-"),
        Variable::TimeLocal => out.write_all(clock.local().as_bytes()),
        Variable::TimeIso8601 => {
            out.extend_from_slice(clock.iso().as_bytes());
            out.write_all(b"+00:00")
        }
        Variable::Msec => {
            number(out, clock.second());
            return thousandths(out, clock.millisecond().into());
        }
        Variable::Request => {
            escaped(out, details.method.as_str().as_bytes());
            out.push(b' ');
            escaped(out, details.target());
            out.push(b' ');
            out.write_all(protocol(details.version).as_bytes())
        }
        Variable::RequestMethod => return escaped(out, details.method.as_str().as_bytes()),
        Variable::RequestUri => return escaped(out, details.target()),
        Variable::ServerProtocol => out.write_all(protocol(details.version).as_bytes()),
        Variable::Scheme => out.write_all(details.scheme.as_str().as_bytes()),
        Variable::Host => return or_dash(out, host(ended).as_deref()),
        Variable::ServerPort => return number(out, details.local_port.into()),
        Variable::Listener => out.write_all(details.listener()),
        Variable::Status => return number(out, ended.status.into()),
        Variable::Reason => return or_dash(out, ended.reason.map(crate::error::Reason::as_str)),
        Variable::BodyBytesSent => return number(out, ended.bytes_out),
        Variable::RequestLength => return number(out, details.head_bytes + ended.bytes_in),
        Variable::RequestTime => return seconds(out, ended.took),
        Variable::ProxyUpstreamName => match details.service() {
            Some([namespace, name]) => {
                out.extend_from_slice(namespace);
                out.push(b'-');
                let start = out.len();
                out.extend_from_slice(name);
                out.iter_mut().skip(start).filter(|byte| **byte == b':').for_each(|colon| *colon = b'-');
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
            return each(out, ended, |out, attempt| seconds_or_dash(out, attempt.header_after));
        }
        Variable::UpstreamStatus => {
            // A try that brought no answer counts as the status that the client would have got for it, as in nginx.
            return each(out, ended, |out, attempt| number(out, attempt.answered.unwrap_or(502).into()));
        }
        Variable::Endpoint => return or_dash(out, details.attempts.last().map(|attempt| details.text(attempt.name))),
        Variable::Tries => return number(out, details.attempts.len() as u64),
        Variable::ReqId | Variable::RequestId => return or_dash(out, details.request_id()),
        Variable::Namespace => return or_dash(out, origin.map(|origin| &*origin.namespace)),
        Variable::IngressName => return or_dash(out, origin.map(|origin| &*origin.name)),
        Variable::LocationPath => return or_dash(out, labels.map(|labels| &*labels.path)),
        Variable::ServiceName => return or_dash(out, service_parts(ended).map(|(name, _)| name)),
        Variable::ServicePort => return or_dash(out, service_parts(ended).map(|(_, port)| port)),
        Variable::SslProtocol => return or_dash(out, details.tls_version),
        Variable::SslServerName => return or_dash(out, details.server_name()),
    };
}

/// Returns the host that the client asked for, as rules name it.
fn host<'a>(ended: &Ended<'a>) -> Option<Cow<'a, str>> {
    request_host(ended.details.authority()?).ok()
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
fn service_parts<'a>(ended: &Ended<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let [_, name] = ended.details.service()?;
    let colon = name.iter().rposition(|byte| *byte == b':');
    let parts = colon.and_then(|colon| Some((name.get(..colon)?, name.get(colon + 1..)?)));
    Some(parts.unwrap_or((name, b"-")))
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

fn or_dash(out: &mut Vec<u8>, value: Option<impl AsRef<[u8]>>) {
    match value.as_ref().map(AsRef::as_ref) {
        None | Some([]) => out.push(b'-'),
        Some(value) => escaped(out, value),
    }
}

fn seconds_or_dash(out: &mut Vec<u8>, time: Option<Duration>) {
    match time {
        Some(time) => seconds(out, time),
        None => out.push(b'-'),
    }
}
