//! What is said of connections that did not end as they should.

use std::net::SocketAddr;

use super::activity::Due;
use super::handshake::HandshakeError;
use super::http::Ended;
use crate::error::Reason;
use crate::forward::Connection;

/// Reports a connection on which HTTP did not begin. Scanners make many of them: not a matter for an operator.
pub(super) fn not_established(listener: &str, peer: SocketAddr, error: &HandshakeError) {
    tracing::debug!(listener, client.ip = %peer.ip(), %error, "connection closed before HTTP");
}

/// Reports how HTTP on a connection ended, where a request was refused by it or lost.
pub(super) fn ended(connection: &Connection, ended: &Ended) {
    let Some(reason) = reason(ended) else { return };
    let (listener, ip) = (&*connection.listener, connection.client_ip());
    let status = reason.status().as_u16();
    match ended {
        Ended::Failed(error) => {
            tracing::debug!(listener, client.ip = %ip, status, reason = reason.as_str(), error = error as &dyn std::error::Error, "connection failed");
        }
        Ended::Orderly | Ended::Cut(_) => {
            tracing::debug!(listener, client.ip = %ip, status, reason = reason.as_str(), "connection cut");
        }
    }
}

/// Returns the reason of an end that is worth a line.
fn reason(ended: &Ended) -> Option<Reason> {
    match ended {
        Ended::Orderly | Ended::Cut(Due::Nothing | Due::Close | Due::CloseLate) => None,
        Ended::Cut(Due::HeadLate) => Some(Reason::HeaderTimeout),
        Ended::Cut(Due::WriteStalled) => Some(Reason::ClientGone),
        Ended::Failed(error) if error.is_parse_too_large() => {
            // hyper has one question for two limits; only its text tells them apart.
            Some(if error.to_string().contains("URI") { Reason::TargetTooLong } else { Reason::HeadersTooLarge })
        }
        Ended::Failed(error) if error.is_parse() => Some(Reason::BadRequest),
        Ended::Failed(_) => Some(Reason::ClientGone),
    }
}
