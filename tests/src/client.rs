//! A client that tests steer: any URL asked at any address, one connection a request, and the certificate that was shown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long one request may take before the test calls it lost.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A request to send.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Method.
    pub method: Method,
    /// The whole URL; its authority is the `Host` and, without the port, the server name of TLS.
    pub url: Uri,
    /// Headers besides `Host`.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// HTTP/2 instead of HTTP/1.1 (by prior knowledge in clear text).
    pub version: Version,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Version.
    pub version: Version,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// The leaf certificate that the server showed; `None` in clear text.
    pub certificate: Option<CertificateDer<'static>>,
}

impl Ask {
    /// Makes a GET over HTTP/1.1.
    ///
    /// # Errors
    /// The URL is not one.
    pub fn get(url: &str) -> anyhow::Result<Self> {
        let url: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        Ok(Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new(), version: Version::HTTP_11 })
    }

    /// Sends it to the address and reads the whole answer.
    ///
    /// # Errors
    /// No connection, no handshake, no answer, or half of one.
    pub async fn send(&self, address: SocketAddr) -> anyhow::Result<Answer> {
        tokio::time::timeout(ANSWER_WITHIN, self.exchange(address))
            .await
            .with_context(|| format!("no answer to {} within {} s", self.url, ANSWER_WITHIN.as_secs()))?
            .with_context(|| format!("{} {} at {address}", self.method, self.url))
    }

    async fn exchange(&self, address: SocketAddr) -> anyhow::Result<Answer> {
        let stream = connect(address).await?;
        let host = self.url.host().context("the URL has no host")?;
        match self.url.scheme_str() {
            Some("http") => self.over(stream, None).await,
            Some("https") => {
                let protocol = if self.version == Version::HTTP_2 { "h2" } else { "http/1.1" };
                let stream = handshake(stream, host, &crate::tls::client_config(&[protocol])?).await?;
                let certificate = shown(&stream);
                self.over(stream, certificate).await
            }
            other => bail!("scheme {other:?}"),
        }
    }

    async fn over<S>(&self, stream: S, certificate: Option<CertificateDer<'static>>) -> anyhow::Result<Answer>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let mut request = Request::builder().method(self.method.clone()).version(self.version);
        let response = if self.version == Version::HTTP_2 {
            request = request.uri(self.url.clone());
            let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(self.finish(request)?).await?
        } else {
            let target = self.url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
            request = request.uri(target).header(http::header::HOST, self.url.authority().context("no authority")?.as_str());
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(self.finish(request)?).await?
        };
        Answer::read(response, certificate).await
    }

    fn finish(&self, mut request: http::request::Builder) -> anyhow::Result<Request<Full<Bytes>>> {
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Ok(request.body(Full::new(self.body.clone()))?)
    }
}

impl Answer {
    async fn read(response: http::Response<Incoming>, certificate: Option<CertificateDer<'static>>) -> anyhow::Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await.with_context(|| format!("the body of a {} broke off", head.status))?.to_bytes();
        Ok(Self { status: head.status, version: head.version, headers: head.headers, body, certificate })
    }

    /// Returns what the echo backend saw, or null if another than it answered.
    #[must_use]
    pub fn seen(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns a header as text, empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.version, self.status)?;
        for (name, value) in &self.headers {
            write!(f, ", {name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        write!(f, "; {}", String::from_utf8_lossy(&self.body).trim())
    }
}

/// Makes a TCP connection that does not wait to fill packets.
///
/// # Errors
/// Nobody listens there.
pub async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Shakes hands as a client that asks for this name.
///
/// # Errors
/// The handshake fails.
pub async fn handshake(stream: TcpStream, host: &str, config: &Arc<rustls::ClientConfig>) -> anyhow::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host} is no server name"))?;
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await.context("the TLS handshake failed")
}

/// Returns the leaf certificate that the server showed.
#[must_use]
pub fn shown(stream: &TlsStream<TcpStream>) -> Option<CertificateDer<'static>> {
    stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|certificate| certificate.clone().into_owned())
}
