//! Who the client is, and what the backend is told of it: `X-Forwarded-*`, `X-Real-IP`, `X-Request-ID`.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::headers::{
    Seen, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_FORWARDED_SCHEME, X_REAL_IP, X_REQUEST_ID,
};
use crate::model::{CidrSet, Scheme, canonical_ip, request_host};

const HTTP: HeaderValue = HeaderValue::from_static("http");
const HTTPS: HeaderValue = HeaderValue::from_static("https");

/// The client as the backend is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Client {
    /// Its address: the peer's, or the last in `X-Forwarded-For` that no trusted proxy has.
    pub(super) address: IpAddr,
    /// The scheme that it used.
    pub(super) scheme: Scheme,
    /// The port that it used.
    pub(super) port: u16,
    /// The authority that it asked a trusted proxy for; `None` if nobody says it was another than ours.
    pub(super) host: Option<HeaderValue>,
    /// What came in `X-Forwarded-For`, to be continued; `None` starts anew.
    chain: Option<Bytes>,
}

impl Client {
    /// Takes the connection's word alone.
    pub(super) fn of_connection(address: IpAddr, scheme: Scheme, port: u16) -> Self {
        Self { address, scheme, port, host: None, chain: None }
    }

    /// Believes what a trusted proxy says in `X-Forwarded-*`. A value that makes no sense is not believed.
    pub(super) fn behind_proxy(peer: IpAddr, scheme: Scheme, port: u16, headers: &HeaderMap, trusted: &CidrSet) -> Self {
        let mut client = Self::of_connection(peer, scheme, port);
        let chain = join(headers, &X_FORWARDED_FOR);
        if let Some(text) = chain.as_deref().and_then(|chain| std::str::from_utf8(chain).ok()) {
            for entry in text.rsplit(',') {
                let Some(address) = address_of(entry.trim()) else { break };
                client.address = address;
                if !trusted.contains(address) {
                    break;
                }
            }
        }
        client.chain = chain;
        if let Some(believed) = first(headers, &X_FORWARDED_PROTO).and_then(scheme_of) {
            client.scheme = believed;
            if believed != scheme {
                client.port = believed.default_port();
            }
        }
        if let Some(believed) = first(headers, &X_FORWARDED_PORT).and_then(|text| text.parse().ok()).filter(|port| *port != 0) {
            client.port = believed;
        }
        client.host =
            first(headers, &X_FORWARDED_HOST).filter(|host| request_host(host).is_ok()).and_then(|host| HeaderValue::from_str(host).ok());
        client
    }

    /// Returns what the backend is to be told, with the request's ID. `host` is what the client sent as `Host`.
    pub(super) fn told(self, headers: &HeaderMap, seen: Seen, peer: IpAddr, host: HeaderValue, memo: &Memo) -> Told {
        let id = if seen.has(Seen::REQUEST_ID) { RequestId::of(headers, memo) } else { RequestId::Made(memo.request_id()) };
        Told { id, client: self, peer, host }
    }
}

/// Returns the ID of a request that no backend is told of.
pub(super) fn request_id(headers: &HeaderMap, memo: &Memo) -> HeaderValue {
    RequestId::of(headers, memo).field()
}

/// What a backend is told of a client and of its request.
#[derive(Debug)]
pub(super) struct Told {
    client: Client,
    peer: IpAddr,
    host: HeaderValue,
    id: RequestId,
}

/// A request's ID.
#[derive(Debug)]
enum RequestId {
    /// The client's own.
    Sent(HeaderValue),
    /// Ours: a field is made of it when it is written, since most are written once.
    Made([u8; 32]),
}

impl RequestId {
    /// Takes the client's, if it is kept, or makes one.
    fn of(headers: &HeaderMap, memo: &Memo) -> Self {
        let sent = headers.get(&X_REQUEST_ID).filter(|id| is_request_id(id)).cloned();
        sent.map_or_else(|| Self::Made(memo.request_id()), Self::Sent)
    }

    fn field(&self) -> HeaderValue {
        match self {
            Self::Sent(field) => field.clone(),
            Self::Made(digits) => HeaderValue::from_bytes(digits).unwrap_or(HTTP),
        }
    }
}

impl Told {
    /// Writes it, in place of what the client said of itself.
    pub(super) fn write(&self, headers: &mut HeaderMap, memo: &Memo) {
        headers.insert(X_REQUEST_ID, self.id.field());
        let address = memo.address(self.client.address);
        let scheme = match self.client.scheme {
            Scheme::Http => HTTP,
            Scheme::Https => HTTPS,
        };
        let chain = self.client.chain.as_ref().and_then(|chain| continued(chain, self.peer)).unwrap_or_else(|| address.clone());
        headers.insert(X_FORWARDED_FOR, chain);
        headers.insert(X_FORWARDED_HOST, self.client.host.as_ref().unwrap_or(&self.host).clone());
        headers.insert(X_FORWARDED_PORT, memo.port(self.client.port));
        headers.insert(X_FORWARDED_PROTO, scheme.clone());
        headers.insert(X_FORWARDED_SCHEME, scheme);
        headers.insert(X_REAL_IP, address);
    }
}

/// How many clients' addresses a worker has written down: each has its place, which it may share with others.
const ADDRESSES: usize = 256;
/// How many ports: those of the listeners, as a rule.
const PORTS: usize = 8;
/// How many authorities of HTTP/2, where every request names its own and one after the other names the same.
const AUTHORITIES: usize = 256;

/// Values that a worker writes again and again, and its source of request IDs.
#[derive(Debug)]
pub(super) struct Memo {
    addresses: RefCell<Vec<(IpAddr, HeaderValue)>>,
    ports: RefCell<Vec<(u16, HeaderValue)>>,
    authorities: RefCell<Vec<HeaderValue>>,
    random: Cell<[u64; 2]>,
}

impl Memo {
    pub(super) fn new() -> Self {
        let unspecified = IpAddr::from([0, 0, 0, 0]);
        let seed = || RandomState::new().hash_one(std::process::id());
        Self {
            addresses: RefCell::new(vec![(unspecified, written(unspecified)); ADDRESSES]),
            ports: RefCell::new(vec![(0, written(0)); PORTS]),
            authorities: RefCell::new(vec![written(""); AUTHORITIES]),
            random: Cell::new([seed() | 1, seed()]),
        }
    }

    fn address(&self, address: IpAddr) -> HeaderValue {
        let place = |octets: &[u8]| octets.iter().fold(0, |sum: u8, octet| sum.wrapping_mul(31).wrapping_add(*octet));
        let place = match address {
            IpAddr::V4(address) => place(&address.octets()),
            IpAddr::V6(address) => place(&address.octets()),
        };
        remembered(&mut self.addresses.borrow_mut(), usize::from(place) % ADDRESSES, address)
    }

    fn port(&self, port: u16) -> HeaderValue {
        remembered(&mut self.ports.borrow_mut(), usize::from(port) % PORTS, port)
    }

    /// Returns an authority as the value of a field; `None` if it cannot be one.
    pub(super) fn authority(&self, text: &str) -> Option<HeaderValue> {
        let place = text.bytes().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let mut known = self.authorities.borrow_mut();
        let Some(value) = known.get_mut(place % AUTHORITIES) else { return HeaderValue::from_str(text).ok() };
        if value.as_bytes() != text.as_bytes() {
            *value = HeaderValue::from_str(text).ok()?;
        }
        Some(value.clone())
    }

    /// Makes an ID of 128 random bits, in hexadecimal digits. They tell requests apart; they are no secret.
    fn request_id(&self) -> [u8; 32] {
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let digit = |four_bits: u8| DIGITS.get(usize::from(four_bits & 15)).copied().unwrap_or(b'0');
        let mut text = [0; 32];
        let bytes = self.next().to_be_bytes().into_iter().chain(self.next().to_be_bytes());
        for (place, byte) in text.as_chunks_mut().0.iter_mut().zip(bytes) {
            *place = [digit(byte >> 4), digit(byte)];
        }
        text
    }

    /// Steps xoroshiro128++ (Blackman and Vigna).
    fn next(&self) -> u64 {
        let [s0, mut s1] = self.random.get();
        let result = s0.wrapping_add(s1).rotate_left(17).wrapping_add(s0);
        s1 ^= s0;
        self.random.set([s0.rotate_left(49) ^ s1 ^ (s1 << 21), s1.rotate_left(28)]);
        result
    }
}

/// Returns the value that is written for this, from its place if it is there, else from now on.
fn remembered<T: PartialEq + Copy + std::fmt::Display>(memo: &mut [(T, HeaderValue)], place: usize, of: T) -> HeaderValue {
    match memo.get_mut(place) {
        Some((known, value)) => {
            if *known != of {
                (*known, *value) = (of, written(of));
            }
            value.clone()
        }
        None => written(of),
    }
}

/// Writes a value that is short and made of header characters only.
fn written(value: impl std::fmt::Display) -> HeaderValue {
    let mut text = [0; 64];
    let mut rest = text.as_mut_slice();
    let written = write!(rest, "{value}").map(|()| 64 - rest.len()).unwrap_or_default();
    text.get(..written).and_then(|text| HeaderValue::from_bytes(text).ok()).unwrap_or(HeaderValue::from_static(""))
}

/// Whether a client's request ID is kept: visible ASCII, at most 128 bytes.
fn is_request_id(value: &HeaderValue) -> bool {
    (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// Returns all values of a field as one list; `None` without any.
fn join(headers: &HeaderMap, name: &HeaderName) -> Option<Bytes> {
    let mut values = headers.get_all(name).iter();
    let only = values.next()?;
    let mut joined = BytesMut::from(only.as_bytes());
    for value in values {
        joined.put_slice(b", ");
        joined.put_slice(value.as_bytes());
    }
    Some(joined.freeze())
}

/// Returns the first element of a field.
fn first<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(text.split_once(',').map_or(text, |(first, _)| first).trim())
}

fn scheme_of(text: &str) -> Option<Scheme> {
    [Scheme::Http, Scheme::Https].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
}

/// Reads an address, with or without a port.
fn address_of(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bracketed).map(canonical_ip)
}

fn continued(chain: &[u8], peer: IpAddr) -> Option<HeaderValue> {
    let mut all = BytesMut::with_capacity(chain.len() + 48);
    all.put_slice(chain);
    if !chain.is_empty() {
        all.put_slice(b", ");
    }
    all.put_slice(written(peer).as_bytes());
    HeaderValue::from_maybe_shared(all.freeze()).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::super::headers::scan;
    use super::*;

    fn told(client: Client, mut headers: HeaderMap) -> Vec<String> {
        let (seen, _) = scan(&headers);
        let memo = Memo::new();
        client.told(&headers, seen, "10.0.0.1".parse().unwrap(), HeaderValue::from_static("a.test:81"), &memo).write(&mut headers, &memo);
        [X_FORWARDED_FOR, X_REAL_IP, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO, X_FORWARDED_SCHEME]
            .map(|name| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join("|"))
            .to_vec()
    }

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let headers = map(&[("x-forwarded-for", "1.2.3.4"), ("x-real-ip", "1.2.3.4"), ("x-forwarded-proto", "https")]);
        let client = Client::of_connection("192.0.2.7".parse().unwrap(), Scheme::Http, 80);
        assert_eq!(told(client, headers), ["192.0.2.7", "192.0.2.7", "a.test:81", "80", "http", "http"]);
    }

    #[test]
    fn a_trusted_proxy_is_believed_as_far_as_it_makes_sense() {
        let mut trusted = CidrSet::default();
        trusted.add("10.0.0.0/8").unwrap();
        trusted.add("fd00::/8").unwrap();
        for (what, fields, expected) in [
            ("nothing said", &[][..], ["10.0.0.1", "10.0.0.1", "a.test:81", "80", "http"]),
            (
                "the client behind one proxy",
                &[("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "HTTPS")],
                ["192.0.2.7, 10.0.0.1", "192.0.2.7", "a.test:81", "443", "https"],
            ),
            (
                "the client behind two proxies, with a lie before",
                &[("x-forwarded-for", "1.1.1.1, 192.0.2.7"), ("x-forwarded-for", "10.0.0.2")],
                ["1.1.1.1, 192.0.2.7, 10.0.0.2, 10.0.0.1", "192.0.2.7", "a.test:81", "80", "http"],
            ),
            (
                "addresses with ports",
                &[("x-forwarded-for", "192.0.2.7:99, [fd00::1]:80")],
                ["192.0.2.7:99, [fd00::1]:80, 10.0.0.1", "192.0.2.7", "a.test:81", "80", "http"],
            ),
            (
                "what is no address ends the walk",
                &[("x-forwarded-for", "192.0.2.7, unknown, 10.0.0.2")],
                ["192.0.2.7, unknown, 10.0.0.2, 10.0.0.1", "10.0.0.2", "a.test:81", "80", "http"],
            ),
            (
                "host and port",
                &[("x-forwarded-host", "www.test:8443, b"), ("x-forwarded-port", "8443"), ("x-forwarded-proto", "https")],
                ["10.0.0.1", "10.0.0.1", "www.test:8443", "8443", "https"],
            ),
            (
                "nonsense",
                &[("x-forwarded-host", "a b"), ("x-forwarded-port", "0"), ("x-forwarded-proto", "gopher")],
                ["10.0.0.1", "10.0.0.1", "a.test:81", "80", "http"],
            ),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let client = Client::behind_proxy("10.0.0.1".parse().unwrap(), Scheme::Http, 80, &headers, &trusted);
            assert_eq!(told(client, headers)[..5], expected, "{what}");
        }
    }

    #[test]
    fn a_request_id_is_kept_if_it_is_one_and_else_made() {
        let memo = Memo::new();
        let id = |sent: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(sent) = sent {
                headers.insert(X_REQUEST_ID, sent.parse().unwrap());
            }
            let (seen, _) = scan(&headers);
            let client = Client::of_connection("192.0.2.7".parse().unwrap(), Scheme::Http, 80);
            client.told(&headers, seen, "192.0.2.7".parse().unwrap(), HeaderValue::from_static("a"), &memo).write(&mut headers, &memo);
            headers[X_REQUEST_ID].to_str().unwrap().to_owned()
        };
        let longest = "x".repeat(128);
        for kept in ["abc-123", longest.as_str()] {
            assert_eq!(id(Some(kept)), kept);
        }
        let made = [id(None), id(None), id(Some("")), id(Some("a b")), id(Some(&"x".repeat(129)))];
        for one in &made {
            assert!(one.len() == 32 && one.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()), "{one}");
        }
        assert_eq!(made.iter().collect::<std::collections::BTreeSet<_>>().len(), made.len());
    }

    #[test]
    fn every_client_is_told_by_its_own_address_whatever_was_told_before() {
        let memo = Memo::new();
        for _ in 0..2 {
            for last in 0..=255_u8 {
                for address in [IpAddr::from([192, 0, last, 7]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)])] {
                    assert_eq!(memo.address(address), address.to_string());
                }
            }
        }
        assert_eq!([80, 88, 0, 443].map(|port| memo.port(port)), ["80", "88", "0", "443"]);
        for _ in 0..2 {
            for number in 0..1_000 {
                let authority = format!("host-{number}.test:{number}");
                assert_eq!(memo.authority(&authority).unwrap(), authority);
            }
        }
        assert_eq!(memo.authority("a\n"), None);
    }
}
