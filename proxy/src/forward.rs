//! The whole life of a request.

mod answer;
mod client;
mod dispatch;
mod facts;
mod foresee;
mod headers;
mod saved_head;
mod told;
mod upgrade;
mod worker;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{DATE, HOST};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use tokio::time::Instant;

pub use foresee::{Effect, Foreseen, Step, foresee};
pub use worker::Worker;

use crate::body::{Body, Download, Upload};
use crate::error::Reason;
use crate::filter::{Answer, Flow};
use crate::model::{RequestPath, Scheme};
use crate::observe::{ClientFacts, Record};
use crate::table::Backend;
use crate::upstream::Wanted;
use answer::ReasonHeader;
use dispatch::{Answered, Outgoing, dispatch};
use facts::Facts;
use headers::Seen;
use told::Told;
use upgrade::{Tunnel, Upgrade};
use worker::Found;

/// What is known of a client's connection; the same for all requests on it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The peer of the socket.
    pub peer: SocketAddr,
    /// The client: the peer, or what a PROXY header says of it. IPv4-mapped addresses are IPv4.
    pub client: SocketAddr,
    /// The port that the listener is bound to.
    pub local_port: u16,
    /// Clear text or TLS.
    pub scheme: Scheme,
    /// The server name of the TLS handshake; `None` in clear text or without one.
    pub server_name: Option<Arc<str>>,
    /// The TLS version as logs write it, such as `TLSv1.3`.
    pub tls_version: Option<&'static str>,
}

impl Connection {
    /// Returns the client's address.
    #[must_use]
    pub fn client_ip(&self) -> IpAddr {
        self.client.ip()
    }

    /// Returns what a record takes over of the connection.
    #[must_use]
    pub fn facts(&self) -> ClientFacts<'_> {
        ClientFacts {
            client: self.client,
            listener: &self.listener,
            local_port: self.local_port,
            scheme: self.scheme,
            server_name: self.server_name.as_ref(),
            tls_version: self.tls_version,
        }
    }
}

/// Serves one request. It never fails: what goes wrong becomes an answer with a [`Reason`]. Must run where `spawn_local` works.
/// What it needs of the head it takes out of `parts`, which stay with the caller so that they are not moved from hand to hand.
pub async fn forward(worker: &Worker, connection: &Connection, parts: &mut Parts, body: Body) -> Response<Body> {
    let method = parts.method.clone();
    let mut record = Record::begin(&worker.observer, connection.facts(), parts);
    match serve(worker, connection, parts, body, &mut record).await {
        Ok(Served::Response(mut response)) => {
            record.status(response.status());
            response.body_mut().record(record);
            response
        }
        Ok(Served::Switched(response, tunnel)) => {
            record.status(response.status());
            tunnel.open(&worker.clock, record);
            response
        }
        Err(answer) => {
            let reason = answer.reason;
            record.reason(reason);
            // Nobody was told of it before, unless an endpoint was tried.
            record.request_id(|| Some(told::request_id(&parts.headers, &worker.memo)));
            let header = if worker.settings.reason_header { ReasonHeader::Sent } else { ReasonHeader::Left };
            let response = answer::word(answer, &method, header, worker.clock.date(Instant::now()));
            if reason != Reason::ClientGone {
                record.status(response.status());
            }
            record.sent(response.body().size_hint().lower());
            record.finish();
            response
        }
    }
}

/// What a request has led to.
enum Served {
    /// An endpoint's response.
    Response(Response<Body>),
    /// Out of HTTP.
    Switched(Response<Body>, Tunnel),
}

/// The life of a request: read, look up, filter, send, and the way back.
async fn serve(worker: &Worker, connection: &Connection, parts: &mut Parts, body: Body, record: &mut Record) -> Result<Served, Answer> {
    let now = Instant::from_std(record.started());
    let found = worker.find(parts, connection, record)?;
    let body_limit = filter(parts, &found, &body)?;
    let host = host_field(&found.facts, |authority| worker.memo.authority(authority))?;
    let rewritten = rewritten_target(parts, &found.facts.path)?;
    let Found { facts: Facts { seen, .. }, route, client, trust, body_timeout, .. } = found;
    let backend = match &route.backend {
        Backend::Forward(forward) => forward,
        Backend::Unavailable(reason) => return Err(Answer::from(*reason)),
    };
    record.service(&backend.service);

    let seen = seen.judged(trust);
    let upgrade = Upgrade::of(parts, seen);
    let trailers = headers::clean_request(&mut parts.headers, seen);
    if !seen.has(Seen::HOST) {
        parts.headers.insert(HOST, host.clone());
    }
    if let Some(upgrade) = &upgrade {
        upgrade.ask(parts);
    }
    let told = Told::of(client, &mut parts.headers, seen, connection.client_ip(), host, &worker.memo);
    record.request_id(|| Some(told.request_id()));

    let upload = (!body.is_end_stream()).then(|| Upload::new(body, &worker.clock, body_timeout, now));
    if let (Some(upload), Some(bytes)) = (&upload, body_limit) {
        upload.limit(bytes);
    }
    let wanted = match (&upgrade, &upload) {
        (Some(_), _) => Wanted::Upgrade,
        (None, Some(_)) => Wanted::Body,
        (None, None) => Wanted::Head,
    };
    if let Some(rewritten) = rewritten {
        parts.uri = rewritten;
    }
    let mut outgoing = Outgoing { head: parts, told, upload, trailers, wanted };
    let answered = dispatch(worker, backend, &mut outgoing, record, now).await;
    let Answered { mut response, channel } = match answered {
        Ok(answered) => answered,
        Err(error) => {
            record.received(outgoing.upload.as_ref().map_or(0, Upload::bytes));
            return Err(Answer::from(error.kind));
        }
    };

    let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    match upgrade {
        Some(upgrade) if switching => {
            let (mut response, tunnel) = upgrade.accept(response, channel, backend.timeouts.read, worker.drain.tunnel());
            response.headers_mut().entry(DATE).or_insert_with(|| worker.clock.date(Instant::now()));
            Ok(Served::Switched(response.map(|()| Body::Empty), tunnel))
        }
        Some(upgrade) if !upgrade.allows(response.status()) => Err(Answer::from(Reason::UpstreamReset)),
        None if switching => Err(Answer::from(Reason::UpstreamReset)),
        Some(_) | None => {
            // What the endpoint speaks is no concern of the client.
            *response.version_mut() = Version::HTTP_11;
            headers::clean_response(response.headers_mut(), || worker.clock.date(Instant::now()));
            let (lease, upload) = (channel.into_lease(), outgoing.upload);
            Ok(Served::Response(response.map(|arriving| {
                let whole = arriving.whole();
                if let Some(whole) = &whole {
                    record.sent(whole.len() as u64);
                }
                if arriving.is_end_stream() {
                    drop(arriving);
                    record.received(upload.as_ref().map_or(0, Upload::bytes));
                    lease.complete();
                    return whole.map_or(Body::Empty, |whole| Body::Fixed(Some(whole)));
                }
                Body::Download(Box::new(Download::new(arriving, lease, &worker.clock, backend.timeouts.read, upload)))
            })))
        }
    }
}

/// Runs the route's filters; returns the largest body that they allow.
fn filter(parts: &Parts, found: &Found<'_>, body: &Body) -> Result<Option<u64>, Answer> {
    if found.route.filters.is_empty() {
        return Ok(None);
    }
    let host = found.host()?;
    let mut exchange = found.exchange(parts, &host, body.size_hint().exact());
    for filter in &found.route.filters {
        match filter.apply(&mut exchange) {
            Flow::Continue => {}
            Flow::Answer(answer) => return Err(answer),
            // Calls are made here, through `dispatch`, once a filter has one to make.
            Flow::Ask(call) => match call {},
        }
    }
    Ok(exchange.body_limit)
}

/// Returns `Host` as the client wrote it.
fn host_field(facts: &Facts<'_>, write: impl FnOnce(&str) -> Option<HeaderValue>) -> Result<HeaderValue, Answer> {
    match facts.host_field {
        Some(host) => Ok(host.clone()),
        None => write(facts.authority).ok_or_else(|| Answer::from(Reason::BadHost)),
    }
}

/// Returns the origin-form target where it is not the client's own already: without scheme and authority, and with dot segments
/// resolved.
fn rewritten_target(parts: &Parts, path: &RequestPath<'_>) -> Result<Option<Uri>, Answer> {
    if path.dots_resolved {
        return path.target(parts.uri.query()).map(|target| Some(Uri::from(target))).map_err(|_| Answer::from(Reason::TargetTooLong));
    }
    if parts.uri.authority().is_none() {
        return Ok(None);
    }
    Ok(parts.uri.path_and_query().map(|target| Uri::from(target.clone())))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use http::Request;

    use super::*;
    use crate::model::normalize;

    #[test]
    fn the_target_is_rewritten_only_where_it_must_be() {
        for (target, expected) in [
            ("/a%20b//c?q=%zz", None),
            ("http://a.test/a%2fb?q", Some("/a%2fb?q")),
            ("http://a.test", Some("/")),
            ("http://a.test?q", Some("/?q")),
            ("/x/../a%20b?q=%41", Some("/a%20b?q=%41")),
            ("/x/../%C3%A9%2f%7b", Some("/%C3%A9%2F%7B")),
        ] {
            let (parts, ()) = Request::get(target).body(()).unwrap().into_parts();
            let rewritten = rewritten_target(&parts, &normalize(parts.uri.path()).unwrap()).unwrap();
            assert_eq!(rewritten.map(|uri| uri.to_string()).as_deref(), expected, "{target}");
        }
    }
}
