//! What a backend is told of a client and of its request: `X-Forwarded-*`, `X-Real-IP`, `X-Request-ID`.
//!
//! It stands beside a request's own fields until it is sent. Then it is written after them, or, where a library writes the request, put
//! among them.

use std::net::IpAddr;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderValue};

use super::client::{Client, Memo, written};
use super::headers::{
    Seen, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_FORWARDED_SCHEME, X_REAL_IP, X_REQUEST_ID, remove_told,
};
use crate::model::Scheme;
use crate::upstream::MoreFields;

const HTTP: HeaderValue = HeaderValue::from_static("http");
const HTTPS: HeaderValue = HeaderValue::from_static("https");

/// What a backend is told.
#[derive(Debug)]
pub(super) struct Told<'w> {
    client: Client,
    peer: IpAddr,
    host: HeaderValue,
    id: RequestId,
    memo: &'w Memo,
}

/// A request's ID.
#[derive(Debug)]
enum RequestId {
    /// The client's own.
    Sent(HeaderValue),
    /// Ours.
    Made([u8; 32]),
}

/// Returns the ID of a request that no backend is told of.
pub(super) fn request_id(headers: &HeaderMap, memo: &Memo) -> HeaderValue {
    RequestId::of(headers, memo).field()
}

impl RequestId {
    /// Takes the client's, if it is kept, or makes one.
    fn of(headers: &HeaderMap, memo: &Memo) -> Self {
        let sent = headers.get(&X_REQUEST_ID).filter(|id| is_request_id(id)).cloned();
        sent.map_or_else(|| Self::Made(memo.request_id()), Self::Sent)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Sent(field) => field.as_bytes(),
            Self::Made(digits) => digits,
        }
    }

    fn field(&self) -> HeaderValue {
        match self {
            Self::Sent(field) => field.clone(),
            Self::Made(digits) => HeaderValue::from_bytes(digits).unwrap_or(HTTP),
        }
    }
}

impl<'w> Told<'w> {
    /// Finds out what is to be told of a client, whose `Host` this is, and takes away what it said of itself.
    pub(super) fn of(client: Client, headers: &mut HeaderMap, seen: Seen, peer: IpAddr, host: HeaderValue, memo: &'w Memo) -> Self {
        let id = if seen.has(Seen::REQUEST_ID) { RequestId::of(headers, memo) } else { RequestId::Made(memo.request_id()) };
        if seen.has(Seen::REQUEST_ID) || seen.has(Seen::X_FORWARDED) {
            remove_told(headers);
        }
        Self { client, peer, host, id, memo }
    }

    /// Returns the request's ID.
    pub(super) fn request_id(&self) -> &[u8] {
        self.id.bytes()
    }

    fn host(&self) -> &HeaderValue {
        self.client.host.as_ref().unwrap_or(&self.host)
    }

    /// Returns `X-Forwarded-For` where there is more to it than the client's address.
    fn chain(&self) -> Option<HeaderValue> {
        let chain = self.client.chain.as_ref()?;
        let mut all = BytesMut::with_capacity(chain.len() + 48);
        all.put_slice(chain);
        if !chain.is_empty() {
            all.put_slice(b", ");
        }
        all.put_slice(written(self.peer).as_bytes());
        HeaderValue::from_maybe_shared(all.freeze()).ok()
    }
}

impl MoreFields for Told<'_> {
    fn insert_into(&self, headers: &mut HeaderMap) {
        let address = self.memo.address(self.client.address, HeaderValue::clone);
        let scheme = match self.client.scheme {
            Scheme::Http => HTTP,
            Scheme::Https => HTTPS,
        };
        headers.insert(X_REQUEST_ID, self.id.field());
        headers.insert(X_FORWARDED_FOR, self.chain().unwrap_or_else(|| address.clone()));
        headers.insert(X_FORWARDED_HOST, self.host().clone());
        headers.insert(X_FORWARDED_PORT, self.memo.port(self.client.port, HeaderValue::clone));
        headers.insert(X_FORWARDED_PROTO, scheme.clone());
        headers.insert(X_FORWARDED_SCHEME, scheme);
        headers.insert(X_REAL_IP, address);
    }

    fn write_to(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(b"x-request-id: ");
        text.extend_from_slice(self.id.bytes());
        let chain = self.chain();
        self.memo.address(self.client.address, |address| {
            text.extend_from_slice(b"\r\nx-forwarded-for: ");
            text.extend_from_slice(chain.as_ref().unwrap_or(address).as_bytes());
            text.extend_from_slice(b"\r\nx-real-ip: ");
            text.extend_from_slice(address.as_bytes());
        });
        text.extend_from_slice(b"\r\nx-forwarded-host: ");
        text.extend_from_slice(self.host().as_bytes());
        text.extend_from_slice(b"\r\nx-forwarded-port: ");
        self.memo.port(self.client.port, |port| text.extend_from_slice(port.as_bytes()));
        text.extend_from_slice(match self.client.scheme {
            Scheme::Http => b"\r\nx-forwarded-proto: http\r\nx-forwarded-scheme: http\r\n",
            Scheme::Https => b"\r\nx-forwarded-proto: https\r\nx-forwarded-scheme: https\r\n",
        });
    }
}

/// Whether a client's request ID is kept: visible ASCII, at most 128 bytes.
fn is_request_id(value: &HeaderValue) -> bool {
    (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#[path = "told/tests.rs"]
mod tests;
