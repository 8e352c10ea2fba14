//! Trailers of a request: what may stand there, since some backends add them to the header fields.

use http::HeaderMap;

/// Fields that frame, route or tell of the client: only a head may have them, and only we write the latter (RFC 9110 §6.5.1).
const OF_A_HEAD: [&str; 14] = [
    "connection",
    "content-length",
    "forwarded",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-real-ip",
    "x-request-id",
];

/// Takes out what belongs in a head.
pub(super) fn clean(trailers: &mut HeaderMap) {
    for name in OF_A_HEAD {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn nothing_that_belongs_in_a_head_passes_as_a_trailer() {
        let mut trailers = HeaderMap::new();
        for name in OF_A_HEAD.into_iter().chain(["x-sum", "grpc-status"]) {
            trailers.append(name, HeaderValue::from_static("1"));
        }
        clean(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(http::HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["grpc-status", "x-sum"]);
    }
}
