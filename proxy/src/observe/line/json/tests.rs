//! Lines are, byte for byte, what `serde_json` makes of the same values.

use super::super::{LogFormat, render};
use super::*;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderValue, Method, Uri, Version};
use proptest::prelude::*;
use serde::Serialize;

use crate::error::Reason;
use crate::model::{Origin, Scheme, request_host};
use crate::observe::details::Needs;
use crate::observe::record::ClientFacts;
use crate::observe::{Metrics, SeriesLabels};

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    #[serde(rename = "client.ip")]
    client_ip: IpAddr,
    #[serde(rename = "client.port")]
    client_port: u16,
    listener: &'a str,
    scheme: &'a str,
    protocol: &'a str,
    tls_version: Option<&'a str>,
    server_name: Option<&'a str>,
    method: &'a str,
    host: Option<Cow<'a, str>>,
    target: String,
    status: u16,
    reason: Option<&'a str>,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: f64,
    #[serde(rename = "request.id")]
    request_id: Option<Cow<'a, str>>,
    route: Option<Route<'a>>,
    backend: Option<String>,
    attempts: Vec<Tried<'a>>,
    referer: Option<Cow<'a, str>>,
    user_agent: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Route<'a> {
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    host: String,
    path: &'a str,
}

#[derive(Serialize)]
struct Tried<'a> {
    address: SocketAddr,
    endpoint: &'a str,
    status: Option<u16>,
    connect_ms: Option<f64>,
    header_ms: Option<f64>,
    duration_ms: f64,
}

/// What a line is made of.
#[derive(Debug)]
struct Facts {
    time: Duration,
    client: SocketAddr,
    listener: Arc<str>,
    scheme: Scheme,
    version: Version,
    tls_version: Option<&'static str>,
    server_name: Option<Arc<str>>,
    method: Method,
    target: Uri,
    host: Option<HeaderValue>,
    status: u16,
    reason: Option<Reason>,
    bytes: [u64; 2],
    took: Duration,
    request_id: Option<HeaderValue>,
    labels: Option<SeriesLabels>,
    service: Option<Arc<Origin>>,
    attempts: Vec<(Arc<str>, Attempt)>,
    headers: [Option<HeaderValue>; 2],
}

impl Facts {
    fn reference(&self) -> Vec<u8> {
        let lossy = |value: &Option<HeaderValue>| value.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned().into());
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let time = jiff::Timestamp::from_second(self.time.as_secs().try_into().unwrap()).unwrap();
        let route = self.labels.as_ref().and_then(|labels| {
            let origin = labels.origin.as_ref()?;
            let host = labels.host.as_ref().map(ToString::to_string).unwrap_or_default();
            Some(Route { kind: &origin.kind, namespace: &origin.namespace, name: &origin.name, host, path: &labels.path })
        });
        let authority = self.target.authority().map(http::uri::Authority::as_str);
        let path = self.target.path_and_query().map(http::uri::PathAndQuery::as_str);
        let attempts = self.attempts.iter().map(|(name, attempt)| Tried {
            address: attempt.address,
            endpoint: name,
            status: attempt.answered,
            connect_ms: attempt.connected.map(ms),
            header_ms: attempt.header_after.map(ms),
            duration_ms: ms(attempt.took),
        });
        let line = Line {
            time: &format!("{}.{:03}Z", time.strftime("%Y-%m-%dT%H:%M:%S"), self.time.subsec_millis()),
            client_ip: self.client.ip(),
            client_port: self.client.port(),
            listener: &self.listener,
            scheme: self.scheme.as_str(),
            protocol: protocol(self.version),
            tls_version: self.tls_version,
            server_name: self.server_name.as_deref(),
            method: self.method.as_str(),
            host: authority.or_else(|| self.host.as_ref()?.to_str().ok()).and_then(|authority| request_host(authority).ok()),
            target: match (authority, path) {
                (None, path) => path.unwrap_or("*").to_owned(),
                (Some(authority), None) => authority.to_owned(),
                (Some(_), Some(path)) if self.version >= Version::HTTP_2 || self.target.scheme().is_none() => path.to_owned(),
                (Some(_), Some(_)) => self.target.to_string(),
            },
            status: self.status,
            reason: self.reason.map(Reason::as_str),
            bytes_in: self.bytes[0],
            bytes_out: self.bytes[1],
            duration_ms: ms(self.took),
            request_id: lossy(&self.request_id),
            route,
            backend: self.service.as_ref().map(|service| format!("{}/{}", service.namespace, service.name)),
            attempts: attempts.collect(),
            referer: lossy(&self.headers[0]),
            user_agent: lossy(&self.headers[1]),
        };
        serde_json::to_vec(&line).unwrap()
    }

    fn written(self) -> Vec<u8> {
        let metrics = Arc::<Metrics>::default();
        let series = self.labels.map(|labels| metrics.route(labels));
        let mut request = http::Request::new(()).into_parts().0;
        (request.method, request.uri, request.version) = (self.method, self.target, self.version);
        let names = [http::header::HOST, http::header::REFERER, http::header::USER_AGENT];
        for (name, value) in names.into_iter().zip([self.host].into_iter().chain(self.headers)) {
            request.headers.extend(value.map(|value| (name, value)));
        }
        let client = ClientFacts {
            client: self.client,
            listener: &self.listener,
            local_port: 80,
            scheme: self.scheme,
            server_name: self.server_name.as_ref(),
            tls_version: self.tls_version,
        };
        let format = LogFormat::json();
        let needs = Needs::of(&format);
        let mut details = Details::new();
        details.begin(&needs, &client, &request);
        details.take_request_id(|| self.request_id);
        if let Some(service) = &self.service {
            details.take_service(service);
        }
        for (name, attempt) in &self.attempts {
            details.attempt(&needs, attempt.address, name, attempt.started);
            let last = details.attempts.last_mut().unwrap();
            *last = Attempt { name: last.name, ..*attempt };
        }
        let ended = Ended {
            details: &details,
            series: series.as_deref(),
            status: self.status,
            reason: self.reason,
            bytes_in: self.bytes[0],
            bytes_out: self.bytes[1],
            at: Instant::now(),
            took: self.took,
        };
        let mut out = Vec::new();
        render(&mut out, &format, &mut Clock::at(ended.at, self.time), &ended);
        out
    }
}

/// Texts of letters alone, and of whatever there is.
fn text() -> impl Strategy<Value = String> {
    let mixed = prop::collection::vec(
        prop_oneof![
            Just('"'),
            Just('\\'),
            Just('\u{7f}'),
            Just('\u{2028}'),
            prop::char::range('\0', ' '),
            any::<char>(),
            prop::char::range('a', 'z')
        ],
        0..24,
    );
    prop_oneof!["[ -~]{0,40}", "[a-z0-9.:/-]{0,40}", mixed.prop_map(String::from_iter)]
}

fn arc() -> impl Strategy<Value = Arc<str>> {
    text().prop_map(Arc::from)
}

fn value() -> impl Strategy<Value = HeaderValue> {
    let bytes = prop_oneof![text().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..24)];
    bytes.prop_filter_map("a field can have it", |bytes| HeaderValue::from_bytes(&bytes).ok())
}

/// Durations of all magnitudes, without those that lie right between two microseconds: floating point rounds them this way and that.
fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| Duration::from_micros(bits >> shift)),
        (0..100_000_000_000_000_u64, 0..47_u32).prop_map(|(bits, shift)| Duration::from_nanos(bits >> shift)),
        (0..10_u64, 0..1000_u64).prop_map(|(ms, us)| Duration::from_micros(ms * 1000 + us)),
        Just(Duration::ZERO),
        Just(Duration::MAX),
    ]
    .prop_filter("between two", |time| time.subsec_nanos() % 1000 != 500)
}

fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| bits >> shift)
}

fn attempt() -> impl Strategy<Value = (Arc<str>, Attempt)> {
    let answered = prop::option::of((any::<u16>(), time()));
    (any::<SocketAddr>(), arc(), prop::option::of(time()), answered, time()).prop_map(|(address, name, connected, answer, took)| {
        let (answered, header_after) = answer.unzip();
        let (started, of_texts) = (Instant::now(), Default::default());
        (name, Attempt { address, name: of_texts, started, connected, answered, header_after, took, bytes: 0 })
    })
}

fn origin() -> impl Strategy<Value = Arc<Origin>> {
    (text(), text(), text()).prop_map(|(kind, namespace, name)| Arc::new(Origin::new(&kind, &namespace, &name)))
}

fn labels() -> impl Strategy<Value = SeriesLabels> {
    let name = || "[a-z]{1,9}(\\.[a-z0-9_]{1,9}){0,2}".prop_map(|name| name.parse().unwrap());
    let host = prop_oneof![
        name().prop_map(HostMatch::Exact),
        name().prop_map(HostMatch::OneLabel),
        name().prop_map(HostMatch::ManyLabels),
        Just(HostMatch::Any),
    ];
    (prop::option::of(origin()), prop::option::of(host), arc()).prop_map(|(origin, host, path)| SeriesLabels {
        origin,
        host,
        path,
        service: None,
    })
}

/// Targets in all forms: of a path, with an authority, whole, of an authority alone.
fn target() -> impl Strategy<Value = Uri> {
    let path = prop_oneof!["/[ -~]{0,40}", text().prop_map(|text| format!("/{text}")), Just("*".to_owned())];
    let authority = "[A-Za-z0-9.-]{1,20}(:[0-9]{1,5})?";
    prop_oneof![
        path.clone(),
        (authority, path).prop_map(|(authority, path)| format!("http://{authority}{path}")),
        authority.prop_map(|authority| authority),
        Just("https://[2001:db8::1]:8443/x?y".to_owned()),
    ]
    .prop_filter_map("hyper would take it", |target| target.parse().ok())
}

fn facts() -> impl Strategy<Value = Facts> {
    let of_connection = (
        any::<SocketAddr>(),
        arc(),
        prop::sample::select(vec![Scheme::Http, Scheme::Https]),
        prop::sample::select(vec![Version::HTTP_10, Version::HTTP_11, Version::HTTP_2]),
        prop::sample::select(vec![None, Some("TLSv1.2"), Some("TLSv1.3")]),
        prop::option::of(arc()),
    );
    let method = prop_oneof![Just(Method::GET), "[!#$%&'*+.^_`|~A-Za-z-]{1,20}".prop_map(|name| name.parse().unwrap())];
    let host = prop_oneof![Just(None), "[A-Za-z0-9.:]{1,20}".prop_map(|host| Some(host.parse().unwrap())), value().prop_map(Some)];
    let of_request = (method, target(), host, prop::option::of(value()), [prop::option::of(value()), prop::option::of(value())]);
    let of_answer = (
        prop_oneof![Just(200), Just(404), any::<u16>()],
        prop::option::of(prop::sample::select(Reason::ALL)),
        [number(), number()],
        time(),
        prop::option::of(labels()),
        prop::option::of(origin()),
        prop::collection::vec(attempt(), 0..4),
    );
    let at = (0..200_000_000_000_u64, 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos));
    (at, of_connection, of_request, of_answer).prop_map(|(time, connection, request, answer)| {
        let (client, listener, scheme, version, tls_version, server_name) = connection;
        let (method, target, host, request_id, headers) = request;
        let (status, reason, bytes, took, labels, service, attempts) = answer;
        Facts {
            time,
            client,
            listener,
            scheme,
            version,
            tls_version,
            server_name,
            method,
            target,
            host,
            status,
            reason,
            bytes,
            took,
            request_id,
            labels,
            service,
            attempts,
            headers,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_line_is_what_serde_json_makes_of_it(facts in facts()) {
        let wanted = facts.reference();
        let written = facts.written();
        prop_assert_eq!(String::from_utf8(written).unwrap(), String::from_utf8(wanted).unwrap());
    }
}

#[test]
fn what_is_not_known_is_null() {
    let facts = Facts {
        time: Duration::from_millis(1_500),
        client: ([192, 0, 2, 7], 1234).into(),
        listener: "http".into(),
        scheme: Scheme::Http,
        version: Version::HTTP_11,
        tls_version: None,
        server_name: None,
        method: Method::OPTIONS,
        target: Uri::from_static("*"),
        host: None,
        status: 400,
        reason: None,
        bytes: [0, 0],
        took: Duration::from_micros(1_012_500),
        request_id: None,
        labels: None,
        service: None,
        attempts: Vec::new(),
        headers: [None, None],
    };
    let wanted = concat!(
        r#"{"time":"1970-01-01T00:00:01.500Z","client.ip":"192.0.2.7","client.port":1234,"listener":"http","scheme":"http","#,
        r#""protocol":"HTTP/1.1","tls_version":null,"server_name":null,"method":"OPTIONS","host":null,"target":"*","status":400,"#,
        r#""reason":null,"bytes_in":0,"bytes_out":0,"duration_ms":1012.5,"request.id":null,"route":null,"backend":null,"attempts":[],"#,
        r#""referer":null,"user_agent":null}"#
    );
    assert_eq!(String::from_utf8(facts.written()).unwrap(), wanted);
}
