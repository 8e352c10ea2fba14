//! Connections to a proxy, in clear text or over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Exchange, Plan};
use crate::tls;

/// Either kind of connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Makes connections.
pub(super) struct Connector {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

/// A connection, and whether its TLS session is an earlier one's.
pub(super) struct Connected {
    pub(super) stream: Box<dyn Stream>,
    pub(super) resumed: bool,
}

impl Connector {
    pub(super) fn new(plan: &Plan) -> anyhow::Result<Self> {
        let protocol: &[u8] = if matches!(plan.exchange, Exchange::Http2 | Exchange::IdleHttp2) { b"h2" } else { b"http/1.1" };
        let resume = matches!(plan.exchange, Exchange::Resume);
        let tls = match &plan.tls {
            None => None,
            Some(authority) => Some(TlsConnector::from(Arc::new(tls::client(authority, protocol, resume)?))),
        };
        Ok(Self { address: plan.address, tls })
    }

    pub(super) async fn connect(&self, host: &str) -> anyhow::Result<Connected> {
        let stream = TcpStream::connect(self.address).await.context("no connection")?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Connected { stream: Box::new(stream), resumed: false }) };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = tls.connect(name, stream).await.context("no TLS session")?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok(Connected { stream: Box::new(stream), resumed })
    }
}
