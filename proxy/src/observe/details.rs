//! What only a line of the log needs of a request: copied out of it into memory that later requests take over.
//!
//! Sharing what the connection, the request and the table have would cost more than a copy: the counters of most of it are common to all
//! workers, and a line outlives none of it for long.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use http::{HeaderName, Method, Uri, Version, header};

use super::record::ClientFacts;
use crate::model::{Origin, Scheme};
use crate::settings::{LogFormat, Shape, Variable};

/// Texts of more bytes than this in all are not kept room for.
const MOST_KEPT: usize = 2048;

/// What a format's lines need that not all do.
#[derive(Debug, Clone)]
pub(super) struct Needs {
    connection: bool,
    host: bool,
    head_bytes: bool,
    endpoint: bool,
    header_time: bool,
    headers: Box<[HeaderName]>,
}

/// What only a line of the log needs.
#[derive(Debug)]
pub(super) struct Details {
    pub(super) client: SocketAddr,
    pub(super) local_port: u16,
    pub(super) scheme: Scheme,
    pub(super) tls_version: Option<&'static str>,
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) head_bytes: u64,
    pub(super) attempts: Vec<Attempt>,
    listener: Part,
    server_name: Option<Part>,
    target: Part,
    host: Option<Part>,
    headers: Vec<Option<Part>>,
    request_id: Option<Part>,
    service: Option<[Part; 2]>,
    /// What the parts are parts of.
    texts: Vec<u8>,
}

/// A part of [`Details::texts`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    start: usize,
    end: usize,
}

/// One endpoint that was tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) address: SocketAddr,
    pub(super) name: Part,
    pub(super) started: Instant,
    pub(super) connected: Option<Duration>,
    /// The status of its answer.
    pub(super) answered: Option<u16>,
    /// When that came, if the format needs it.
    pub(super) header_after: Option<Duration>,
    pub(super) took: Duration,
    pub(super) bytes: u64,
}

impl Needs {
    pub(super) fn of(format: &LogFormat) -> Self {
        let json = matches!(format.shape(), Shape::Json);
        let uses = |variables: &[Variable]| variables.iter().any(|variable| format.uses(*variable));
        Self {
            connection: json || uses(&[Variable::Listener, Variable::SslServerName]),
            host: json || uses(&[Variable::Host]),
            head_bytes: uses(&[Variable::RequestLength]),
            endpoint: json || uses(&[Variable::Endpoint]),
            header_time: json || uses(&[Variable::UpstreamHeaderTime]),
            headers: format.headers().into(),
        }
    }
}

impl Details {
    /// Makes details of nothing yet.
    pub(super) fn new() -> Self {
        Self {
            client: (Ipv4Addr::UNSPECIFIED, 0).into(),
            local_port: 0,
            scheme: Scheme::Http,
            tls_version: None,
            method: Method::GET,
            version: Version::HTTP_11,
            head_bytes: 0,
            attempts: Vec::new(),
            listener: Part::default(),
            server_name: None,
            target: Part::default(),
            host: None,
            headers: Vec::new(),
            request_id: None,
            service: None,
            texts: Vec::new(),
        }
    }

    /// Begins a request; forgets the one before.
    pub(super) fn begin(&mut self, needs: &Needs, client: &ClientFacts<'_>, request: &http::request::Parts) {
        self.texts.clear();
        self.attempts.clear();
        (self.request_id, self.service) = (None, None);

        self.client = client.client;
        self.local_port = client.local_port;
        self.scheme = client.scheme;
        self.tls_version = client.tls_version;
        self.version = request.version;
        self.method.clone_from(&request.method);
        self.target = self.take_target(&request.uri, request.version);
        (self.listener, self.server_name) = (Part::default(), None);
        if needs.connection {
            self.listener = self.take(client.listener.as_bytes());
            self.server_name = client.server_name.map(|name| self.take(name.as_bytes()));
        }
        self.host = request.uri.authority().filter(|_| needs.host).map(|authority| self.take(authority.as_str().as_bytes()));
        self.take_fields(needs, request);
    }

    /// Lets go of room that few requests need, before others take the rest over.
    pub(super) fn shrink(&mut self) {
        if self.texts.capacity() > MOST_KEPT {
            self.texts = Vec::new();
        }
    }

    /// Takes the fields that the format names, in one pass: looking each up would cost more.
    fn take_fields(&mut self, needs: &Needs, request: &http::request::Parts) {
        self.headers.clear();
        self.headers.resize(needs.headers.len(), None);
        let mut bytes = 0;
        let host = needs.host && self.host.is_none();
        for (name, value) in &request.headers {
            bytes += name.as_str().len() + value.len() + ": \r\n".len();
            let place = needs.headers.iter().position(|needed| needed == name);
            // Of several the first counts.
            if let Some(place) = place
                && self.headers.get(place).is_some_and(Option::is_none)
            {
                let part = self.take(value.as_bytes());
                if let Some(place) = self.headers.get_mut(place) {
                    *place = Some(part);
                }
            }
            if host && self.host.is_none() && name == header::HOST {
                self.host = Some(self.take(value.as_bytes()));
            }
        }
        self.head_bytes = if needs.head_bytes { line_bytes(request) + bytes as u64 } else { 0 };
    }

    /// Takes the target as the client sent it: with an authority where it had one in HTTP/1, as path and query in HTTP/2, where the
    /// authority has a place of its own.
    fn take_target(&mut self, uri: &Uri, version: Version) -> Part {
        if version < Version::HTTP_2 && uri.scheme().is_some() {
            let start = self.texts.len();
            // Memory takes it.
            let _ = write!(self.texts, "{uri}");
            return Part { start, end: self.texts.len() };
        }
        let target = match (uri.path_and_query(), uri.authority()) {
            (Some(path), _) => path.as_str(),
            (None, Some(authority)) => authority.as_str(),
            (None, None) => "*",
        };
        self.take(target.as_bytes())
    }

    fn take(&mut self, text: &[u8]) -> Part {
        let start = self.texts.len();
        self.texts.extend_from_slice(text);
        Part { start, end: self.texts.len() }
    }

    pub(super) fn take_service(&mut self, service: &Origin) {
        self.service = Some([self.take(service.namespace.as_bytes()), self.take(service.name.as_bytes())]);
    }

    /// Takes the request's identity; the first word stays.
    pub(super) fn take_request_id<T: AsRef<[u8]>>(&mut self, id: impl FnOnce() -> Option<T>) {
        if self.request_id.is_none() {
            self.request_id = id().map(|id| self.take(id.as_ref()));
        }
    }

    /// Begins a try.
    pub(super) fn attempt(&mut self, needs: &Needs, address: SocketAddr, name: &Arc<str>, started: Instant) {
        let name = if needs.endpoint { self.take(name.as_bytes()) } else { Part::default() };
        let attempt =
            Attempt { address, name, started, connected: None, answered: None, header_after: None, took: Duration::ZERO, bytes: 0 };
        self.attempts.push(attempt);
    }

    /// Says that the last try is answered.
    pub(super) fn answered(&mut self, needs: &Needs, status: u16) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.answered = Some(status);
            attempt.header_after = needs.header_time.then(|| attempt.started.elapsed());
        }
    }

    /// Ends the last try: all that was sent to the client came from it, if it answered at all.
    pub(super) fn close_attempt(&mut self, now: Instant, sent: u64) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.took = now.saturating_duration_since(attempt.started);
            attempt.bytes = if attempt.answered.is_some() { sent } else { 0 };
        }
    }

    /// Returns a text of it.
    pub(super) fn text(&self, part: Part) -> &[u8] {
        self.texts.get(part.start..part.end).unwrap_or_default()
    }

    /// Returns the name of the listener.
    pub(super) fn listener(&self) -> &[u8] {
        self.text(self.listener)
    }

    /// Returns the server name of the TLS handshake.
    pub(super) fn server_name(&self) -> Option<&[u8]> {
        self.server_name.map(|part| self.text(part))
    }

    /// Returns the target as the client sent it.
    pub(super) fn target(&self) -> &[u8] {
        self.text(self.target)
    }

    /// Returns the authority of the target, else the field that names the host.
    pub(super) fn authority(&self) -> Option<&str> {
        str::from_utf8(self.text(self.host?)).ok().filter(|host| host.is_ascii())
    }

    /// Returns a request header, by its place in the format's.
    pub(super) fn header(&self, at: usize) -> Option<&[u8]> {
        self.headers.get(at).copied().flatten().map(|part| self.text(part))
    }

    /// Returns the request's identity.
    pub(super) fn request_id(&self) -> Option<&[u8]> {
        self.request_id.map(|part| self.text(part))
    }

    /// Returns the namespace of the Service, and its name and port as `name:port`.
    pub(super) fn service(&self) -> Option<[&[u8]; 2]> {
        self.service.map(|parts| parts.map(|part| self.text(part)))
    }
}

/// Returns how long the request line is, and the empty line at the end, in HTTP/1.1's spelling: what HTTP/2 sends has no other length that
/// would mean anything to people.
fn line_bytes(request: &http::request::Parts) -> u64 {
    let target = request.uri.path_and_query().map_or(1, |target: &PathAndQuery| target.as_str().len());
    (request.method.as_str().len() + target + "  HTTP/1.1\r\n\r\n".len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> ClientFacts<'static> {
        static NAME: std::sync::OnceLock<Arc<str>> = std::sync::OnceLock::new();
        let listener = NAME.get_or_init(|| "http".into());
        let client = (Ipv4Addr::LOCALHOST, 1).into();
        ClientFacts { client, listener, local_port: 80, scheme: Scheme::Http, server_name: Some(listener), tls_version: None }
    }

    fn parts(request: http::request::Builder) -> http::request::Parts {
        request.body(()).unwrap_or_default().into_parts().0
    }

    #[test]
    fn nothing_of_a_request_is_left_for_the_next() {
        let needs = Needs::of(&LogFormat::json());
        let mut details = Details::new();
        let long = "x".repeat(2 * MOST_KEPT);
        details.begin(&needs, &client(), &parts(http::Request::put("/a").header("host", "a.b").header("referer", &long)));
        details.take_service(&Origin::new("Service", "shop", "cart:80"));
        details.take_request_id(|| Some("one"));
        details.take_request_id(|| Some("two"));
        details.attempt(&needs, (Ipv4Addr::LOCALHOST, 2).into(), &"cart-1".into(), Instant::now());
        assert_eq!(details.header(0), Some(long.as_bytes()));
        assert_eq!(details.service(), Some([b"shop".as_slice(), b"cart:80"]));
        assert_eq!((details.request_id(), details.authority(), details.listener()), (Some(b"one".as_slice()), Some("a.b"), &b"http"[..]));
        assert_eq!(details.attempts.iter().map(|attempt| details.text(attempt.name)).collect::<Vec<_>>(), [b"cart-1"]);

        details.shrink();
        assert_eq!(details.texts.capacity(), 0, "it is far more than most need");
        let client = ClientFacts { server_name: None, ..client() };
        details.begin(&needs, &client, &parts(http::Request::get("/b").header("user-agent", "u").header("user-agent", "v")));
        assert_eq!((details.header(0), details.header(1), details.header(2)), (None, Some(b"u".as_slice()), None), "the first of several");
        assert_eq!((details.service(), details.request_id(), details.authority(), details.server_name()), (None, None, None, None));
        assert_eq!((details.method.as_str(), details.target(), details.attempts.len()), ("GET", b"/b".as_slice(), 0));
        let kept = details.texts.capacity();
        details.shrink();
        assert_eq!(details.texts.capacity(), kept);
    }

    #[test]
    fn only_what_the_format_needs_is_taken() {
        let needs = Needs::of(&"$status".parse().unwrap_or_default());
        let mut details = Details::new();
        details.begin(&needs, &client(), &parts(http::Request::get("http://a.b/").header("host", "a.b").header("referer", "r")));
        details.attempt(&needs, (Ipv4Addr::LOCALHOST, 2).into(), &"cart-1".into(), Instant::now());
        details.answered(&needs, 200);
        assert_eq!((details.listener(), details.server_name(), details.authority(), details.header(0)), (b"".as_slice(), None, None, None));
        assert_eq!(details.head_bytes, 0);
        assert!(details.attempts.iter().all(|attempt| attempt.header_after.is_none() && details.text(attempt.name).is_empty()));
        assert_eq!(str::from_utf8(&details.texts), Ok("http://a.b/"));
    }
}
