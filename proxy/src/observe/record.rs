//! The record of one request: told what happens while the request lives, counted and written when it drops.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode, Uri, Version};

use super::label::{MethodLabel, StatusClass};
use super::{Observer, RouteSeries, line};
use crate::error::Reason;
use crate::model::{Origin, Scheme};
use crate::settings::{Shape, Variable};

/// What is logged of a client that went away before it had a status, as nginx does.
const CLIENT_GONE: u16 = 499;

/// What a record takes over from the client's connection.
#[derive(Debug, Clone, Copy)]
pub struct ClientFacts<'a> {
    /// The client: the peer, or what a PROXY header or a trusted `X-Forwarded-For` says of it.
    pub client: SocketAddr,
    /// The name of the listener.
    pub listener: &'a Arc<str>,
    /// The port that the listener is bound to.
    pub local_port: u16,
    /// Clear text or TLS.
    pub scheme: Scheme,
    /// The server name of the TLS handshake; `None` in clear text or without one.
    pub server_name: Option<&'a Arc<str>>,
    /// The TLS version as logs write it, such as `TLSv1.3`; `None` in clear text.
    pub tls_version: Option<&'static str>,
}

/// The record of one request. Dropping it counts the request and writes its line, exactly once; a drop before
/// [`Record::finish`] means that the client went away, unless a reason says otherwise.
///
/// While the log is off it allocates nothing.
#[derive(Debug)]
pub struct Record {
    observer: Rc<Observer>,
    started: Instant,
    method: MethodLabel,
    series: Option<Arc<RouteSeries>>,
    status: Option<u16>,
    reason: Option<Reason>,
    finished: bool,
    bytes_in: u64,
    bytes_out: u64,
    details: Option<Box<Details>>,
}

/// What only a line of the log needs.
#[derive(Debug)]
pub(super) struct Details {
    pub(super) client: SocketAddr,
    pub(super) listener: Arc<str>,
    pub(super) local_port: u16,
    pub(super) scheme: Scheme,
    pub(super) server_name: Option<Arc<str>>,
    pub(super) tls_version: Option<&'static str>,
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) version: Version,
    pub(super) host: Option<HeaderValue>,
    /// As the format's headers stand.
    pub(super) headers: Box<[Option<HeaderValue>]>,
    pub(super) head_bytes: u64,
    pub(super) request_id: Option<HeaderValue>,
    pub(super) service: Option<Arc<Origin>>,
    pub(super) attempts: Vec<Attempt>,
}

/// One endpoint that was tried.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) address: SocketAddr,
    pub(super) name: Arc<str>,
    pub(super) started: Instant,
    pub(super) connected: Option<Duration>,
    pub(super) answered: Option<(u16, Duration)>,
    pub(super) took: Duration,
    pub(super) bytes: u64,
}

/// What a line is rendered from.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    pub(super) details: &'a Details,
    pub(super) series: Option<&'a RouteSeries>,
    pub(super) status: u16,
    pub(super) reason: Option<Reason>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) took: Duration,
}

impl Record {
    /// Begins the record of a request whose head has arrived.
    #[must_use]
    pub fn begin(observer: &Rc<Observer>, client: ClientFacts<'_>, request: &http::request::Parts) -> Self {
        let details = observer.lines().map(|lines| {
            let header = |name| request.headers.get(name).cloned();
            let counted = matches!(lines.format.shape(), Shape::Json) || lines.format.uses(Variable::RequestLength);
            Box::new(Details {
                client: client.client,
                listener: Arc::clone(client.listener),
                local_port: client.local_port,
                scheme: client.scheme,
                server_name: client.server_name.cloned(),
                tls_version: client.tls_version,
                method: request.method.clone(),
                target: request.uri.clone(),
                version: request.version,
                host: header(&http::header::HOST),
                headers: lines.format.headers().iter().map(header).collect(),
                head_bytes: if counted { head_bytes(request) } else { 0 },
                request_id: None,
                service: None,
                attempts: Vec::new(),
            })
        });
        Self {
            observer: Rc::clone(observer),
            started: Instant::now(),
            method: MethodLabel::from(&request.method),
            series: None,
            status: None,
            reason: None,
            finished: false,
            bytes_in: 0,
            bytes_out: 0,
            details,
        }
    }

    /// Returns when the request's head had arrived.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Returns the worker's observer.
    #[must_use]
    pub fn observer(&self) -> &Rc<Observer> {
        &self.observer
    }

    /// Says which client it is, where headers of a trusted peer tell more than the connection.
    pub fn client(&mut self, client: SocketAddr) {
        if let Some(details) = &mut self.details {
            details.client = client;
        }
    }

    /// Says which route took the request.
    pub fn route(&mut self, series: &Arc<RouteSeries>) {
        self.series = Some(Arc::clone(series));
    }

    /// Says which Service the route leads to.
    pub fn service(&mut self, service: &Arc<Origin>) {
        if let Some(details) = &mut self.details {
            details.service = Some(Arc::clone(service));
        }
    }

    /// Says what the request's identity is.
    pub fn request_id(&mut self, id: &HeaderValue) {
        if let Some(details) = &mut self.details {
            details.request_id = Some(id.clone());
        }
    }

    /// Says that an endpoint is tried now; the try before it, if any, is over.
    pub fn attempt(&mut self, address: SocketAddr, name: &Arc<str>) {
        let bytes = self.bytes_out;
        let Some(details) = &mut self.details else { return };
        let now = Instant::now();
        close_attempt(&mut details.attempts, now, bytes);
        let name = Arc::clone(name);
        details.attempts.push(Attempt { address, name, started: now, connected: None, answered: None, took: Duration::ZERO, bytes: 0 });
    }

    /// Says that the connection to the endpoint stands.
    pub fn connected(&mut self) {
        if let Some(attempt) = self.details.as_mut().and_then(|details| details.attempts.last_mut()) {
            attempt.connected = Some(attempt.started.elapsed());
        }
    }

    /// Says that the endpoint's answer has begun.
    pub fn answered(&mut self, status: StatusCode) {
        if let Some(attempt) = self.details.as_mut().and_then(|details| details.attempts.last_mut()) {
            attempt.answered = Some((status.as_u16(), attempt.started.elapsed()));
        }
    }

    /// Says what status the client gets.
    pub fn status(&mut self, status: StatusCode) {
        self.status = Some(status.as_u16());
    }

    /// Says why the proxy answers itself, or cuts the answer. The first reason stays.
    pub fn reason(&mut self, reason: Reason) {
        self.reason.get_or_insert(reason);
    }

    /// Counts bytes of the request's body that arrived.
    pub fn received(&mut self, bytes: u64) {
        self.bytes_in += bytes;
    }

    /// Counts bytes of the response's body that went out.
    pub fn sent(&mut self, bytes: u64) {
        self.bytes_out += bytes;
    }

    /// Says that the response has reached its end: the drop that follows is not the client's doing.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.finished {
            self.reason.get_or_insert(if std::thread::panicking() { Reason::Internal } else { Reason::ClientGone });
        }
        let status = self.status.unwrap_or_else(|| match self.reason {
            Some(Reason::ClientGone) | None => CLIENT_GONE,
            Some(reason) => reason.status().as_u16(),
        });
        let now = Instant::now();
        let took = now.saturating_duration_since(self.started);
        let metrics = self.observer.metrics();
        let series = self.series.as_ref().unwrap_or_else(|| metrics.unrouted());
        series.count(self.method, StatusClass::from(status), took, self.bytes_in, self.bytes_out);
        if let Some(reason) = self.reason {
            metrics.answer(reason);
        }
        let Some(details) = &mut self.details else { return };
        close_attempt(&mut details.attempts, now, self.bytes_out);
        let ended = Ended {
            details,
            series: self.series.as_deref(),
            status,
            reason: self.reason,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            took,
        };
        self.observer.push(|out, format, clock| line::render(out, format, clock, &ended));
    }
}

/// Ends the last try: all that was sent to the client came from it, if it answered at all.
fn close_attempt(attempts: &mut [Attempt], now: Instant, sent: u64) {
    if let Some(attempt) = attempts.last_mut() {
        attempt.took = now.saturating_duration_since(attempt.started);
        attempt.bytes = if attempt.answered.is_some() { sent } else { 0 };
    }
}

/// Returns how long the head is in HTTP/1.1's spelling: what HTTP/2 sends has no other length that would mean anything to people.
fn head_bytes(request: &http::request::Parts) -> u64 {
    let target = request.uri.path_and_query().map_or(1, |target| target.as_str().len());
    let line = request.method.as_str().len() + target + " HTTP/1.1\r\n".len() + 1;
    let headers: usize = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    (line + headers + 2) as u64
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::model::{HostMatch, PathMatch};
    use crate::observe::logger::tests::told;
    use crate::observe::{Logger, Metrics, SeriesLabels};
    use std::sync::mpsc::Receiver;

    struct Case {
        logger: Logger,
        told: Receiver<Vec<u8>>,
        observer: Rc<Observer>,
    }

    fn case(format: &str) -> Case {
        let (logger, told) = told(format);
        let observer = logger.observer();
        Case { logger, told, observer }
    }

    impl Case {
        fn begin(&self, request: http::request::Builder) -> Record {
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let client = ClientFacts {
                client: ([192, 0, 2, 7], 1234).into(),
                listener: &"https".into(),
                local_port: 8443,
                scheme: Scheme::Https,
                server_name: Some(&"shop.example".into()),
                tls_version: Some("TLSv1.3"),
            };
            Record::begin(&self.observer, client, &parts)
        }

        /// Ends the log and returns its lines.
        fn lines(self) -> String {
            let Self { logger, told, observer } = self;
            drop(observer);
            logger.close();
            String::from_utf8(told.iter().flatten().collect()).unwrap()
        }
    }

    fn get(target: &str) -> http::request::Builder {
        http::Request::get(target).header("host", "Shop.Example:8443")
    }

    fn series(metrics: &Metrics) -> Arc<RouteSeries> {
        let path = PathMatch::Prefix("/cart".parse().unwrap());
        let origin = Arc::new(Origin::new("Ingress", "shop", "web"));
        metrics.route(SeriesLabels::of(&origin, &HostMatch::of_ingress("shop.example").unwrap(), Some(&path)))
    }

    /// Replaces what time makes of a line.
    fn without_times(line: &str) -> String {
        let time = |word: &str| word.parse::<f64>().is_ok() && word.split_once('.').is_some_and(|(_, after)| after.len() == 3);
        line.split(' ').map(|word| if time(word.trim_end_matches(',')) { "T" } else { word }).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_text_line_has_the_fields_of_ingress_nginx_in_their_order() {
        let case = case("text");
        let mut record = case.begin(get("/cart/1?x=2").header("user-agent", "curl/8").header("referer", "https://a.b/"));
        record.route(&series(record.observer().metrics()));
        record.service(&Arc::new(Origin::new("Service", "shop", "cart:80")));
        record.request_id(&HeaderValue::from_static("abc"));
        record.attempt(([10, 0, 0, 1], 80).into(), &"cart-1".into());
        record.attempt(([10, 0, 0, 2], 80).into(), &"cart-2".into());
        record.answered(StatusCode::OK);
        record.status(StatusCode::OK);
        record.received(11);
        record.sent(5);
        record.finish();
        drop(record);
        let lines = case.lines();
        let (before, after) = lines.split_once('[').unwrap();
        let (_time, after) = after.split_once(']').unwrap();
        assert_eq!(before, "192.0.2.7 - - ");
        let head = "GET /cart/1?x=2 HTTP/1.1\r\nhost: Shop.Example:8443\r\nuser-agent: curl/8\r\nreferer: https://a.b/\r\n\r\n".len();
        let wanted = format!(
            " \"GET /cart/1?x=2 HTTP/1.1\" 200 5 \"https://a.b/\" \"curl/8\" {} T [shop-cart-80] [] 10.0.0.1:80, 10.0.0.2:80 0, 5 T T 502, 200 abc\n",
            head + 11
        );
        assert_eq!(without_times(after), wanted);
    }

    #[test]
    fn the_json_line_has_the_same_facts_under_stable_keys() {
        let case = case("json");
        let mut record = case.begin(get("/cart\u{e9}?x").header("user-agent", HeaderValue::from_bytes(b"\xff\"").unwrap()));
        record.route(&series(record.observer().metrics()));
        record.attempt(([10, 0, 0, 1], 80).into(), &"cart-1".into());
        record.reason(Reason::ConnectFailed);
        record.reason(Reason::Internal);
        record.status(StatusCode::BAD_GATEWAY);
        record.finish();
        drop(record);
        let line: serde_json::Value = serde_json::from_str(&case.lines()).unwrap();
        let wanted = serde_json::json!({
            "client.ip": "192.0.2.7", "scheme": "https", "protocol": "HTTP/1.1", "tls_version": "TLSv1.3", "server_name": "shop.example",
            "method": "GET", "host": "shop.example", "target": "/cart\u{e9}?x", "status": 502, "reason": "connect_failed",
            "route": {"kind": "Ingress", "namespace": "shop", "name": "web", "host": "shop.example", "path": "/cart"},
            "user_agent": "\u{fffd}\"", "referer": null, "request.id": null,
        });
        for (key, value) in wanted.as_object().unwrap() {
            assert_eq!(line.get(key), Some(value), "{key} of {line}");
        }
        assert_eq!(line.pointer("/attempts/0/endpoint"), Some(&"cart-1".into()));
    }

    #[test]
    fn a_client_that_goes_away_is_logged_once_with_what_it_had_got() {
        for (status, logged) in [(None, "499 client_gone 0\n"), (Some(StatusCode::OK), "200 client_gone 7\n")] {
            let case = case("$status $reason $body_bytes_sent");
            let mut record = case.begin(get("/"));
            if let Some(status) = status {
                record.status(status);
                record.sent(7);
            }
            drop(record);
            assert_eq!(case.lines(), logged);
        }
    }

    #[test]
    fn no_request_can_forge_a_line() {
        let case = case("\"$http_x_a\" $request_uri");
        let forged = HeaderValue::from_bytes(b"a\" 200 \\ \t\xff").unwrap();
        let mut record = case.begin(get("/\u{e9}").header("x-a", forged));
        record.finish();
        drop(record);
        assert_eq!(case.lines(), "\"a\\x22 200 \\x5C \\x09\\xFF\" /\\xC3\\xA9\n");
    }

    #[test]
    fn targets_are_logged_as_the_client_sent_them() {
        let http2 = |target| http::Request::get(target).version(Version::HTTP_2);
        for (request, logged) in [
            (http2("https://a.b/x?y"), "GET /x?y HTTP/2.0 a.b\n"),
            (http::Request::get("http://A.b:80/x"), "GET http://A.b:80/x HTTP/1.1 a.b\n"),
            (http::Request::connect("a.b:443"), "CONNECT a.b:443 HTTP/1.1 a.b\n"),
            (http::Request::options("*"), "OPTIONS * HTTP/1.1 -\n"),
        ] {
            let case = case("$request $host");
            let mut record = case.begin(request);
            record.finish();
            drop(record);
            assert_eq!(case.lines(), logged);
        }
    }

    #[test]
    fn a_log_that_is_off_keeps_nothing_but_what_is_counted() {
        let logger = Logger::off(Arc::default());
        let observer = logger.observer();
        let (parts, ()) = get("/").body(()).unwrap().into_parts();
        let client = ClientFacts {
            client: ([192, 0, 2, 7], 1).into(),
            listener: &"http".into(),
            local_port: 80,
            scheme: Scheme::Http,
            server_name: None,
            tls_version: None,
        };
        let record = Record::begin(&observer, client, &parts);
        assert!(record.details.is_none());
    }

    #[test]
    fn a_panic_is_ours_and_not_the_clients() {
        let case = case("$status $reason");
        let record = case.begin(get("/"));
        let fault = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _record = record;
            std::panic::resume_unwind(Box::new("as a fault of ours would"));
        }));
        assert!(fault.is_err());
        assert_eq!(case.lines(), "500 internal\n");
    }
}
