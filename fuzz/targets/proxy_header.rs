//! The PROXY header that load balancers send.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_proxy::server::proxy_header::{LONGEST, Parsed, parse};

fuzz_target!(|bytes: &[u8]| {
    let read = parse(bytes);
    match read {
        Ok(Parsed::Complete { length, .. }) => {
            assert!(length > 0 && length <= bytes.len());
            assert_eq!(parse(&bytes[..length]), read, "what follows the header changes nothing");
            for end in 0..length {
                assert_eq!(parse(&bytes[..end]), Ok(Parsed::Incomplete), "a header may come in parts, here {end} bytes");
            }
        }
        Ok(Parsed::Incomplete) => assert!(bytes.len() < LONGEST),
        Err(_) => {
            let mut more = bytes.to_vec();
            more.extend_from_slice(b"\r\n\0PROXY");
            assert!(parse(&more).is_err(), "no more bytes make it good");
        }
    }
});
