//! What is said of connections that did not end as they should.

use std::error::Error;

use super::activity::Due;
use super::handshake::HandshakeError;
use super::http::Ended;
use crate::error::Reason;
use crate::forward::{Connection, Worker};
use crate::model::Scheme;
use crate::observe::{ClientFacts, Record};

/// Reports a connection on which HTTP did not begin. Scanners make many of them: not a matter for an operator. Where it was a request
/// that failed, it has its line in the access log.
pub(super) fn not_established(worker: &Worker, client: ClientFacts<'_>, error: &HandshakeError) {
    tracing::debug!(listener = &**client.listener, client.ip = %client.client.ip(), %error, "connection closed before HTTP");
    match error {
        HandshakeError::ClearText => record_unread(worker, client, Reason::HttpOnHttps),
        HandshakeError::Late(Due::HeadLate) if client.scheme == Scheme::Http => record_unread(worker, client, Reason::HeaderTimeout),
        HandshakeError::Silent
        | HandshakeError::Proxy(_)
        | HandshakeError::Tls(_)
        | HandshakeError::Late(_)
        | HandshakeError::Gone
        | HandshakeError::Io(_) => {}
    }
}

/// Reports how HTTP on a connection ended, where it did not as it should. A request that was refused before anyone could see it has
/// its line in the access log like others, as far as it is known.
pub(super) fn ended(worker: &Worker, connection: &Connection, ended: &Ended) {
    let Some(reason) = reason(ended) else { return };
    if reason != Reason::ClientGone {
        record_unread(worker, connection.facts(), reason);
    }
    let (listener, ip, reason) = (&*connection.listener, connection.client_ip(), reason.as_str());
    match ended {
        Ended::Failed(error) => tracing::debug!(listener, client.ip = %ip, reason, error = error as &dyn Error, "connection failed"),
        Ended::Orderly | Ended::Cut(_) => tracing::debug!(listener, client.ip = %ip, reason, "connection cut"),
    }
}

/// Counts and logs a request of which nothing was read but that it is refused: `-` stands for method and target.
fn record_unread(worker: &Worker, client: ClientFacts<'_>, reason: Reason) {
    let Ok(request) = http::Request::builder().method("-").uri("-").body(()) else { return };
    let (parts, ()) = request.into_parts();
    let mut record = Record::begin(worker.observer(), client, &parts);
    record.reason(reason);
    record.status(reason.status());
    record.finish();
}

/// Returns the reason of an end that is worth a line.
fn reason(ended: &Ended) -> Option<Reason> {
    match ended {
        Ended::Orderly | Ended::Cut(Due::Nothing | Due::Sleep | Due::Close | Due::CloseLate) => None,
        Ended::Cut(Due::HeadLate) => Some(Reason::HeaderTimeout),
        Ended::Cut(Due::WriteStalled) => Some(Reason::ClientGone),
        Ended::Failed(error) if error.is_parse_too_large() => {
            // hyper has one question for two limits; only its text tells them apart.
            Some(if error.to_string().contains("URI") { Reason::TargetTooLong } else { Reason::HeadersTooLarge })
        }
        Ended::Failed(error) if error.is_parse() || broke_http2(error) => Some(Reason::BadRequest),
        Ended::Failed(_) => Some(Reason::ClientGone),
    }
}

/// Whether it was us who ended HTTP/2, because of what the client did.
fn broke_http2(error: &hyper::Error) -> bool {
    error.source().and_then(|source| source.downcast_ref::<h2::Error>()).is_some_and(h2::Error::is_library)
}
