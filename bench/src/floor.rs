//! The floor: the least that a reverse proxy built on hyper does. One current-thread runtime a worker, one thread's own pool of
//! upstream connections, the fields that Tidegate adds to requests and responses, no hop-by-hop headers, and nothing else: no routing,
//! metrics, log, timeouts (hyper's own for a request's head apart) or retries. What Tidegate costs above it are its features.

mod pool;

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use http::header::{CONNECTION, HOST, HeaderName, SERVER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::tls;
use pool::Reply;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HOP_BY_HOP: [HeaderName; 7] = [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
const HTTP: HeaderValue = HeaderValue::from_static("http");
const HTTPS: HeaderValue = HeaderValue::from_static("https");
const NAME: HeaderValue = HeaderValue::from_static("floor");

/// What the floor is given.
#[derive(Debug, Clone, clap::Args)]
pub struct FloorOptions {
    /// Address for http
    #[arg(long)]
    http: SocketAddr,
    /// Address for https
    #[arg(long)]
    https: SocketAddr,
    /// The backend
    #[arg(long)]
    upstream: SocketAddr,
    /// File with the certificate and its key
    #[arg(long)]
    certificate: PathBuf,
    /// Hand out session tickets
    #[arg(long)]
    tickets: bool,
    /// Worker threads
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

/// Serves until the process is ended.
pub fn serve(options: &FloorOptions) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls::server(&options.certificate, options.tickets)?));
    let workers: Vec<_> = (0..options.workers)
        .map(|_| {
            let (options, acceptor) = (options.clone(), acceptor.clone());
            std::thread::spawn(move || worker(&options, acceptor))
        })
        .collect();
    for worker in workers {
        worker.join().map_err(|_| anyhow::anyhow!("a worker panicked"))??;
    }
    Ok(())
}

fn worker(options: &FloorOptions, acceptor: TlsAcceptor) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (upstream, secure) = (options.upstream, options.https);
    runtime.block_on(async {
        let https = listen(options.https)?;
        let http = listen(options.http)?;
        tokio::spawn(async move {
            while let Ok((stream, peer)) = https.accept().await {
                let acceptor = acceptor.clone();
                let told = Told::of(peer, secure, HTTPS);
                let _ = stream.set_nodelay(true);
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        http2(stream, told, upstream).await;
                    } else {
                        http1(stream, told, upstream).await;
                    }
                });
            }
        });
        loop {
            let (stream, peer) = http.accept().await?;
            let _ = stream.set_nodelay(true);
            tokio::spawn(http1(stream, Told::of(peer, options.http, HTTP), upstream));
        }
    })
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into()).with_context(|| format!("cannot listen on {address}"))?;
    socket.listen(1024)?;
    Ok(TcpListener::from_std(socket.into())?)
}

/// What the backend is told of a client, written once for each connection.
#[derive(Clone)]
struct Told {
    client: HeaderValue,
    port: HeaderValue,
    scheme: HeaderValue,
}

impl Told {
    fn of(peer: SocketAddr, listener: SocketAddr, scheme: HeaderValue) -> Self {
        let client = HeaderValue::from_str(&peer.ip().to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Self { client, port: HeaderValue::from(listener.port()), scheme }
    }

    fn write(self, headers: &mut HeaderMap) {
        if let Some(host) = headers.get(HOST).cloned() {
            headers.insert(FORWARDED_HOST, host);
        }
        headers.insert(FORWARDED_FOR, self.client.clone());
        headers.insert(FORWARDED_PORT, self.port);
        headers.insert(FORWARDED_PROTO, self.scheme.clone());
        headers.insert(FORWARDED_SCHEME, self.scheme);
        headers.insert(REAL_IP, self.client);
        headers.insert(REQUEST_ID, request_id());
    }
}

/// Makes an ID of 32 hexadecimal digits.
fn request_id() -> HeaderValue {
    thread_local! { static LAST: Cell<u64> = const { Cell::new(1) } }
    let mut digits = [0; 32];
    let [mut bits, mut left] = [0_u64, 0];
    for digit in &mut digits {
        if left == 0 {
            // Steps xorshift64 (Marsaglia).
            bits = LAST.get();
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            LAST.set(bits);
            left = 16;
        }
        *digit = b"0123456789abcdef".get((bits & 15) as usize).copied().unwrap_or(b'0');
        bits >>= 4;
        left -= 1;
    }
    HeaderValue::from_bytes(&digits).unwrap_or(NAME)
}

async fn http1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, told: Told, upstream: SocketAddr) {
    let service = service_fn(move |request| forward(request, told.clone(), upstream));
    // A client that goes away is no news.
    let _ = hyper::server::conn::http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, told: Told, upstream: SocketAddr) {
    let service = service_fn(move |request| forward(request, told.clone(), upstream));
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn forward(mut request: Request<Incoming>, told: Told, upstream: SocketAddr) -> Result<Response<Reply>, Infallible> {
    strip(request.headers_mut());
    if let Some(authority) = request.uri().authority().cloned() {
        if let (false, Ok(host)) = (request.headers().contains_key(HOST), HeaderValue::from_str(authority.as_str())) {
            request.headers_mut().insert(HOST, host);
        }
        if let Some(target) = request.uri().path_and_query().cloned() {
            *request.uri_mut() = Uri::from(target);
        }
    }
    *request.version_mut() = Version::HTTP_11;
    told.write(request.headers_mut());
    match pool::send(upstream, request).await {
        Ok((mut response, sender)) => {
            strip(response.headers_mut());
            response.headers_mut().insert(SERVER, NAME);
            Ok(response.map(|body| {
                let sender = if body.is_end_stream() {
                    pool::keep(sender);
                    None
                } else {
                    Some(sender)
                };
                Reply::Streamed { body, sender }
            }))
        }
        Err(_) => {
            let mut response = Response::new(Reply::Empty);
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok(response)
        }
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
