//! Header fields: read in one pass, then only what is there is taken away (RFC 9110 §7.6.1) and ours is added.

use bytes::{BufMut, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, DATE, EXPECT, Entry, FORWARDED, HOST, SERVER, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY: HeaderName = HeaderName::from_static("proxy");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What a backend is told of its client.
static TOLD: [HeaderName; 7] =
    [X_REQUEST_ID, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_FORWARDED_SCHEME, X_REAL_IP];
/// What is said of one connection alone, besides `Connection` and what that names.
static HOP_BY_HOP: [(Seen, HeaderName); 5] = [
    (Seen::KEEP_ALIVE, KEEP_ALIVE),
    (Seen::PROXY_CONNECTION, PROXY_CONNECTION),
    (Seen::TE, TE),
    (Seen::TRANSFER_ENCODING, TRANSFER_ENCODING),
    (Seen::UPGRADE, UPGRADE),
];
/// What a client says to us alone, or must not be believed.
static NOT_FOR_BACKENDS: [(Seen, HeaderName); 4] =
    [(Seen::PROXY, PROXY), (Seen::FORWARDED, FORWARDED), (Seen::EXPECT, EXPECT), (Seen::HTTP2_SETTINGS, HTTP2_SETTINGS)];
pub(super) const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const OUR_NAME: HeaderValue = HeaderValue::from_static("tidegate");

/// Which fields of interest a request or response has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen(u32);

impl Seen {
    pub(super) const CONNECTION: Self = Self(1);
    const KEEP_ALIVE: Self = Self(1 << 1);
    const PROXY_CONNECTION: Self = Self(1 << 2);
    const TE: Self = Self(1 << 3);
    pub(super) const TRANSFER_ENCODING: Self = Self(1 << 4);
    pub(super) const UPGRADE: Self = Self(1 << 5);
    const PROXY: Self = Self(1 << 6);
    const FORWARDED: Self = Self(1 << 7);
    const EXPECT: Self = Self(1 << 8);
    const HTTP2_SETTINGS: Self = Self(1 << 9);
    const COOKIE: Self = Self(1 << 10);
    /// More than one `Cookie`.
    const COOKIES: Self = Self(1 << 11);
    pub(super) const HOST: Self = Self(1 << 12);
    /// More than one `Host`.
    pub(super) const HOSTS: Self = Self(1 << 13);
    const CONTENT_LENGTH: Self = Self(1 << 14);
    const SERVER: Self = Self(1 << 15);
    const DATE: Self = Self(1 << 16);
    pub(super) const REQUEST_ID: Self = Self(1 << 17);
    /// One of those that we set anew.
    pub(super) const X_FORWARDED: Self = Self(1 << 18);
    /// A name that some backends take for one that we set or that frames the body, such as `x_real_ip` and `content_length`.
    const ALIAS: Self = Self(1 << 19);

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Leaves out what a trusted proxy may say.
    pub(super) fn judged(self, trust: Trust) -> Self {
        match trust {
            Trust::Stranger => self,
            Trust::Proxy => Self(self.0 & !Self::FORWARDED.0),
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "connection" => Self::CONNECTION,
            "keep-alive" => Self::KEEP_ALIVE,
            "proxy-connection" => Self::PROXY_CONNECTION,
            "te" => Self::TE,
            "transfer-encoding" => Self::TRANSFER_ENCODING,
            "upgrade" => Self::UPGRADE,
            "proxy" => Self::PROXY,
            "forwarded" => Self::FORWARDED,
            "expect" => Self::EXPECT,
            "http2-settings" => Self::HTTP2_SETTINGS,
            "cookie" => Self::COOKIE,
            "host" => Self::HOST,
            "content-length" => Self::CONTENT_LENGTH,
            "server" => Self::SERVER,
            "date" => Self::DATE,
            "x-request-id" => Self::REQUEST_ID,
            "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-port" | "x-forwarded-proto" | "x-forwarded-scheme" | "x-real-ip" => {
                Self::X_FORWARDED
            }
            other if is_alias(other) => Self::ALIAS,
            _ => Self::default(),
        }
    }
}

/// Takes away what only we may say of a client.
pub(super) fn remove_told(headers: &mut HeaderMap) {
    for name in &TOLD {
        headers.remove(name);
    }
}

/// Whether the peer's word about the client counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is one of the trusted proxies.
    Proxy,
    /// It is anybody.
    Stranger,
}

/// CGI and its heirs turn `-` and `_` into the same letter, so that `x_real_ip` would pass for what only we may say, and
/// `transfer_encoding` for framing that we have not read.
fn is_alias(name: &str) -> bool {
    name.contains('_') && {
        let plain = name.replace('_', "-");
        [Seen::X_FORWARDED, Seen::REQUEST_ID, Seen::TRANSFER_ENCODING, Seen::CONTENT_LENGTH].contains(&Seen::of(&plain))
    }
}

/// Reads all fields once; returns what is there and the size of the block in bytes (names, values and four for each line).
pub(super) fn scan(headers: &HeaderMap) -> (Seen, usize) {
    let mut seen = Seen::default();
    let mut bytes = 0;
    for (name, value) in headers {
        bytes += name.as_str().len() + value.len() + 4;
        let one = Seen::of(name.as_str());
        if one == Seen::COOKIE && seen.has(Seen::COOKIE) {
            seen.add(Seen::COOKIES);
        }
        if one == Seen::HOST && seen.has(Seen::HOST) {
            seen.add(Seen::HOSTS);
        }
        seen.add(one);
    }
    (seen, bytes)
}

/// Whether `chunked`, once, is all that was done to the body: what else stands before it would have to be undone, or told on
/// (RFC 9112 §6.1).
pub(super) fn is_only_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

/// Takes from a request what is meant for us alone or must not be believed. `Upgrade` goes too: whoever upgrades puts it back.
/// `Content-Length` gives way to `Transfer-Encoding` (RFC 9112 §6.3). Returns whether `TE` named trailers.
pub(super) fn clean_request(headers: &mut HeaderMap, seen: Seen) -> bool {
    let trailers = seen.has(Seen::TE) && has_token(headers, &TE, "trailers");
    if seen.has(Seen::TRANSFER_ENCODING) && seen.has(Seen::CONTENT_LENGTH) {
        headers.remove(CONTENT_LENGTH);
    }
    clean_seen(headers, seen);
    remove_seen(headers, seen, &NOT_FOR_BACKENDS);
    if seen.has(Seen::ALIAS) {
        let aliases: Vec<_> = headers.keys().filter(|name| is_alias(name.as_str())).cloned().collect();
        for alias in aliases {
            headers.remove(alias);
        }
    }
    if seen.has(Seen::COOKIES) {
        join_cookies(headers);
    }
    trailers
}

/// Takes from a response what was meant for us alone, and adds `Server` and `Date` where the endpoint has set none.
/// `Content-Length` gives way to `Transfer-Encoding` (RFC 9112 §6.3).
pub(super) fn clean_response(headers: &mut HeaderMap, date: impl FnOnce() -> HeaderValue) {
    let seen = clean(headers);
    if seen.has(Seen::TRANSFER_ENCODING) && seen.has(Seen::CONTENT_LENGTH) {
        headers.remove(CONTENT_LENGTH);
    }
    if !seen.has(Seen::SERVER) {
        headers.insert(SERVER, OUR_NAME);
    }
    if !seen.has(Seen::DATE) {
        headers.insert(DATE, date());
    }
}

/// Removes the hop-by-hop fields; returns which fields of interest there were.
pub(super) fn clean(headers: &mut HeaderMap) -> Seen {
    let (seen, _) = scan(headers);
    clean_seen(headers, seen);
    seen
}

/// Removes the hop-by-hop fields, those that `Connection` names included. `Trailer` stays: the trailers go on too.
fn clean_seen(headers: &mut HeaderMap, seen: Seen) {
    if seen.has(Seen::CONNECTION) {
        remove_named_by_connection(headers);
    }
    remove_seen(headers, seen, &HOP_BY_HOP);
}

fn remove_seen(headers: &mut HeaderMap, seen: Seen, names: &[(Seen, HeaderName)]) {
    for (which, name) in names {
        if seen.has(*which) {
            headers.remove(name);
        }
    }
}

fn remove_named_by_connection(headers: &mut HeaderMap) {
    if names_nothing(headers) {
        headers.remove(CONNECTION);
        return;
    }
    let values: Vec<HeaderValue> = match headers.entry(CONNECTION) {
        Entry::Occupied(entry) => entry.remove_entry_mult().1.collect(),
        Entry::Vacant(_) => return,
    };
    for token in values.iter().flat_map(tokens) {
        if token.eq_ignore_ascii_case("keep-alive") || token.eq_ignore_ascii_case("close") {
            continue;
        }
        // Nobody names these in earnest; without them the message would be another one.
        if let Ok(name) = HeaderName::from_bytes(token.as_bytes())
            && name != HOST
            && name != CONTENT_LENGTH
            && name != DATE
        {
            headers.remove(name);
        }
    }
}

/// Whether `Connection` says what it almost always says, which names no field.
fn names_nothing(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter();
    let usual = |value: &HeaderValue| [&b"keep-alive"[..], b"close"].iter().any(|usual| value.as_bytes().eq_ignore_ascii_case(usual));
    values.next().is_some_and(usual) && values.next().is_none()
}

/// Returns the elements of a comma-separated field; one that is not text has none.
fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|token| !token.is_empty())
}

/// Whether one of the elements of the field is this token, whatever its parameters.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    headers.get_all(name).iter().flat_map(tokens).any(|token| {
        let plain = token.split_once(';').map_or(token, |(plain, _)| plain.trim());
        plain.eq_ignore_ascii_case(wanted)
    })
}

/// HTTP/2 may split `Cookie`, HTTP/1.1 must not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let Entry::Occupied(mut entry) = headers.entry(COOKIE) else { return };
    let mut joined = BytesMut::with_capacity(entry.iter().map(|value| value.len() + 2).sum());
    for value in entry.iter() {
        if !joined.is_empty() {
            joined.put_slice(b"; ");
        }
        joined.put_slice(value.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(joined.freeze()) {
        entry.insert(value);
    }
}

/// Adds `Server` and `Date` to an answer of our own.
pub(super) fn sign(headers: &mut HeaderMap, date: HeaderValue) {
    headers.insert(SERVER, OUR_NAME);
    headers.insert(DATE, date);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
        let mut fields: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        fields.sort();
        fields
    }

    type Fields = &'static [(&'static str, &'static str)];

    #[test]
    fn what_is_meant_for_us_does_not_go_on() {
        let cases: &[(&str, Fields, Fields)] = &[
            ("nothing to do", &[("accept", "*/*"), ("host", "a")], &[("accept", "*/*"), ("host", "a")]),
            ("plain keep-alive", &[("connection", "Keep-Alive"), ("keep-alive", "timeout=5")], &[]),
            ("named by Connection", &[("connection", "close, X-Mine"), ("x-mine", "1"), ("x-yours", "2")], &[("x-yours", "2")]),
            ("named by a second Connection", &[("connection", "close"), ("connection", "x-mine"), ("x-mine", "1")], &[]),
            ("Host is not to be named away", &[("connection", "host, content-length"), ("host", "a")], &[("host", "a")]),
            ("transfer coding", &[("transfer-encoding", "chunked"), ("trailer", "x-sum")], &[("trailer", "x-sum")]),
            ("length beside transfer coding", &[("content-length", "5"), ("transfer-encoding", "chunked")], &[]),
            ("length alone", &[("content-length", "5")], &[("content-length", "5")]),
            ("te", &[("te", "gzip")], &[]),
            ("upgrade", &[("connection", "upgrade"), ("upgrade", "websocket")], &[]),
            ("h2c upgrade", &[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABk")], &[]),
            ("proxy-connection", &[("proxy-connection", "keep-alive")], &[]),
            ("httpoxy", &[("proxy", "http://evil.test")], &[]),
            ("forwarded", &[("forwarded", "for=1.2.3.4")], &[]),
            ("expect", &[("expect", "100-continue")], &[]),
            ("underscores", &[("x_forwarded_for", "1.2.3.4"), ("x_real-ip", "1"), ("x_other", "2")], &[("x_other", "2")]),
            ("framing with underscores", &[("transfer_encoding", "chunked"), ("content_length", "5")], &[]),
            ("split cookies", &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")], &[("cookie", "a=1; b=2; c=3")]),
        ];
        for (what, before, after) in cases {
            let mut headers = map(before);
            let (seen, _) = scan(&headers);
            clean_request(&mut headers, seen);
            assert_eq!(fields(&headers), fields(&map(after)), "{what}");
        }
    }

    #[test]
    fn trailers_are_noticed_whatever_stands_around_them() {
        for (te, expected) in [("trailers", true), ("gzip;q=0.5, Trailers", true), ("trailers;q=0.5", true), ("gzip", false)] {
            let mut headers = map(&[("te", te)]);
            let (seen, _) = scan(&headers);
            assert_eq!(clean_request(&mut headers, seen), expected, "{te}");
        }
    }

    #[test]
    fn a_response_keeps_its_own_server_and_date() {
        let date = || HeaderValue::from_static("now");
        let mut headers = map(&[("server", "theirs"), ("date", "then"), ("connection", "close"), ("transfer-encoding", "chunked")]);
        clean_response(&mut headers, date);
        assert_eq!(fields(&headers), fields(&map(&[("server", "theirs"), ("date", "then")])));
        let mut headers = map(&[("server", "theirs"), ("date", "then"), ("connection", "date")]);
        clean_response(&mut headers, date);
        assert_eq!(fields(&headers), fields(&map(&[("server", "theirs"), ("date", "then")])), "Date is not to be named away");
        let mut headers = HeaderMap::new();
        clean_response(&mut headers, date);
        assert_eq!(fields(&headers), fields(&map(&[("server", "tidegate"), ("date", "now")])));
    }

    #[test]
    fn a_scan_counts_bytes_and_second_hosts() {
        let (seen, bytes) = scan(&map(&[("host", "a"), ("x-a", "12")]));
        assert_eq!((seen.has(Seen::HOSTS), bytes), (false, 4 + 1 + 4 + 3 + 2 + 4));
        assert!(scan(&map(&[("host", "a"), ("host", "a")])).0.has(Seen::HOSTS));
    }
}
