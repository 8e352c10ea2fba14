//! A DNS server of the run's own, so that names resolve to what tests say, and to nothing of the machine's.
//!
//! It knows addresses alone (A and AAAA), over UDP. Names are kept apart by their tests: each takes a part of its own in them.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

/// Where it listens: the server that the run's `/etc/resolv.conf` names.
pub(crate) const ADDRESS: &str = "10.1.0.53";

/// Addresses and TTL in seconds by name, lower case and without a trailing dot.
static ANSWERS: Mutex<BTreeMap<String, (Vec<IpAddr>, u32)>> = Mutex::new(BTreeMap::new());

/// Lets a name resolve to these addresses from now on; to none is that it does not exist.
pub fn answer(name: &str, addresses: &[IpAddr], ttl_seconds: u32) {
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    answers.insert(name.to_ascii_lowercase(), (addresses.to_vec(), ttl_seconds));
}

/// Starts the server, which runs until the process ends.
///
/// # Errors
/// Its address cannot be bound: this is not the run's own network.
pub(crate) fn start() -> anyhow::Result<()> {
    let socket = UdpSocket::bind((ADDRESS, 53)).with_context(|| format!("cannot answer DNS on {ADDRESS}"))?;
    std::thread::spawn(move || {
        let mut packet = [0_u8; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            if let Some(reply) = packet.get(..length).and_then(reply) {
                // Whoever does not get it asks again.
                let _ = socket.send_to(&reply, from);
            }
        }
    });
    Ok(())
}

/// Answers a query (RFC 1035 §4): its question is repeated, and answers point back to the name in it. `None` for what is no query.
fn reply(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let mut labels = Vec::new();
    let mut end = HEADER;
    loop {
        let length = usize::from(*query.get(end)?);
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(end + 1..=end + length)?).to_ascii_lowercase());
        end += length + 1;
    }
    // After the root label: two bytes of type, two of class.
    let question = query.get(HEADER..end + 5)?;
    let (kind, v6) = match query.get(end + 1..end + 3)? {
        [0, 1] => (1_u8, false),
        [0, 28] => (28, true),
        _ => (0, false),
    };
    let known = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner).get(&labels.join(".")).cloned();
    let (addresses, ttl) = known.unwrap_or_default();
    let missing = if addresses.is_empty() { 3 } else { 0 };
    let answers: Vec<_> = addresses.iter().filter(|address| kind != 0 && address.is_ipv6() == v6).collect();
    let mut reply = query.get(..2)?.to_vec();
    reply.extend([0x81, 0x80 | missing, 0, 1, 0, u8::try_from(answers.len()).ok()?, 0, 0, 0, 0]);
    reply.extend(question);
    for address in answers {
        reply.extend([0xc0, 12, 0, kind, 0, 1]);
        reply.extend(ttl.to_be_bytes());
        match address {
            IpAddr::V4(v4) => reply.extend([0, 4].into_iter().chain(v4.octets())),
            IpAddr::V6(v6) => reply.extend([0, 16].into_iter().chain(v6.octets())),
        }
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_answered_by_family_and_an_unknown_name_does_not_exist() {
        answer("A.dns.test", &[IpAddr::from([10, 0, 0, 1])], 7);
        let query = |name: &str, kind: u8| {
            let mut query = vec![9, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for label in name.split('.') {
                query.push(u8::try_from(label.len()).unwrap_or_default());
                query.extend(label.as_bytes());
            }
            query.extend([0, 0, kind, 0, 1]);
            query
        };
        let found = reply(&query("a.DNS.test", 1)).unwrap_or_default();
        assert!(found.starts_with(&[9, 9, 0x81, 0x80, 0, 1, 0, 1]) && found.ends_with(&[0, 0, 0, 7, 0, 4, 10, 0, 0, 1]), "{found:?}");
        let none = reply(&query("a.dns.test", 28)).unwrap_or_default();
        assert!(none.starts_with(&[9, 9, 0x81, 0x80, 0, 1, 0, 0]), "the name exists, without such an address: {none:?}");
        let unknown = reply(&query("b.dns.test", 1)).unwrap_or_default();
        assert!(unknown.starts_with(&[9, 9, 0x81, 0x83]), "{unknown:?}");
        assert_eq!(reply(&[1, 2, 3]), None);
    }
}
