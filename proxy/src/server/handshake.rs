//! From a socket to HTTP: the PROXY header, TLS, and the choice between HTTP/1 and HTTP/2.
//!
//! The choice is ours and not hyper's: by ALPN over TLS, else by HTTP/2's preface (prior knowledge, RFC 9113 §3.3).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use rustls::server::Acceptor;
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use super::activity::{Due, Protocol};
use super::ahead::Ahead;
use super::held::{Held, Request};
use super::proxy_header::{self, InvalidProxyHeader, Parsed};
use super::shared::Shared;
use super::socket::BoundListener;
use super::stream::ClientStream;
use crate::forward::Connection;
use crate::model::{Scheme, canonical_ip};
use crate::observe::TlsHandshake;

/// Bytes that are read at first: a usual request head, or a ClientHello with a post-quantum key share.
const FIRST_READ: usize = 2048;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const CLEAR_TEXT_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 44\r\nconnection: close\r\n\r\n\
    This port speaks https; the request is http\n";

/// A connection on which HTTP can begin.
pub(super) struct Established {
    pub(super) transport: Transport,
    pub(super) protocol: Protocol,
    pub(super) connection: Connection,
}

/// TLS over a client's stream.
pub(super) type TlsClientStream = TlsStream<Held<Ahead<ClientStream>>>;

/// What HTTP is spoken over.
pub(super) enum Transport {
    Clear(Box<Ahead<ClientStream>>),
    Tls(Box<Ahead<TlsClientStream>>),
}

/// Why HTTP did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The client went away before it sent anything.
    #[error("closed without a byte")]
    Silent,
    #[error(transparent)]
    Proxy(#[from] InvalidProxyHeader),
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("http on an https port")]
    ClearText,
    #[error("took too long ({0:?})")]
    Late(Due),
    /// The listener is not in the table any more.
    #[error("the listener is gone")]
    Gone,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Finds out who the client is and what it speaks.
pub(super) async fn establish(
    shared: &Shared,
    listener: &BoundListener,
    peer: SocketAddr,
    mut stream: ClientStream,
) -> Result<Established, HandshakeError> {
    let peer = SocketAddr::new(canonical_ip(peer.ip()), peer.port());
    let (tls, believed) = {
        let table = shared.table.load();
        let listener = table.listener(&listener.name).ok_or(HandshakeError::Gone)?;
        (listener.tls.is_some(), listener.proxy_protocol.contains(peer.ip()))
    };
    let mut ahead = BytesMut::with_capacity(FIRST_READ);
    let client = if believed { read_proxy_header(&mut stream, &mut ahead).await? } else { None };
    let client = client.map_or(peer, |client| SocketAddr::new(canonical_ip(client.ip()), client.port()));
    let mut connection = Connection {
        listener: Arc::clone(&listener.name),
        peer,
        client,
        local_port: listener.address.port(),
        scheme: if tls { Scheme::Https } else { Scheme::Http },
        server_name: None,
        tls_version: None,
    };
    if tls {
        let (stream, protocol) = accept_tls(shared, &mut connection, stream, ahead).await?;
        let transport = Transport::Tls(Box::new(Ahead::new(Bytes::new(), stream)));
        return Ok(Established { transport, protocol, connection });
    }
    let protocol = sniff(&mut stream, &mut ahead).await?;
    Ok(Established { transport: Transport::Clear(Box::new(Ahead::new(ahead.freeze(), stream))), protocol, connection })
}

async fn read_proxy_header(stream: &mut ClientStream, ahead: &mut BytesMut) -> Result<Option<SocketAddr>, HandshakeError> {
    loop {
        match proxy_header::parse(ahead)? {
            Parsed::Complete { length, client } => {
                ahead.advance(length);
                return Ok(client);
            }
            Parsed::Incomplete if stream.read_buf(ahead).await? == 0 => {
                return Err(if ahead.is_empty() { HandshakeError::Silent } else { InvalidProxyHeader::Missing.into() });
            }
            Parsed::Incomplete => {}
        }
    }
}

/// Shakes hands with what the table says at the moment of the ClientHello.
async fn accept_tls(
    shared: &Shared,
    connection: &mut Connection,
    mut stream: ClientStream,
    mut ahead: BytesMut,
) -> Result<(TlsClientStream, Protocol), HandshakeError> {
    if ahead.is_empty() && stream.read_buf(&mut ahead).await? == 0 {
        return Err(HandshakeError::Silent);
    }
    if ahead.first().is_some_and(u8::is_ascii_uppercase) {
        // No TLS record starts with a letter, but every usual method of HTTP does.
        stream.write_all(CLEAR_TEXT_ANSWER).await?;
        stream.shutdown().await?;
        return Err(HandshakeError::ClearText);
    }
    let stream = Ahead::new(ahead.freeze(), stream);
    let mut result = CountedHandshake { shared, result: TlsHandshake::TimedOut };
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(|error| result.failed(error))?;
    let config = {
        let table = shared.table.load();
        let tls = table.listener(&connection.listener).and_then(|listener| listener.tls.as_ref()).ok_or(HandshakeError::Gone)?;
        Arc::clone(tls.config())
    };
    connection.server_name = start.client_hello().server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase().into());
    let held = StartHandshake::from_parts(start.accepted, Held::new(start.io));
    let mut stream = match held.into_stream(config).into_fallible().await {
        Ok(stream) => stream,
        Err((error, mut held)) => {
            let failed = result.failed(error);
            // With the alert that says why.
            let _ = held.shutdown().await;
            return Err(failed);
        }
    };
    let (held, session) = stream.get_mut();
    if session.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
        held.end_handshake(if session.wants_read() { Request::Awaited } else { Request::Begun });
    } else {
        // What comes last before TLS 1.3 is what the client waits for.
        held.hold_no_more();
        held.flush().await?;
    }
    result.result = if session.handshake_kind() == Some(HandshakeKind::Resumed) { TlsHandshake::Resumed } else { TlsHandshake::Ok };
    let version = session.protocol_version();
    let names = [(ProtocolVersion::TLSv1_3, "TLSv1.3"), (ProtocolVersion::TLSv1_2, "TLSv1.2")];
    connection.tls_version = names.into_iter().find_map(|(known, name)| (version == Some(known)).then_some(name));
    let protocol = if session.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
    Ok((stream, protocol))
}

/// Counts a handshake when it is over. One that is dropped before took too long.
struct CountedHandshake<'s> {
    shared: &'s Shared,
    result: TlsHandshake,
}

impl CountedHandshake<'_> {
    fn failed(&mut self, error: io::Error) -> HandshakeError {
        self.result = TlsHandshake::Failed;
        HandshakeError::Tls(error)
    }
}

impl Drop for CountedHandshake<'_> {
    fn drop(&mut self) {
        self.shared.state.metrics.handshake(self.result);
    }
}

/// Reads until it is clear whether the client began with HTTP/2's preface.
async fn sniff(stream: &mut ClientStream, ahead: &mut BytesMut) -> Result<Protocol, HandshakeError> {
    loop {
        if !ahead.iter().zip(PREFACE).all(|(a, b)| a == b) {
            return Ok(Protocol::Http1);
        }
        if ahead.len() >= PREFACE.len() {
            return Ok(Protocol::Http2);
        }
        if stream.read_buf(ahead).await? == 0 {
            return if ahead.is_empty() { Err(HandshakeError::Silent) } else { Ok(Protocol::Http1) };
        }
    }
}
