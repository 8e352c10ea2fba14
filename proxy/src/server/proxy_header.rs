//! The PROXY protocol: what a load balancer says of the client in front of the client's own bytes.
//!
//! Versions 1 and 2 of the specification (`proxy-protocol.txt` of HAProxy, §2.1 and §2.2). It says nothing of whom to believe:
//! that is the listener's `proxy_protocol` networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the bytes received so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The start of a header; more must come.
    Incomplete,
    /// A whole header.
    Complete {
        /// How many bytes it takes; what follows belongs to the client.
        length: usize,
        /// The client, as the sender saw it; `None` where the header says nothing of one (`LOCAL`, `UNKNOWN`, a Unix socket): the
        /// peer of the socket counts then.
        client: Option<SocketAddr>,
    },
}

/// Bytes that are not a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxyHeader {
    /// They start like neither version.
    #[error("no PROXY protocol header")]
    Missing,
    /// A line of version 1 that does not follow its grammar.
    #[error("malformed PROXY protocol line")]
    Line,
    /// Version 2 with a version or command that does not exist, or addresses that do not fit into its length.
    #[error("malformed PROXY protocol version 2 header")]
    Binary,
    /// Longer than [`LONGEST`].
    #[error("PROXY protocol header of more than {LONGEST} bytes")]
    TooLong,
}

/// The longest header that is read, in bytes. Version 1 has at most 107; version 2 carries extensions, which are skipped.
pub const LONGEST: usize = 4096;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const WORD: &[u8; 6] = b"PROXY ";
/// §2.1: "a 108-byte buffer is always enough to store all the line and a trailing zero".
const LONGEST_LINE: usize = 107;

/// Reads a header from the first bytes of a connection.
///
/// # Errors
/// The bytes cannot become a header any more, whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Parsed, InvalidProxyHeader> {
    if starts_alike(bytes, SIGNATURE) {
        binary(bytes)
    } else if starts_alike(bytes, WORD) {
        line(bytes)
    } else {
        Err(InvalidProxyHeader::Missing)
    }
}

/// Whether the one is the beginning of the other.
fn starts_alike(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(a, b)| a == b)
}

fn line(bytes: &[u8]) -> Result<Parsed, InvalidProxyHeader> {
    let Some(end) = bytes.iter().take(LONGEST_LINE).position(|&byte| byte == b'\n') else {
        return if bytes.len() < LONGEST_LINE { Ok(Parsed::Incomplete) } else { Err(InvalidProxyHeader::Line) };
    };
    let line = bytes.get(WORD.len()..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(InvalidProxyHeader::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| InvalidProxyHeader::Line)?;
    let length = end + 1;
    let mut words = line.split(' ');
    let family = words.next().ok_or(InvalidProxyHeader::Line)?;
    if family == "UNKNOWN" {
        return Ok(Parsed::Complete { length, client: None });
    }
    let (Some(source), Some(destination), Some(source_port), Some(destination_port), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(InvalidProxyHeader::Line);
    };
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let client = address(source).zip(port(source_port)).map(SocketAddr::from);
    if client.is_none() || address(destination).is_none() || port(destination_port).is_none() {
        return Err(InvalidProxyHeader::Line);
    }
    Ok(Parsed::Complete { length, client })
}

/// A port of version 1: decimal, without sign or leading zeroes.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn binary(bytes: &[u8]) -> Result<Parsed, InvalidProxyHeader> {
    let Some((head, rest)) = bytes.split_first_chunk::<16>() else { return Ok(Parsed::Incomplete) };
    let [.., command, family, high, low] = *head;
    let length = head.len() + usize::from(u16::from_be_bytes([high, low]));
    let from_client = match command {
        0x20 => false,
        0x21 => true,
        _ => return Err(InvalidProxyHeader::Binary),
    };
    if length > LONGEST {
        return Err(InvalidProxyHeader::TooLong);
    }
    let Some(payload) = rest.get(..length - head.len()) else { return Ok(Parsed::Incomplete) };
    // §2.2: LOCAL headers and families that are not known carry nothing for us, but are skipped by their length.
    let client = match (from_client, family) {
        (true, 0x11) => {
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *payload.first_chunk::<12>().ok_or(InvalidProxyHeader::Binary)?;
            Some(SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low]))))
        }
        (true, 0x21) => {
            let addresses = payload.first_chunk::<36>().ok_or(InvalidProxyHeader::Binary)?;
            let source: [u8; 16] = *addresses.first_chunk().ok_or(InvalidProxyHeader::Binary)?;
            let [high, low, _, _] = *addresses.last_chunk::<4>().ok_or(InvalidProxyHeader::Binary)?;
            Some(SocketAddr::from((source, u16::from_be_bytes([high, low]))))
        }
        (true | false, _) => None,
    };
    Ok(Parsed::Complete { length, client })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        header.extend(payload);
        header
    }

    fn ipv4(extensions: usize) -> Vec<u8> {
        let mut payload = vec![192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0, 80];
        payload.extend(std::iter::repeat_n(0xee, extensions));
        payload
    }

    fn ipv6() -> Vec<u8> {
        let mut payload = "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets().to_vec();
        payload.extend([0; 16]);
        payload.extend([0x1f, 0x90, 0, 80]);
        payload
    }

    #[test]
    fn well_formed_headers_name_their_client() {
        let cases: &[(Vec<u8>, Option<&str>)] = &[
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 80\r\n".to_vec(), Some("192.0.2.7:8080")),
            (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_vec(), Some("255.255.255.255:65535")),
            (b"PROXY TCP6 2001:db8::7 ::1 8080 80\r\n".to_vec(), Some("[2001:db8::7]:8080")),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 0 0\r\n".to_vec(), Some("192.0.2.7:0")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &ipv4(0)), Some("192.0.2.7:8080")),
            (v2(0x21, 0x11, &ipv4(100)), Some("192.0.2.7:8080")),
            (v2(0x21, 0x21, &ipv6()), Some("[2001:db8::7]:8080")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &ipv4(3)), None),
            (v2(0x21, 0x00, &[1, 2, 3]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
            (v2(0x21, 0x12, &ipv4(0)), None),
        ];
        for (header, client) in cases {
            let client = client.map(|text| text.parse().unwrap());
            let mut bytes = header.clone();
            bytes.extend(b"GET / HTTP/1.1\r\n");
            assert_eq!(parse(&bytes), Ok(Parsed::Complete { length: header.len(), client }), "{}", header.escape_ascii());
        }
    }

    #[test]
    fn every_beginning_of_a_header_waits_for_more() {
        for header in
            [b"PROXY TCP6 2001:db8::7 ::1 8080 80\r\n".to_vec(), b"PROXY UNKNOWN\r\n".to_vec(), v2(0x21, 0x11, &ipv4(9)), v2(0x20, 0, &[])]
        {
            for length in 0..header.len() {
                assert_eq!(parse(&header[..length]), Ok(Parsed::Incomplete), "{}", header[..length].escape_ascii());
            }
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        use InvalidProxyHeader::{Binary, Line, Missing, TooLong};
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 107]].concat();
        let cases: &[(Vec<u8>, InvalidProxyHeader)] = &[
            (b"GET / HTTP/1.1\r\n".to_vec(), Missing),
            (b"proxy TCP4".to_vec(), Missing),
            (b"\r\n\r\n\0\r\nQUIX".to_vec(), Missing),
            (b"\x16\x03\x01".to_vec(), Missing),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 80\n".to_vec(), Line),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 8080\r\n".to_vec(), Line),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 80 1\r\n".to_vec(), Line),
            (b"PROXY TCP4  192.0.2.7 10.0.0.1 8080 80\r\n".to_vec(), Line),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 08080 80\r\n".to_vec(), Line),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 +80 80\r\n".to_vec(), Line),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 80\r\n".to_vec(), Line),
            (b"PROXY TCP4 ::1 10.0.0.1 8080 80\r\n".to_vec(), Line),
            (b"PROXY TCP6 ::1 10.0.0.1 8080 80\r\n".to_vec(), Line),
            (b"PROXY UDP4 192.0.2.7 10.0.0.1 8080 80\r\n".to_vec(), Line),
            (b"PROXY TCP4 \xff 10.0.0.1 8080 80\r\n".to_vec(), Line),
            (b"PROXY \r\n".to_vec(), Line),
            (long, Line),
            (v2(0x11, 0x11, &ipv4(0)), Binary),
            (v2(0x22, 0x11, &ipv4(0)), Binary),
            (v2(0x21, 0x11, &ipv4(0)[..11]), Binary),
            (v2(0x21, 0x21, &ipv6()[..35]), Binary),
            (v2(0x21, 0x11, &ipv4(LONGEST)), TooLong),
        ];
        for (bytes, error) in cases {
            assert_eq!(parse(bytes), Err(*error), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_header_as_long_as_allowed_is_read() {
        let header = v2(0x21, 0x11, &ipv4(LONGEST - 16 - 12));
        assert_eq!(header.len(), LONGEST);
        assert!(matches!(parse(&header), Ok(Parsed::Complete { length: LONGEST, client: Some(_) })));
    }
}
