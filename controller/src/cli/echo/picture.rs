//! What reached the server, as JSON.

use aws_lc_rs::digest::{Context, SHA256};
use http::{HeaderMap, Request, Version, header, request};
use http_body_util::BodyExt as _;
use serde::Serialize;

use super::Connection;

/// Bytes of a textual body that the picture carries in full.
const LONGEST_TEXT_BYTES: usize = 4096;

/// A request as it reached the server. Names of headers are in lower case, as the HTTP library keeps them; the values of one name
/// stand together, in their order.
#[derive(Debug, Serialize)]
pub(super) struct Picture {
    name: String,
    method: String,
    /// The path and query, byte for byte; `*` for that form.
    uri: String,
    /// The authority of the request target, or of HTTP/2's `:authority`; `None` without one.
    authority: Option<String>,
    /// The `Host` header; in HTTP/2 usually `None`.
    host: Option<String>,
    protocol: &'static str,
    scheme: &'static str,
    /// The server name of the TLS handshake.
    server_name: Option<String>,
    peer: String,
    local: String,
    headers: Vec<(String, String)>,
    body: BodyPicture,
    trailers: Vec<(String, String)>,
}

/// A body that reached the server.
#[derive(Debug, Serialize)]
pub(super) struct BodyPicture {
    bytes: u64,
    sha256: String,
    /// The body itself, if it is short UTF-8 text.
    text: Option<String>,
}

impl Picture {
    /// Reads a request to its end.
    ///
    /// # Errors
    /// The body breaks off.
    pub(super) async fn take(connection: &Connection, request: Request<hyper::body::Incoming>) -> Result<Self, hyper::Error> {
        let (head, mut incoming) = request.into_parts();
        let (mut digest, mut bytes, mut start, mut trailers) = (Context::new(&SHA256), 0_u64, Vec::new(), HeaderMap::new());
        while let Some(frame) = incoming.frame().await {
            match frame?.into_data() {
                Ok(data) => {
                    digest.update(&data);
                    bytes += data.len() as u64;
                    // One byte more than is shown tells a longer body from one that just fits.
                    let room = (LONGEST_TEXT_BYTES + 1).saturating_sub(start.len());
                    start.extend_from_slice(data.get(..room).unwrap_or(&data));
                }
                Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        let text = if start.is_empty() || start.len() > LONGEST_TEXT_BYTES { None } else { String::from_utf8(start).ok() };
        let body = BodyPicture { bytes, sha256: hexadecimal(digest.finish().as_ref()), text };
        Ok(Self::of(connection, &head, body, &trailers))
    }

    fn of(connection: &Connection, head: &request::Parts, body: BodyPicture, trailers: &HeaderMap) -> Self {
        Self {
            name: connection.name.to_string(),
            method: head.method.to_string(),
            uri: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            authority: head.uri.authority().map(ToString::to_string),
            host: head.headers.get(header::HOST).map(|value| latin1(value.as_bytes())),
            protocol: protocol(head.version),
            scheme: if connection.tls.is_some() { "https" } else { "http" },
            server_name: connection.tls.clone().flatten(),
            peer: connection.peer.to_string(),
            local: connection.local.to_string(),
            headers: pairs(&head.headers),
            body,
            trailers: pairs(trailers),
        }
    }

    /// Returns it as JSON text that ends in a line feed.
    pub(super) fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
        text.push('\n');
        text
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), latin1(value.as_bytes()))).collect()
}

/// Returns the bytes as text: UTF-8 if they are, else each byte as the character of its number, so that none is lost.
fn latin1(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "unknown",
    }
}
