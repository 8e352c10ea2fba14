//! Who the client is, and the values of what a backend is told of it.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::headers::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO};
use crate::model::{CidrSet, Scheme, canonical_ip, request_host};

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
    pub(super) chain: Option<Bytes>,
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

    pub(super) fn address<T>(&self, address: IpAddr, read: impl FnOnce(&HeaderValue) -> T) -> T {
        let place = |octets: &[u8]| octets.iter().fold(0, |sum: u8, octet| sum.wrapping_mul(31).wrapping_add(*octet));
        let place = match address {
            IpAddr::V4(address) => place(&address.octets()),
            IpAddr::V6(address) => place(&address.octets()),
        };
        remembered(&mut self.addresses.borrow_mut(), usize::from(place) % ADDRESSES, address, read)
    }

    pub(super) fn port<T>(&self, port: u16, read: impl FnOnce(&HeaderValue) -> T) -> T {
        remembered(&mut self.ports.borrow_mut(), usize::from(port) % PORTS, port, read)
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
    pub(super) fn request_id(&self) -> [u8; 32] {
        let random = (u128::from(self.next()) << 64) | u128::from(self.next());
        let mut text = [0; 32];
        for (place, four_bytes) in text.as_chunks_mut().0.iter_mut().zip(random.to_be_bytes().as_chunks().0) {
            *place = hexadecimal(u32::from_be_bytes(*four_bytes));
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

/// Returns the digits of a number. All are made at once, each in a byte of a word.
fn hexadecimal(number: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut digits = u64::from(number);
    digits = (digits | (digits << 16)) & 0x0000_ffff_0000_ffff;
    digits = (digits | (digits << 8)) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | (digits << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    // From 10 on, 6 more carries into the upper half of the byte.
    let letters = ((digits + 6 * EACH) >> 4) & EACH;
    (digits + u64::from(b'0') * EACH + letters * (u64::from(b'a') - u64::from(b'0') - 10)).to_be_bytes()
}

/// Reads the value that is written for this, from its place if it is there, else from now on.
fn remembered<V, T>(memo: &mut [(V, HeaderValue)], place: usize, of: V, read: impl FnOnce(&HeaderValue) -> T) -> T
where
    V: PartialEq + Copy + std::fmt::Display,
{
    match memo.get_mut(place) {
        Some((known, value)) => {
            if *known != of {
                (*known, *value) = (of, written(of));
            }
            read(value)
        }
        None => read(&written(of)),
    }
}

/// Writes a value that is short and made of header characters only.
pub(super) fn written(value: impl std::fmt::Display) -> HeaderValue {
    let mut text = [0; 64];
    let mut rest = text.as_mut_slice();
    let written = write!(rest, "{value}").map(|()| 64 - rest.len()).unwrap_or_default();
    text.get(..written).and_then(|text| HeaderValue::from_bytes(text).ok()).unwrap_or(HeaderValue::from_static(""))
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_digits_of_its_number() {
        for number in (0..32).map(|bit| 1 << bit).chain([0, 0x0123_4567, 0x89ab_cdef, 0x9a9a_fa0f, u32::MAX]) {
            assert_eq!(std::str::from_utf8(&hexadecimal(number)).unwrap(), format!("{number:08x}"));
        }
    }

    #[test]
    fn every_client_is_told_by_its_own_address_whatever_was_told_before() {
        let memo = Memo::new();
        for _ in 0..2 {
            for last in 0..=255_u8 {
                for address in [IpAddr::from([192, 0, last, 7]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)])] {
                    assert_eq!(memo.address(address, HeaderValue::clone), address.to_string());
                }
            }
        }
        assert_eq!([80, 88, 0, 443].map(|port| memo.port(port, HeaderValue::clone)), ["80", "88", "0", "443"]);
        for _ in 0..2 {
            for number in 0..1_000 {
                let authority = format!("host-{number}.test:{number}");
                assert_eq!(memo.authority(&authority).unwrap(), authority);
            }
        }
        assert_eq!(memo.authority("a\n"), None);
    }
}
