//! Makes connections to endpoints: TCP, and TLS where the upstream speaks it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use socket2::TcpKeepalive;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{ProxyError, Reason, Retry};
use crate::model::UpstreamProtocol;

/// How long a silent connection to an endpoint is before it is probed, how often then, and how many probes may go unanswered.
const PROBES: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// Which HTTP a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What a connection is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A request that is nothing but a head, in whatever HTTP the upstream speaks.
    Head,
    /// One with a body.
    Body,
    /// An upgrade, which HTTP/1.1 alone has.
    Upgrade,
}

/// A connection's bytes.
#[derive(Debug)]
pub enum Stream {
    /// In clear text.
    Tcp(TcpStream),
    /// Through TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Makes connections; one for each worker.
#[derive(Debug)]
pub struct Connector {
    /// Should the crypto provider refuse, only TLS upstreams are lost.
    tls: Result<TlsConfigs, rustls::Error>,
}

/// TLS by what ALPN offers.
#[derive(Debug)]
struct TlsConfigs {
    either: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl TlsConfigs {
    fn new() -> Result<Self, rustls::Error> {
        Ok(Self { either: tls_config(&[b"h2", b"http/1.1"])?, http1: tls_config(&[b"http/1.1"])?, http2: tls_config(&[b"h2"])? })
    }
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl Connector {
    /// Prepares the TLS configurations.
    #[must_use]
    pub fn new() -> Self {
        Self { tls: TlsConfigs::new() }
    }

    /// Connects to an endpoint. TLS does not verify the endpoint (as ingress-nginx does by default) and sends no server name, since
    /// endpoints are addresses.
    ///
    /// # Errors
    /// No TCP connection ([`Reason::ConnectFailed`]) or no TLS handshake ([`Reason::UpstreamTls`]). Never waits longer than the
    /// system does: the caller has the timeout.
    pub async fn connect(&self, address: SocketAddr, protocol: UpstreamProtocol, wanted: Wanted) -> Result<(Stream, Version), ProxyError> {
        let tcp = TcpStream::connect(address).await.map_err(|error| failed(Reason::ConnectFailed, error))?;
        // Small requests must not wait for acknowledgements of earlier ones.
        tcp.set_nodelay(true).and_then(|()| notice_death(&tcp)).map_err(|error| failed(Reason::ConnectFailed, error))?;
        let tls = || self.tls.as_ref().map_err(|error| ProxyError::new(Reason::Internal).with_source(error.clone()));
        let config = match (protocol, wanted) {
            (UpstreamProtocol::Http1, Wanted::Head | Wanted::Body | Wanted::Upgrade) | (UpstreamProtocol::H2c, Wanted::Upgrade) => {
                return Ok((Stream::Tcp(tcp), Version::Http1));
            }
            (UpstreamProtocol::H2c, Wanted::Head | Wanted::Body) => return Ok((Stream::Tcp(tcp), Version::Http2)),
            (UpstreamProtocol::Https, Wanted::Head | Wanted::Body) => &tls()?.either,
            (UpstreamProtocol::Https | UpstreamProtocol::H2, Wanted::Upgrade) => &tls()?.http1,
            (UpstreamProtocol::H2, Wanted::Head | Wanted::Body) => &tls()?.http2,
        };
        let name = ServerName::from(address.ip());
        let tls = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(|error| failed(Reason::UpstreamTls, error))?;
        let version = match (protocol, tls.get_ref().1.alpn_protocol()) {
            (UpstreamProtocol::H2, _) if wanted != Wanted::Upgrade => Version::Http2,
            (_, Some(b"h2")) => Version::Http2,
            (_, Some(_) | None) => Version::Http1,
        };
        Ok((Stream::Tls(Box::new(tls)), version))
    }
}

/// Has the system find out when an endpoint's machine is gone without a word. HTTP/2's PING would do for HTTP/2 alone, and gRPC servers
/// take it for abuse.
fn notice_death(tcp: &TcpStream) -> io::Result<()> {
    let socket = socket2::SockRef::from(tcp);
    let (after, every, probes) = PROBES;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(after).with_interval(every).with_retries(probes))?;
    socket.set_tcp_user_timeout(Some(after + every * probes))
}

fn failed(kind: Reason, error: io::Error) -> ProxyError {
    ProxyError::new(kind).with_retry(Retry::Unprocessed).with_source(error)
}

fn tls_config(alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(NoVerification(Arc::clone(&provider)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Accepts every certificate; the handshake's signatures are checked, so that the peer holds the key of what it shows.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
