//! One thread's idle connections to the backend.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Sender = SendRequest<Incoming>;

thread_local! {
    static IDLE: RefCell<Vec<Sender>> = const { RefCell::new(Vec::new()) };
}

/// Sends a request on an idle connection, or on a new one.
pub(super) async fn send(upstream: SocketAddr, request: Request<Incoming>) -> anyhow::Result<(Response<Incoming>, Sender)> {
    let mut sender = loop {
        let Some(mut idle) = IDLE.with_borrow_mut(Vec::pop) else { break connect(upstream).await? };
        if idle.ready().await.is_ok() {
            break idle;
        }
    };
    let response = sender.send_request(request).await?;
    Ok((response, sender))
}

/// Takes a connection back whose response has ended.
pub(super) fn keep(sender: Sender) {
    if !sender.is_closed() {
        IDLE.with_borrow_mut(|idle| idle.push(sender));
    }
}

async fn connect(upstream: SocketAddr) -> anyhow::Result<Sender> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // What it ends with reaches the request, if one is under way.
        let _ = connection.await;
    });
    Ok(sender)
}

/// A response's body, which gives its connection back at its end.
pub(super) enum Reply {
    /// None.
    Empty,
    /// The backend's.
    Streamed {
        /// Its frames.
        body: Incoming,
        /// `None` once it was given back.
        sender: Option<Sender>,
    },
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Streamed { body, sender } => {
                let polled = Pin::new(&mut *body).poll_frame(cx);
                let ended = matches!(polled, Poll::Ready(None)) || body.is_end_stream();
                if let Some(sender) = if ended { sender.take() } else { None } {
                    keep(sender);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed { body, .. } => body.size_hint(),
        }
    }
}
