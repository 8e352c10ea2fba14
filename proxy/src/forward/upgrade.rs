//! Upgrades: WebSocket and whatever else a client asks for over HTTP/1.1 (RFC 9110 §7.8), and WebSocket over HTTP/2 (RFC 8441).
//!
//! The endpoint is always asked over HTTP/1.1. Once it has switched, bytes are copied both ways until the endpoint ends (a client may
//! end its side first and go on reading), nothing passes for longer than the read timeout, or a drain asks this tunnel to close.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::facts::is_extended_connect;
use super::headers::{self, Seen};
use crate::body::Arriving;
use crate::clock::Clock;
use crate::drain;
use crate::observe::Record;
use crate::upstream::Channel;

const SWITCH: HeaderValue = HeaderValue::from_static("upgrade");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// The key proves that the other end has read it as a WebSocket's; between us and the endpoint the one of RFC 6455 §1.3 does.
const KEY: HeaderValue = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");

/// A request to leave HTTP.
#[derive(Debug)]
pub(super) struct Upgrade {
    protocol: HeaderValue,
    asked: Asked,
    client: OnUpgrade,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// By `Upgrade`.
    Http1,
    /// By CONNECT with `:protocol`.
    Http2,
}

impl Upgrade {
    /// Finds out whether a request asks for an upgrade that may go on. HTTP/2 in clear text may not: it would hide what follows from
    /// every rule.
    pub(super) fn of(parts: &mut Parts, seen: Seen) -> Option<Self> {
        if is_extended_connect(parts) {
            let client = parts.extensions.remove()?;
            return Some(Self { protocol: WEBSOCKET, asked: Asked::Http2, client });
        }
        if !seen.has(Seen::UPGRADE) || parts.version != Version::HTTP_11 || !headers::has_token(&parts.headers, &CONNECTION, "upgrade") {
            return None;
        }
        let protocol = parts.headers.get(UPGRADE)?.clone();
        if headers::has_token(&parts.headers, &UPGRADE, "h2c") {
            return None;
        }
        Some(Self { protocol, asked: Asked::Http1, client: parts.extensions.remove()? })
    }

    /// Asks the endpoint for it.
    pub(super) fn ask(&self, parts: &mut Parts) {
        parts.headers.insert(CONNECTION, SWITCH);
        parts.headers.insert(UPGRADE, self.protocol.clone());
        if self.asked == Asked::Http2 {
            parts.method = Method::GET;
            parts.headers.insert(SEC_WEBSOCKET_KEY, KEY);
        }
    }

    /// Whether the endpoint's answer can be passed on: HTTP/2 has no other success than the tunnel.
    pub(super) fn allows(&self, status: StatusCode) -> bool {
        match self.asked {
            Asked::Http1 => true,
            Asked::Http2 => !status.is_success(),
        }
    }

    /// Words the answer that tells the client that the endpoint has switched, and returns the tunnel that is to be opened with it.
    pub(super) fn accept(
        self,
        mut response: Response<Arriving>,
        channel: Channel,
        idle: Duration,
        drain: drain::Tunnel,
    ) -> (Response<()>, Tunnel) {
        let endpoint = hyper::upgrade::on(&mut response);
        let mut response = response.map(drop);
        let protocol = response.headers_mut().remove(UPGRADE).unwrap_or(self.protocol);
        headers::clean(response.headers_mut());
        match self.asked {
            Asked::Http1 => {
                response.headers_mut().insert(CONNECTION, SWITCH);
                response.headers_mut().insert(UPGRADE, protocol);
            }
            Asked::Http2 => {
                *response.status_mut() = StatusCode::OK;
                response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
            }
        }
        (response, Tunnel { client: self.client, endpoint, channel, idle, drain })
    }
}

/// Bytes both ways between a client and an endpoint.
#[derive(Debug)]
pub(super) struct Tunnel {
    client: OnUpgrade,
    endpoint: OnUpgrade,
    channel: Channel,
    idle: Duration,
    drain: drain::Tunnel,
}

impl Tunnel {
    /// Starts to copy once the answer is written; the record ends with it.
    pub(super) fn open(self, clock: &Clock, record: Record) {
        tokio::task::spawn_local(self.copy(clock.clone(), record));
    }

    async fn copy(self, clock: Clock, mut record: Record) {
        let Self { client, endpoint, channel, idle, drain } = self;
        let (client, endpoint) = match tokio::try_join!(client, endpoint) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "an upgrade was agreed on and did not happen");
                return;
            }
        };
        let seen = Rc::new(Traffic { last: Cell::new(Instant::now()), received: Cell::new(0), sent: Cell::new(0), over: Cell::new(false) });
        let mut client = Watched { io: TokioIo::new(client), traffic: Rc::clone(&seen) };
        let mut endpoint = TokioIo::new(endpoint);
        let mut copying = pin!(tokio::io::copy_bidirectional(&mut client, &mut endpoint));
        let mut closing = pin!(drain.closing());
        let mut pause = clock.deadline();
        pause.set(seen.last.get() + idle);
        poll_fn(|cx| {
            if copying.as_mut().poll(cx).is_ready() || seen.over.get() || closing.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            while pause.poll(cx).is_ready() {
                let due = seen.last.get() + idle;
                if due <= Instant::now() {
                    return Poll::Ready(());
                }
                pause.set(due);
            }
            Poll::Pending
        })
        .await;
        record.received(seen.received.get());
        record.sent(seen.sent.get());
        record.finish();
        drop(channel);
    }
}

/// What has passed through a tunnel.
struct Traffic {
    last: Cell<Instant>,
    received: Cell<u64>,
    sent: Cell<u64>,
    /// Whether the endpoint has ended, and the client has all of it.
    over: Cell<bool>,
}

/// Notes what passes the client's side.
struct Watched<T> {
    io: T,
    traffic: Rc<Traffic>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if polled.is_ready() {
            let received = buf.filled().len().saturating_sub(before) as u64;
            self.traffic.received.set(self.traffic.received.get() + received);
            self.traffic.last.set(Instant::now());
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(sent)) = &polled {
            self.traffic.sent.set(self.traffic.sent.get() + *sent as u64);
            self.traffic.last.set(Instant::now());
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        if polled.is_ready() {
            self.traffic.over.set(true);
        }
        polled
    }
}
