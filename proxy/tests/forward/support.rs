//! What the tests of forwarding share: a proxy on loopback, backends of several kinds, clients.
#![expect(unreachable_pub, reason = "shared by the modules of one test")]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidegate_proxy::filter::Filter;
use tidegate_proxy::model::{Compatibility, Conditions, HostMap, HostMatch, Limits, Origin, PathMatch, Timeouts, UpstreamProtocol};
use tidegate_proxy::server::{Bound, Running};
use tidegate_proxy::settings::Settings;
use tidegate_proxy::state::State;
use tidegate_proxy::table::{Backend, Forward, HostBuilder, Listener, Route, Table};
use tidegate_proxy::upstream::{EndpointAddress, UpstreamKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A body of any make.
pub type AnyBody = BoxBody<Bytes, std::io::Error>;

/// A proxy with one listener, all of whose hosts lead where the test says.
pub struct Proxy {
    pub address: SocketAddr,
    pub state: Arc<State>,
    pub running: Running,
}

/// How a proxy is set up.
pub struct Setup {
    pub protocol: UpstreamProtocol,
    pub endpoints: Vec<SocketAddr>,
    pub timeouts: Timeouts,
    pub filters: Vec<Filter>,
    pub limits: Limits,
    pub settings: Settings,
    pub trusted: Vec<&'static str>,
    pub public_ports: (Option<u16>, Option<u16>),
    pub state: State,
}

impl Setup {
    pub fn to(endpoints: &[SocketAddr]) -> Self {
        Self {
            protocol: UpstreamProtocol::Http1,
            endpoints: endpoints.to_vec(),
            timeouts: Timeouts::default(),
            filters: Vec::new(),
            limits: Limits::default(),
            settings: Settings::default(),
            trusted: Vec::new(),
            public_ports: (None, None),
            state: State::default(),
        }
    }

    pub fn over(endpoints: &[SocketAddr], protocol: UpstreamProtocol) -> Self {
        Self { protocol, ..Self::to(endpoints) }
    }

    pub fn start(self) -> Proxy {
        let state = Arc::new(self.state);
        set_endpoints(&state, &self.endpoints);
        let upstream = state.upstreams.get(&UpstreamKey { backend: "test".into(), protocol: self.protocol });
        let service = Arc::new(Origin::new("Service", "default", "test:80"));
        let route = Route {
            origin: Arc::new(Origin::new("Ingress", "default", "test")),
            host: HostMatch::Any,
            path: Some(PathMatch::Prefix("/".parse().unwrap())),
            conditions: Conditions::default(),
            compatibility: Compatibility::Native,
            filters: self.filters.into(),
            backend: Backend::Forward(Forward { upstream, timeouts: self.timeouts, service }),
            series: Arc::default(),
        };
        let name = HostMatch::of_ingress("a.test").unwrap();
        let mut host = HostBuilder::new(name.clone(), Compatibility::Native);
        host.add(Arc::new(route)).unwrap();
        let mut hosts = HostMap::default();
        hosts.set(&name, Some(Arc::new(host.build().unwrap())));
        let listener = Listener {
            name: "http".into(),
            address: ([127, 0, 0, 1], 0).into(),
            tls: None,
            public_port: self.public_ports.0,
            public_https_port: self.public_ports.1,
            proxy_protocol: Default::default(),
            limits: Arc::new(self.limits),
            hosts,
            fallback: None,
        };
        let mut table = Table { generation: 0, listeners: vec![listener], trusted_proxies: Default::default() };
        for cidr in self.trusted {
            table.trusted_proxies.add(cidr).unwrap();
        }
        let bound = Bound::bind(self.settings, &table).unwrap();
        let address = bound.addresses()[0].1;
        let running = bound.start(table, Arc::clone(&state)).unwrap();
        Proxy { address, state, running }
    }
}

pub fn set_endpoints(state: &State, endpoints: &[SocketAddr]) {
    let addresses = endpoints.iter().map(|address| EndpointAddress { address: *address, name: "".into() }).collect();
    state.upstreams.set_endpoints(&"test".into(), addresses);
}

/// An address that nobody listens on.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A backend that the test scripts byte by byte: the function gets each connection with its number, from 0.
pub async fn scripted<F, R>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream, usize) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(serve(stream, number));
        }
    });
    address
}

/// Reads the head of a message, and what came with it.
pub async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => read.extend_from_slice(&piece[..length]),
        }
    }
    Some(String::from_utf8(read).unwrap())
}

/// What a backend has seen.
#[derive(Clone, Default)]
pub struct Seen {
    pub heads: Arc<Mutex<Vec<String>>>,
    pub connections: Arc<AtomicUsize>,
}

impl Seen {
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A backend that answers each request with the same bytes, on connections that stay open.
pub async fn canned(answer: &'static str) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let noted = seen.clone();
    let address = scripted(move |mut stream, _| {
        let seen = noted.clone();
        async move {
            seen.connections.fetch_add(1, Ordering::SeqCst);
            while let Some(head) = read_head(&mut stream).await {
                seen.heads.lock().unwrap().push(head);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    (address, seen)
}

pub const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Serves HTTP/1.1 with hyper.
pub async fn http1_backend<F, R>(serve: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<AnyBody>> + Send + 'static,
{
    scripted(move |stream, _| {
        let serve = serve.clone();
        async move {
            let service = service_fn(move |request| {
                let answered = serve(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

/// Serves HTTP/2 with prior knowledge; at most `streams` at a time on one connection.
pub async fn http2_backend<F, R>(streams: u32, serve: F) -> (SocketAddr, Seen)
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<AnyBody>> + Send + 'static,
{
    let seen = Seen::default();
    let noted = seen.clone();
    let address = scripted(move |stream, _| {
        let serve = serve.clone();
        noted.connections.fetch_add(1, Ordering::SeqCst);
        async move {
            let service = service_fn(move |request| {
                let answered = serve(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = builder.max_concurrent_streams(streams).serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await;
    (address, seen)
}

pub fn full(text: impl Into<Bytes>) -> AnyBody {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

/// A body of these pieces, then trailers if there are any; of no announced length.
pub fn pieces(data: &[&'static str], trailers: Option<HeaderMap>) -> AnyBody {
    let frames: Vec<_> =
        data.iter().map(|piece| Frame::data(Bytes::from_static(piece.as_bytes()))).chain(trailers.map(Frame::trailers)).collect();
    StreamBody::new(futures_util::stream::iter(frames.into_iter().map(Ok))).boxed()
}

/// A body of `count` pieces of 64 KiB with a pattern that tells every piece apart.
pub fn large(count: usize) -> AnyBody {
    let frames = (0..count).map(|i| Ok(Frame::data(pattern(i))));
    StreamBody::new(futures_util::stream::iter(frames)).boxed()
}

fn pattern(i: usize) -> Bytes {
    (0..65_536usize).map(|at| u8::try_from((at * 31 + i * 7 + at / 251) % 256).unwrap()).collect::<Vec<_>>().into()
}

/// A checksum over bytes in order, whatever pieces they come in (FNV-1a), and their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksum(pub u64, pub usize);

impl Checksum {
    pub fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325, 0)
    }

    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.1 += bytes.len();
    }

    pub fn of_large(count: usize) -> Self {
        let mut sum = Self::new();
        for i in 0..count {
            sum.add(&pattern(i));
        }
        sum
    }

    pub async fn of<B: http_body::Body<Data = Bytes> + Unpin>(mut body: B) -> Self
    where
        B::Error: std::fmt::Debug,
    {
        let mut sum = Self::new();
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame.unwrap().data_ref() {
                sum.add(data);
            }
        }
        sum
    }
}

/// A client on one HTTP/1.1 connection.
pub struct Http1(hyper::client::conn::http1::SendRequest<AnyBody>);

impl Http1 {
    pub async fn connect(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Self(sender)
    }

    pub async fn send(&mut self, request: Request<AnyBody>) -> Response<Incoming> {
        self.0.ready().await.unwrap();
        in_time(self.0.send_request(request)).await.unwrap()
    }

    pub async fn get(&mut self, target: &str) -> (u16, String) {
        read(self.send(request("GET", target).body(full("")).unwrap()).await).await
    }
}

/// A client on one HTTP/2 connection.
#[derive(Clone)]
pub struct Http2(pub hyper::client::conn::http2::SendRequest<AnyBody>);

impl Http2 {
    pub async fn connect(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.address).await.unwrap();
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn send(&self, request: Request<AnyBody>) -> Response<Incoming> {
        in_time(self.0.clone().send_request(request)).await.unwrap()
    }
}

/// A request for the test's host.
pub fn request(method: &str, target: &str) -> http::request::Builder {
    Request::builder().method(method).uri(target).header("host", "a.test")
}

/// A request for the test's host over HTTP/2.
pub fn request2(method: &str, target: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://a.test{target}")).version(http::Version::HTTP_2)
}

/// Reads a response to its end.
pub async fn read(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = in_time(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Sends bytes on a connection of their own and returns all that comes until the proxy closes it.
pub async fn raw(proxy: &Proxy, bytes: &str) -> String {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// Fails a test that hangs.
pub async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// Waits until something holds.
pub async fn eventually(mut holds: impl FnMut() -> bool) {
    in_time(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
