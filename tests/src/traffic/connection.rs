//! A client's connection, and one request on it.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Shared;
use crate::balancer::Ends;
use crate::client;

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Http1,
    Http1OverTls,
    Http2,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    /// Small answers at once, to GETs and POSTs by turns.
    Bodies,
    /// An answer that begins late.
    SlowHead,
    /// An answer that comes in pieces.
    SlowBody,
    /// A body that is sent in pieces.
    SlowUpload,
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    Good,
    /// The connection takes no other.
    GoodAndLast,
    /// The connection had ended before any of it was sent.
    Unsent,
    /// The server says that it did nothing about it: its last GOAWAY leaves the stream out, which was on its way when the client was told to
    /// go. HTTP/2 has this for clients to ask anew (RFC 9113 §8.7), and all do.
    Unprocessed,
    Failed(anyhow::Error),
}

type Payload = UnsyncBoxBody<Bytes, Infallible>;

/// Bytes of a POST.
const POSTED: usize = 2000;
const PIECES: usize = 6;
const PIECE: usize = 1000;
const PAUSE: Duration = Duration::from_millis(250);

/// A bidirectional stream of bytes.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) ends: Ends,
    wire: Wire,
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    // One request at a time: nobody else waits for the lock.
    Http1(tokio::sync::Mutex<http1::SendRequest<Payload>>),
    Http2(http2::SendRequest<Payload>),
}

/// Connects to where this is spoken, and shakes hands; with an error comes the connection, if there was one.
pub(super) async fn connect(shared: &Shared, wire: Wire) -> Result<(Ends, Box<dyn Stream>), (Option<Ends>, anyhow::Error)> {
    let target = &shared.target;
    let address = if wire == Wire::Http1 { target.http } else { target.https };
    let stream = client::connect(address).await.map_err(|error| (None, error))?;
    let ends = (stream.local_addr().map_err(|error| (None, error.into()))?, address);
    let config = match wire {
        Wire::Http1 => return Ok((ends, Box::new(stream))),
        Wire::Http1OverTls => &shared.http1,
        Wire::Http2 => &shared.http2,
    };
    let shaken = tokio::time::timeout(client::ANSWER_WITHIN, client::handshake(stream, &target.secure, config)).await;
    let stream = shaken.context("no TLS handshake in time").and_then(|result| result).map_err(|error| (Some(ends), error))?;
    Ok((ends, Box::new(stream)))
}

impl Connection {
    pub(super) async fn open(shared: &Shared, wire: Wire) -> Result<Self, (Option<Ends>, anyhow::Error)> {
        let (ends, stream) = connect(shared, wire).await?;
        let failed = |error: hyper::Error| (Some(ends), error.into());
        let sender = if wire == Wire::Http2 {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(failed)?;
            tokio::spawn(driver);
            Sender::Http2(sender)
        } else {
            let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
            tokio::spawn(driver);
            Sender::Http1(tokio::sync::Mutex::new(sender))
        };
        Ok(Self { ends, wire, sender })
    }

    /// Asks for this, the so many-th time.
    pub(super) async fn ask(&self, shared: &Shared, content: Content, turn: u32) -> Outcome {
        let (request, expected) = match self.request(shared, content, turn) {
            Ok(made) => made,
            Err(error) => return Outcome::Failed(error),
        };
        let answered = match &self.sender {
            Sender::Http1(sender) => {
                let mut sender = sender.lock().await;
                if sender.ready().await.is_err() {
                    return Outcome::Unsent;
                }
                sender.try_send_request(request).await
            }
            Sender::Http2(sender) => {
                let mut sender = sender.clone();
                if sender.ready().await.is_err() {
                    return Outcome::Unsent;
                }
                sender.try_send_request(request).await
            }
        };
        let response = match answered {
            Ok(response) => response,
            Err(mut error) => {
                // It comes back if nothing of it was sent.
                if error.take_message().is_some() {
                    return Outcome::Unsent;
                }
                let error = error.into_error();
                return if is_unprocessed(&error) {
                    Outcome::Unprocessed
                } else {
                    Outcome::Failed(anyhow::Error::from(error).context("no answer"))
                };
            }
        };
        let last = response.headers().get(header::CONNECTION).is_some_and(|value| value.as_bytes() == b"close");
        match read(response, expected).await {
            Ok(()) if last => Outcome::GoodAndLast,
            Ok(()) => Outcome::Good,
            Err(error) => Outcome::Failed(error),
        }
    }

    fn request(&self, shared: &Shared, content: Content, turn: u32) -> anyhow::Result<(Request<Payload>, Expected)> {
        let pieces = PIECES * PIECE;
        let (path, body, expected) = match content {
            Content::Bodies if turn.is_multiple_of(2) => ("/".to_owned(), None, Expected::Received(0)),
            Content::Bodies => ("/".to_owned(), Some(whole(POSTED)), Expected::Received(POSTED)),
            Content::SlowHead => ("/?delay=1500".to_owned(), Some(whole(POSTED)), Expected::Received(POSTED)),
            Content::SlowBody => {
                let path = format!("/?bytes={pieces}&chunk={PIECE}&interval={}", PAUSE.as_millis());
                (path, None, Expected::Bytes(pieces))
            }
            Content::SlowUpload => ("/".to_owned(), Some(in_pieces()), Expected::Received(pieces)),
        };
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let host = if self.wire == Wire::Http1 { &shared.target.plain } else { &shared.target.secure };
        let mut request = Request::builder().method(method);
        request = if self.wire == Wire::Http2 {
            request.uri(format!("https://{host}{path}").parse::<Uri>()?)
        } else {
            request.uri(path).header(header::HOST, host)
        };
        Ok((request.body(body.unwrap_or_else(|| whole(0)))?, expected))
    }
}

fn is_unprocessed(error: &hyper::Error) -> bool {
    let error = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    error.is_some_and(|error| error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR))
}

/// What a right answer is.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// The backend says that it received so many bytes.
    Received(usize),
    /// So many bytes.
    Bytes(usize),
}

async fn read(response: Response<Incoming>, expected: Expected) -> anyhow::Result<()> {
    let status = response.status();
    let body = response.into_body().collect().await.with_context(|| format!("half an answer, a {status}"))?.to_bytes();
    ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body).trim());
    match expected {
        Expected::Received(bytes) => {
            let seen: serde_json::Value = serde_json::from_slice(&body).context("the answer is not the backend's")?;
            ensure!(seen["body"]["bytes"] == bytes, "the backend received {} of {bytes} bytes", seen["body"]["bytes"]);
        }
        Expected::Bytes(bytes) => ensure!(body.len() == bytes, "{} of {bytes} bytes came", body.len()),
    }
    Ok(())
}

fn whole(bytes: usize) -> Payload {
    UnsyncBoxBody::new(Full::new(Bytes::from(vec![b'x'; bytes])))
}

fn in_pieces() -> Payload {
    let pieces = stream::unfold(0, |sent| async move {
        if sent == PIECES {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
        Some((Ok(Frame::data(Bytes::from(vec![b'x'; PIECE]))), sent + 1))
    });
    UnsyncBoxBody::new(StreamBody::new(pieces))
}
