//! What a request asks for, read once: host, path, and whether it is a request that can be served at all.

use std::borrow::Cow;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Method, Version};

use super::headers::{self, Seen};
use crate::error::Reason;
use crate::model::{Limits, RequestFacts, RequestPath, normalize, request_host};

/// A request, read.
#[derive(Debug)]
pub(super) struct Facts<'r> {
    /// The host: lower case, without port and trailing dot.
    pub(super) host: Cow<'r, str>,
    /// Host and port as the client wrote them.
    pub(super) authority: &'r str,
    /// `Host`, if the client sent it.
    pub(super) host_field: Option<&'r HeaderValue>,
    /// The path in normal form.
    pub(super) path: RequestPath<'r>,
    /// Path and query as the client wrote them.
    pub(super) target: &'r str,
    /// Which headers are there.
    pub(super) seen: Seen,
}

impl<'r> Facts<'r> {
    /// Reads a request's head.
    ///
    /// # Errors
    /// The reason why it cannot be served.
    pub(super) fn read(parts: &'r Parts, limits: &Limits) -> Result<Self, Reason> {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        if target.len() > limits.target_bytes {
            return Err(Reason::TargetTooLong);
        }
        let (seen, bytes) = headers::scan(&parts.headers);
        if bytes > limits.header_bytes || parts.headers.len() > limits.headers {
            return Err(Reason::HeadersTooLarge);
        }
        if seen.has(Seen::TRANSFER_ENCODING) && !headers::is_only_chunked(&parts.headers) {
            return Err(Reason::UnknownCoding);
        }
        if parts.method == Method::CONNECT && !is_extended_connect(parts) {
            return Err(Reason::BadRequest);
        }
        if parts.uri.scheme().is_some_and(|scheme| *scheme != http::uri::Scheme::HTTP && *scheme != http::uri::Scheme::HTTPS) {
            return Err(Reason::BadRequest);
        }
        let host_field = if seen.has(Seen::HOST) { parts.headers.get(HOST) } else { None };
        let authority = authority(parts, seen, host_field)?;
        let host = request_host(authority).map_err(|_| Reason::BadHost)?;
        // `OPTIONS *` asks about the server as a whole, which no rule is about.
        let path = normalize(parts.uri.path()).map_err(|_| Reason::BadPath)?;
        Ok(Self { host, authority, host_field, path, target, seen })
    }

    /// Returns what conditions of routes look at.
    pub(super) fn conditions(parts: &Parts) -> RequestFacts<'_> {
        RequestFacts { method: &parts.method, headers: &parts.headers, query: parts.uri.query() }
    }
}

/// Whether it is the CONNECT that opens a WebSocket over HTTP/2 (RFC 8441 §4).
pub(super) fn is_extended_connect(parts: &Parts) -> bool {
    parts.version == Version::HTTP_2
        && parts.extensions.get::<hyper::ext::Protocol>().is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"))
}

/// Finds the one authority that the request is for. HTTP/1.1 has exactly one `Host` (RFC 9112 §3.2), and where the target has an
/// authority too (`:authority`, absolute form) both must say the same (RFC 9113 §8.3.1).
fn authority<'r>(parts: &'r Parts, seen: Seen, host: Option<&'r HeaderValue>) -> Result<&'r str, Reason> {
    if seen.has(Seen::HOSTS) {
        return Err(Reason::BadHost);
    }
    let host = host.map(HeaderValue::to_str).transpose().map_err(|_| Reason::BadHost)?;
    match (parts.uri.authority(), host) {
        (Some(target), Some(host)) if !target.as_str().eq_ignore_ascii_case(host) => Err(Reason::BadHost),
        (Some(target), None) if parts.version < Version::HTTP_2 => {
            // Absolute form does not excuse HTTP/1.1 from sending `Host`.
            if parts.version == Version::HTTP_11 { Err(Reason::BadHost) } else { Ok(target.as_str()) }
        }
        (Some(target), _) => Ok(target.as_str()),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(Reason::BadHost),
    }
}

/// Returns the port that an authority names.
pub(super) fn port_of(authority: &str) -> Option<u16> {
    let (_, port) = authority.rsplit_once(':')?;
    port.parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: &str, target: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn one_host_is_found_or_the_request_refused() {
        for (target, hosts, expected) in [
            ("/", &["A.test:80"][..], Ok("a.test")),
            ("http://a.test:80/", &["A.test:80"], Ok("a.test")),
            ("http://a.test/", &["b.test"], Err(Reason::BadHost)),
            ("http://a.test/", &["a.test:80"], Err(Reason::BadHost)),
            ("http://a.test/", &[], Err(Reason::BadHost)),
            ("http://user@a.test/", &["user@a.test"], Err(Reason::BadHost)),
            ("ftp://a.test/", &["a.test"], Err(Reason::BadRequest)),
            ("/", &[], Err(Reason::BadHost)),
            ("/", &[""], Err(Reason::BadHost)),
            ("/", &["a.test", "a.test"], Err(Reason::BadHost)),
            ("/", &["a b"], Err(Reason::BadHost)),
        ] {
            let parts = parts("GET", target, hosts);
            let read = Facts::read(&parts, &Limits::default());
            assert_eq!(read.map(|facts| facts.host.into_owned()), expected.map(str::to_owned), "{target} {hosts:?}");
        }
    }

    #[test]
    fn the_authority_of_http2_needs_no_host_but_agreement() {
        for (hosts, expected) in [(&[][..], true), (&["a.test"], true), (&["A.TEST"], true), (&["b.test"], false)] {
            let mut parts = parts("GET", "http://a.test/", hosts);
            parts.version = Version::HTTP_2;
            assert_eq!(Facts::read(&parts, &Limits::default()).is_ok(), expected, "{hosts:?}");
        }
    }

    #[test]
    fn what_no_rule_is_about_is_refused() {
        for (method, target, expected) in [("CONNECT", "a.test:443", Reason::BadRequest), ("OPTIONS", "*", Reason::BadPath)] {
            assert_eq!(Facts::read(&parts(method, target, &["a.test:443"]), &Limits::default()).map(|_| ()), Err(expected), "{method}");
        }
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        for (codings, expected) in [
            (&["chunked"][..], Ok(())),
            (&["Chunked"], Ok(())),
            (&["gzip, chunked"], Err(Reason::UnknownCoding)),
            (&["chunked, chunked"], Err(Reason::UnknownCoding)),
            (&["chunked", "chunked"], Err(Reason::UnknownCoding)),
            (&["identity", "chunked"], Err(Reason::UnknownCoding)),
        ] {
            let mut parts = parts("POST", "/", &["a.test"]);
            for coding in codings {
                parts.headers.append(http::header::TRANSFER_ENCODING, HeaderValue::from_static(coding));
            }
            assert_eq!(Facts::read(&parts, &Limits::default()).map(|_| ()), expected, "{codings:?}");
        }
    }

    #[test]
    fn limits_have_their_own_reasons() {
        let limits = Limits { target_bytes: 10, header_bytes: 60, headers: 3, ..Limits::default() };
        let with = |target: &str, fields: &[(&'static str, &'static str)]| {
            let mut parts = parts("GET", target, &["a.test"]);
            for (name, value) in fields {
                parts.headers.append(*name, HeaderValue::from_static(value));
            }
            Facts::read(&parts, &limits).map(|_| ())
        };
        assert_eq!(with("/123456789", &[]), Ok(()));
        assert_eq!(with("/1234567890", &[]), Err(Reason::TargetTooLong));
        assert_eq!(with("/", &[("x-a", "1"), ("x-b", "2")]), Ok(()));
        assert_eq!(with("/", &[("x-a", "1"), ("x-b", "2"), ("x-c", "3")]), Err(Reason::HeadersTooLarge));
        assert_eq!(with("/", &[("x-a", "0123456789012345678901234567890123456789")]), Err(Reason::HeadersTooLarge));
    }

    #[test]
    fn a_port_is_read_where_one_stands() {
        for (authority, port) in [("a", None), ("a:80", Some(80)), ("[::1]", None), ("[::1]:8080", Some(8080)), ("a:", None)] {
            assert_eq!(port_of(authority), port, "{authority}");
        }
    }
}
