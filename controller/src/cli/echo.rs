//! `tidegate echo`: a backend that shows what reached it, and answers as a request asks it to. It is the test workload of the
//! quickstart and of people's clusters; it is no part of the proxy.
//!
//! It speaks HTTP/1.1, HTTP/2 (by ALPN, or by prior knowledge in clear text), WebSocket and the frames of gRPC.

mod answer;
mod picture;
mod steer;
mod websocket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::args::ListenAddress;

/// How long an accept loop rests when the system has no descriptor to give.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// What an echo server is made of.
#[derive(Debug, Clone)]
pub struct EchoOptions {
    /// Where it listens, in clear text; port 0 lets the system choose.
    pub listen: Vec<ListenAddress>,
    /// Where it listens with TLS under a self-signed certificate made at start; port 0 lets the system choose.
    pub tls: Vec<ListenAddress>,
    /// What it calls itself in its answers.
    pub name: Arc<str>,
}

impl From<crate::args::EchoOptions> for EchoOptions {
    fn from(mut given: crate::args::EchoOptions) -> Self {
        if given.listen.is_empty() && given.tls.is_empty() {
            given.listen.push(ListenAddress::All(8080));
        }
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "echo".to_owned());
        Self { listen: given.listen, tls: given.tls, name: given.name.unwrap_or_else(host).trim().into() }
    }
}

/// An echo server whose sockets listen already.
#[derive(Debug)]
pub struct EchoServer {
    name: Arc<str>,
    plain: Vec<TcpListener>,
    tls: Vec<TcpListener>,
}

/// What is known of a connection; the same for all requests on it.
#[derive(Debug)]
struct Connection {
    name: Arc<str>,
    peer: SocketAddr,
    local: SocketAddr,
    /// `None` in clear text; the server name that the client asked for, if any.
    tls: Option<Option<String>>,
}

impl EchoServer {
    /// Binds every address.
    ///
    /// # Errors
    /// One cannot be bound; the message names it.
    pub fn bind(options: &EchoOptions) -> anyhow::Result<Self> {
        let mut server = Self { name: Arc::clone(&options.name), plain: Vec::new(), tls: Vec::new() };
        for (addresses, listeners) in [(&options.listen, &mut server.plain), (&options.tls, &mut server.tls)] {
            for address in addresses {
                let bound = address.bind(std::net::TcpListener::bind);
                let socket = bound.map_err(|(address, error)| anyhow!("cannot listen on {address}: {error}"))?.socket;
                socket.set_nonblocking(true)?;
                listeners.push(TcpListener::from_std(socket)?);
            }
        }
        Ok(server)
    }

    /// Returns the URLs that the server answers at, those in clear text first.
    ///
    /// # Errors
    /// The system does not say what an address is bound to.
    pub fn urls(&self) -> std::io::Result<Vec<String>> {
        let plain = self.plain.iter().map(|listener| listener.local_addr().map(|at| format!("http://{at}")));
        let tls = self.tls.iter().map(|listener| listener.local_addr().map(|at| format!("https://{at}")));
        plain.chain(tls).collect()
    }

    /// Returns the bound addresses, those in clear text first.
    ///
    /// # Errors
    /// The system does not say what an address is bound to.
    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.plain.iter().chain(&self.tls).map(TcpListener::local_addr).collect()
    }

    /// Serves until `stop` resolves; then takes no more connections, and returns when the requests under way are answered.
    ///
    /// # Errors
    /// No certificate can be made for the TLS listeners.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let acceptor = if self.tls.is_empty() { None } else { Some(self_signed()?) };
        let graceful = Arc::new(GracefulShutdown::new());
        let mut accepting = tokio::task::JoinSet::new();
        let plain = self.plain.into_iter().map(|listener| (listener, None));
        let tls = self.tls.into_iter().map(|listener| (listener, acceptor.clone()));
        for (listener, acceptor) in plain.chain(tls) {
            accepting.spawn(accept(listener, acceptor, Arc::clone(&self.name), Arc::clone(&graceful)));
        }
        stop.await;
        accepting.shutdown().await;
        if let Some(graceful) = Arc::into_inner(graceful) {
            graceful.shutdown().await;
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, name: Arc<str>, graceful: Arc<GracefulShutdown>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        tokio::spawn(connection(stream, peer, acceptor.clone(), Arc::clone(&name), graceful.watcher()));
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, acceptor: Option<TlsAcceptor>, name: Arc<str>, watcher: Watcher) {
    let Ok(local) = stream.local_addr() else { return };
    // Small answers should not wait for the peer's acknowledgement; without it they are only slower.
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else {
        return serve(stream, Connection { name, peer, local, tls: None }, watcher).await;
    };
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let server_name = stream.get_ref().1.server_name().map(str::to_owned);
    serve(stream, Connection { name, peer, local, tls: Some(server_name) }, watcher).await;
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, connection: Connection, watcher: Watcher) {
    let connection = Arc::new(connection);
    let service = service_fn(move |request: Request<Incoming>| {
        let connection = Arc::clone(&connection);
        async move { answer::answer(&connection, request).await }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // A workload for tests must not stand in the way of what a test sends: limits well above any proxy's.
    builder.http1().max_headers(1024).max_buf_size(1 << 20).half_close(true).header_read_timeout(None);
    builder.http2().max_header_list_size(1 << 20).max_concurrent_streams(1024);
    // What ends a connection early is the client's doing, or what the client asked for.
    let _ = watcher.watch(builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned()).await;
}

fn self_signed() -> anyhow::Result<TlsAcceptor> {
    let names = vec!["localhost".to_owned(), "echo.example".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).context("cannot make a self-signed certificate")?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Answers a request that no control can be read from.
fn refuse(connection: &Connection, problem: &str) -> Result<Response<answer::AnswerBody>, Infallible> {
    let body = serde_json::json!({ "name": &*connection.name, "error": problem });
    let mut response = Response::new(answer::whole(format!("{body}\n").into()));
    *response.status_mut() = http::StatusCode::BAD_REQUEST;
    Ok(response)
}
