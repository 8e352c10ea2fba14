//! Servers, certificates and clients for the tests of this directory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use tidegate_proxy::error::Reason;
use tidegate_proxy::model::{
    Certificate, CidrSet, Compatibility, Conditions, HostMap, HostMatch, Limits, Origin, Timeouts, UpstreamProtocol,
};
use tidegate_proxy::observe::{Logger, Metrics};
use tidegate_proxy::server::{Bound, Running};
use tidegate_proxy::settings::{AccessLog, Settings};
use tidegate_proxy::state::State;
use tidegate_proxy::table::{Backend, Forward, Listener, Route, SessionTickets, Table, TlsTable};
use tidegate_proxy::upstream::{EndpointAddress, UpstreamKey};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Long enough for anything that should happen, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Settings for tests: silent, with two workers.
pub(crate) fn settings() -> Settings {
    Settings { workers: 2, access_log: AccessLog::Off, ..Settings::default() }
}

/// Limits that no test waits for unless it shortens them.
pub(crate) fn limits() -> Limits {
    Limits::default()
}

/// A listener on a port of the system's choice that answers every request with 404.
pub(crate) fn listener(name: &str) -> Listener {
    Listener {
        name: name.into(),
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: None,
        public_port: None,
        public_https_port: None,
        proxy_protocol: CidrSet::default(),
        limits: Arc::new(limits()),
        hosts: HostMap::default(),
        fallback: None,
    }
}

/// A route for all that a listener gets, answered with this reason.
pub(crate) fn refusing(reason: Reason) -> Arc<Route> {
    Arc::new(Route {
        origin: Arc::new(Origin::new("Test", "", "refusing")),
        host: HostMatch::Any,
        path: None,
        conditions: Conditions::default(),
        compatibility: Compatibility::Native,
        filters: Box::default(),
        backend: Backend::Unavailable(reason),
        series: Arc::default(),
    })
}

/// A listener all of whose requests go to this address, and the state that knows so.
pub(crate) fn forwarding(name: &str, to: SocketAddr) -> (Listener, Arc<State>) {
    forwarding_with(name, to, State::default())
}

/// The same, with a state of the test's.
pub(crate) fn forwarding_with(name: &str, to: SocketAddr, state: State) -> (Listener, Arc<State>) {
    let backend: Arc<str> = "test/backend:80".into();
    let key = UpstreamKey { backend: Arc::clone(&backend), protocol: UpstreamProtocol::Http1 };
    let upstream = state.upstreams.get(&key);
    state.upstreams.set_endpoints(&backend, vec![EndpointAddress { address: to, name: "endpoint".into() }]);
    let service = Arc::new(Origin::new("Service", "test", "backend:80"));
    let forward = Forward { upstream, timeouts: Timeouts::default(), service };
    let mut route = Arc::into_inner(refusing(Reason::NoPath)).unwrap();
    route.backend = Backend::Forward(forward);
    (Listener { fallback: Some(Arc::new(route)), ..listener(name) }, Arc::new(state))
}

pub(crate) fn table(listeners: Vec<Listener>) -> Table {
    Table { generation: 0, listeners, trusted_proxies: CidrSet::default() }
}

/// Starts a server on these listeners.
pub(crate) fn start(settings: Settings, listeners: Vec<Listener>) -> Running {
    start_with(settings, listeners, Arc::default())
}

/// Starts a server on these listeners and this state.
pub(crate) fn start_with(settings: Settings, listeners: Vec<Listener>, state: Arc<State>) -> Running {
    let table = table(listeners);
    Bound::bind(settings, &table).unwrap().start(table, state).unwrap()
}

/// The address of a listener that is bound now.
pub(crate) fn address(running: &Running, name: &str) -> SocketAddr {
    running.listening().into_iter().find(|(known, _)| &**known == name).unwrap().1
}

/// A state with its metrics, and what shows them.
pub(crate) fn counting() -> (Arc<State>, impl Fn() -> String) {
    let metrics = Arc::new(Metrics::default());
    let state = State::new(Arc::clone(&metrics), Logger::off(Arc::clone(&metrics)));
    let show = move || metrics.to_text();
    (Arc::new(state), show)
}

/// Waits until something holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

/// A certificate authority of a test.
pub(crate) struct Authority {
    issuer: rcgen::Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: rcgen::Issuer::new(params, key), root }
    }

    /// Issues a certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Arc<Certificate> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap();
        let origin = Arc::new(Origin::new("Secret", "test", names[0]));
        Arc::new(Certificate::from_pem(origin, chain.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap())
    }

    /// A TLS table that serves this certificate for every name.
    pub(crate) fn serve(certificate: &Arc<Certificate>, tickets: &SessionTickets) -> TlsTable {
        TlsTable::new(HostMap::default(), Arc::clone(certificate), tickets).unwrap()
    }

    /// A client that trusts this authority and offers these protocols.
    pub(crate) fn client(&self, versions: &[&'static rustls::SupportedProtocolVersion], alpn: &[&str]) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

pub(crate) type TlsClient = tokio_rustls::client::TlsStream<TcpStream>;

/// Shakes hands as a client that asks for this name.
pub(crate) async fn connect_tls(connector: &TlsConnector, address: SocketAddr, name: &str) -> std::io::Result<TlsClient> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    connector.connect(name, TcpStream::connect(address).await?).await
}

/// The head of a response as text, and nothing of what follows.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    let reading = async {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
    };
    tokio::time::timeout(SOON, reading).await.expect("a response head in time");
    String::from_utf8(head).unwrap()
}

/// Sends a request and returns the head of its response.
pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    read_head(stream).await
}

pub(crate) const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: test\r\n\r\n";

/// Waits until the peer closes, discarding what it sends; returns how long that took.
pub(crate) async fn closed<S: AsyncRead + Unpin>(stream: &mut S) -> Duration {
    let begin = tokio::time::Instant::now();
    let mut discarded = [0; 4096];
    let reading = async { while matches!(stream.read(&mut discarded).await, Ok(1..)) {} };
    tokio::time::timeout(SOON, reading).await.expect("the connection closed in time");
    begin.elapsed()
}

/// An HTTP/2 client on a stream; its connection runs beside it and says how it ended.
pub(crate) async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
) -> (Http2, tokio::task::JoinHandle<Result<(), hyper::Error>>) {
    let mut builder = hyper::client::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
    // So small that a response which nobody reads soon stands still.
    builder.initial_stream_window_size(64 * 1024);
    let (client, connection) = builder.handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    (client, tokio::spawn(connection))
}

pub(crate) type Http2 = hyper::client::conn::http2::SendRequest<http_body_util::Empty<bytes::Bytes>>;

/// Asks for `/` over HTTP/2.
pub(crate) async fn get_http2(client: &mut Http2) -> Result<http::Response<hyper::body::Incoming>, hyper::Error> {
    get_http2_from(client, "/").await
}

/// Asks for a path over HTTP/2.
pub(crate) async fn get_http2_from(client: &mut Http2, path: &str) -> Result<http::Response<hyper::body::Incoming>, hyper::Error> {
    let request = http::Request::get(format!("http://test{path}")).body(http_body_util::Empty::new()).unwrap();
    client.send_request(request).await
}
