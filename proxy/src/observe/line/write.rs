//! How values become bytes of a line. The standard library's formatter costs several times as much.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Every octet in decimal digits with a dot behind them, and how many bytes that is.
static OCTETS: [([u8; 4], u8); 256] = octets();

const fn octets() -> [([u8; 4], u8); 256] {
    let mut all = [([0; 4], 0); 256];
    let mut octet = 0_u8;
    loop {
        let [hundreds, tens, ones] = [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
        #[expect(clippy::indexing_slicing, reason = "an octet is below 256, and this runs when it is compiled")]
        let place = &mut all[octet as usize];
        *place = match octet {
            0..10 => ([ones, b'.', 0, 0], 2),
            10..100 => ([tens, ones, b'.', 0], 3),
            100.. => ([hundreds, tens, ones, b'.'], 4),
        };
        if octet == u8::MAX {
            return all;
        }
        octet += 1;
    }
}

/// Returns the last digit.
fn digit(number: u64) -> u8 {
    b'0' + (number % 10) as u8
}

/// Writes a number. Most have few digits: they cost least one by one.
pub(super) fn number(out: &mut Vec<u8>, number: u64) {
    match number {
        0..10 => out.push(digit(number)),
        10..100 => out.extend_from_slice(&[digit(number / 10), digit(number)]),
        100..1000 => out.extend_from_slice(&[digit(number / 100), digit(number / 10), digit(number)]),
        1000.. => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
    }
}

/// Writes a point and three digits.
pub(super) fn thousandths(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&[b'.', digit(number / 100), digit(number / 10), digit(number)]);
}

pub(super) fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for octet in address.octets() {
                let Some((text, bytes)) = OCTETS.get(usize::from(octet)) else { return };
                out.extend_from_slice(text);
                out.truncate(out.len() - text.len() + usize::from(*bytes));
            }
            out.pop();
        }
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

pub(super) fn socket_address(out: &mut Vec<u8>, of: SocketAddr) {
    match of {
        SocketAddr::V4(_) => {
            address(out, of.ip());
            out.push(b':');
            number(out, of.port().into());
        }
        SocketAddr::V6(of) => drop(write!(out, "{of}")),
    }
}

pub(super) fn seconds(out: &mut Vec<u8>, time: Duration) {
    number(out, time.as_secs());
    thousandths(out, time.subsec_millis().into());
}

/// Whether bytes are printable ASCII without quotes and backslashes, so that they stand as they are in lines of either kind.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut whole = eights.iter().all(|eight| is_plain_eight(*eight));
    match bytes.last_chunk::<8>() {
        Some(last) => whole &= rest.is_empty() || is_plain_eight(*last),
        None => whole &= rest.iter().all(is_plain_byte),
    }
    whole
}

pub(super) fn is_plain_byte(byte: &u8) -> bool {
    matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\')
}

/// The same of eight bytes at a time. Each subtraction reaches the high bit of a byte that is too small; it borrows from the next byte
/// only then, so that the answer is right for all of them together.
fn is_plain_eight(bytes: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let bytes = u64::from_le_bytes(bytes);
    let below_space = bytes.wrapping_sub(EACH * 0x20);
    let equal = |byte: u8| (bytes ^ (EACH * u64::from(byte))).wrapping_sub(EACH);
    (bytes | below_space | equal(b'"') | equal(b'\\') | equal(0x7f)) & (EACH * 0x80) == 0
}

/// Writes bytes as nginx does: quotes, backslashes and all that is not printable ASCII as `\xHH`, so that no request can forge a line.
pub(super) fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    for byte in bytes {
        if is_plain_byte(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(b"\\x");
            out.extend([byte >> 4, byte & 15].iter().filter_map(|half| HEX.get(usize::from(*half))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap_or_default().split_off("before ".len())
    }

    proptest! {
        #[test]
        fn numbers_and_addresses_are_written_as_the_standard_library_does(
            bits in any::<u64>(), shift in 0..64_u32, v4 in any::<[u8; 4]>(), v6 in any::<[u16; 8]>(), port in any::<u16>(), scope in 0..3_u32,
        ) {
            let n = bits >> shift;
            prop_assert_eq!(written(|out| number(out, n)), n.to_string());
            let v6 = std::net::SocketAddrV6::new(v6.into(), port, 0, scope);
            for of in [SocketAddr::from((v4, port)), v6.into()] {
                prop_assert_eq!(written(|out| address(out, of.ip())), of.ip().to_string());
                prop_assert_eq!(written(|out| socket_address(out, of)), of.to_string());
            }
            let time = Duration::new(n, (bits % 1_000_000_000) as u32);
            prop_assert_eq!(written(|out| seconds(out, time)), format!("{n}.{:03}", time.subsec_millis()));
        }

        #[test]
        fn bytes_are_plain_if_each_of_them_is(bytes in prop::collection::vec(0x20..0x7f_u8, 0..40), other in any::<(prop::sample::Index, u8)>()) {
            let mut bytes = bytes;
            prop_assert_eq!(is_plain(&bytes), bytes.iter().all(is_plain_byte));
            if !bytes.is_empty() {
                let at = other.0.index(bytes.len());
                if let Some(place) = bytes.get_mut(at) {
                    *place = other.1;
                }
                prop_assert_eq!(is_plain(&bytes), bytes.iter().all(is_plain_byte));
            }
        }
    }

    #[test]
    fn every_byte_is_judged_alike_alone_and_among_eight() {
        for byte in 0..=u8::MAX {
            for neighbour in [b' ', b'~', b'!', b'#'] {
                for at in 0..8 {
                    let mut eight = [neighbour; 8];
                    if let Some(place) = eight.get_mut(at) {
                        *place = byte;
                    }
                    assert_eq!(is_plain_eight(eight), is_plain_byte(&byte), "{byte} at {at} beside {neighbour}");
                }
            }
        }
    }
}
