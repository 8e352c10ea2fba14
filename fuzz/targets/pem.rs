//! Certificates and keys as Secrets hold them: any bytes, and a good pair with some bytes changed.
#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use tidegate_proxy::model::{Certificate, Origin};

/// A good chain and its key, made once.
fn pair() -> &'static (String, String) {
    static PAIR: OnceLock<(String, String)> = OnceLock::new();
    PAIR.get_or_init(|| {
        let names = ["a.example".to_owned(), "*.b.example".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    })
}

fn read(chain: &[u8], key: &[u8]) {
    match Certificate::from_pem(Arc::new(Origin::new("Secret", "ns", "name")), chain, key) {
        Ok(certificate) => {
            assert!(!certificate.covers(""));
            assert_shows_no_key(&format!("{certificate:?}"));
        }
        Err(error) => assert_shows_no_key(&format!("{error} {error:?}")),
    }
}

/// Whether some part of the key's text is in the message.
fn assert_shows_no_key(message: &str) {
    let body = pair().1.lines().filter(|line| !line.starts_with('-'));
    for part in body.flat_map(|line| line.as_bytes().chunks_exact(8)) {
        assert!(!message.as_bytes().windows(8).any(|window| window == part), "{message}");
    }
}

fuzz_target!(|data: &[u8]| {
    let (chain, key) = pair();
    match data.split_first() {
        // Any bytes, of which the first say where the key begins.
        Some((b'r', rest)) => {
            let (at, rest) = rest.split_first().unwrap_or((&0, &[]));
            let (chain, key) = rest.split_at(usize::from(*at).min(rest.len()));
            read(chain, key);
        }
        // Bytes to change in the chain or the key: place, place, value.
        Some((which @ (b'c' | b'k'), rest)) => {
            let (mut chain, mut key) = (chain.clone().into_bytes(), key.clone().into_bytes());
            let changed = if *which == b'c' { &mut chain } else { &mut key };
            for change in rest.chunks_exact(3) {
                let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % changed.len();
                changed[at] = change[2];
            }
            read(&chain, &key);
        }
        // A good one beside any bytes.
        Some((b'C', rest)) => read(chain.as_bytes(), rest),
        Some((_, rest)) => read(rest, key.as_bytes()),
        None => read(chain.as_bytes(), key.as_bytes()),
    }
});
