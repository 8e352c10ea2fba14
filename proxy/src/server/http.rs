//! HTTP on a connection: requests go to [`forward`], timeouts and the drain come from the connection's [`Activity`].

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::activity::{Activity, Due, Protocol};
use super::ahead::Ahead;
use super::conversation::{Conversation, Sending, Streams};
use super::handshake::{Established, TlsClientStream, Transport};
use super::stream::ClientStream;
use crate::forward::{self, Connection};
use crate::model::Limits;

/// By how many bytes hyper's limits stand above ours, so that it is our answer that clients see.
const BACKSTOP: usize = 16 * 1024;
/// What hyper takes without an allocation for each request.
const USUAL_HEADERS: usize = 100;
/// The overhead of a field in the size of an HTTP/2 header list (RFC 9113 §6.5.2).
const FIELD_OVERHEAD: usize = 32;
/// How much of a response waits in an HTTP/2 stream for a client that is slower than its backend, in bytes.
const H2_SEND_BUFFER: usize = 128 * 1024;
/// How much a client may send on one HTTP/2 stream before its backend takes it, in bytes.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// How much it may send on all streams together, in bytes: many uploads that stand still do not stop another.
const H2_CONNECTION_WINDOW: u32 = 64 * H2_STREAM_WINDOW;
/// How long bytes are still taken from a client that goes on sending after the last answer.
const LINGER: Duration = Duration::from_secs(5);

/// How HTTP on a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// In an orderly way, or as a tunnel.
    Orderly,
    /// hyper gave up.
    Failed(hyper::Error),
    /// We cut it.
    Cut(Due),
}

/// Speaks HTTP on a connection until its end.
pub(super) async fn serve(worker: &Rc<forward::Worker>, established: Established, activity: Arc<Activity>) -> (Rc<Connection>, Ended) {
    let Established { transport, protocol, connection } = established;
    let connection = Rc::new(connection);
    activity.begin_http(protocol);
    let conversation = Rc::new(Conversation { worker: Rc::clone(worker), connection: Rc::clone(&connection), activity });
    let ended = match (transport, protocol) {
        (Transport::Clear(stream), Protocol::Http1) => http1(stream, conversation).await,
        (Transport::Tls(stream), Protocol::Http1) => http1(stream, conversation).await,
        (Transport::Clear(stream), Protocol::Http2) => Box::pin(http2(*stream, conversation)).await,
        (Transport::Tls(stream), Protocol::Http2) => Box::pin(http2(*stream, conversation)).await,
    };
    (connection, ended)
}

/// Speaks HTTP/1 until the end. While the connection is idle for long, nothing of it is held but the stream.
async fn http1<S: OverTcp>(mut stream: Box<Ahead<S>>, conversation: Rc<Conversation>) -> Ended {
    let activity = Arc::clone(&conversation.activity);
    let ended = loop {
        if stream.has_bytes() {
            activity.bytes_came();
        }
        match Box::pin(converse(stream, &conversation)).await {
            Conversed::Ended(ended) => break ended,
            Conversed::Idle(idle) => stream = idle,
        }
        activity.sleep();
        poll_fn(|cx| if activity.anything_due() { Poll::Ready(()) } else { stream.get_ref().tcp().poll_readable(cx) }).await;
        activity.wake();
    };
    activity.end_http();
    ended
}

/// How a conversation in HTTP/1 paused or ended.
enum Conversed<S> {
    Ended(Ended),
    /// For now: the client says nothing.
    Idle(Box<Ahead<S>>),
}

/// Speaks HTTP/1 until the end, or until the connection is idle for long.
async fn converse<S: OverTcp>(stream: Box<Ahead<S>>, conversation: &Rc<Conversation>) -> Conversed<S> {
    let activity = &conversation.activity;
    let limits = activity.limits();
    let mut builder = http1::Builder::new();
    // A client that closes its side while it waits counts as gone, so that its request does not occupy a backend for nobody.
    builder.half_close(false).header_read_timeout(None).max_header_size(limits.header_bytes + limits.target_bytes + BACKSTOP);
    if limits.headers > USUAL_HEADERS {
        builder.max_headers(limits.headers + 1);
    }
    let service = service_fn(|request| Rc::clone(conversation).respond(request, None));
    let mut http = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let ended = match drive(Pin::new(&mut http), activity, Protocol::Http1).await {
        Driven::Ended(ended) => ended,
        Driven::Idle => {
            // With nothing of a request read, what is left over is the stream alone; a piece of a head is read again.
            let Some(parts) = http.into_parts() else { return Conversed::Ended(Ended::Orderly) };
            let stream = parts.io.into_inner().into_inner();
            return Conversed::Idle(Box::new(Ahead::new(parts.read_buf, stream)));
        }
    };
    let answered_early = match &ended {
        Ended::Orderly => activity.had_body(),
        Ended::Failed(error) => error.is_parse(),
        Ended::Cut(_) => false,
    };
    if answered_early && let Some(parts) = http.into_parts() {
        linger(parts.io.into_inner().into_inner().into_tcp()).await;
    }
    Conversed::Ended(ended)
}

async fn http2<S: OverTcp>(stream: Ahead<S>, conversation: Rc<Conversation>) -> Ended {
    let activity = Arc::clone(&conversation.activity);
    if stream.has_bytes() {
        activity.bytes_came();
    }
    let limits = activity.limits();
    let streams = Streams::new(&conversation);
    let mut builder = http2::Builder::new(streams.clone());
    // Clients are not pinged, since hyper would lock and read the clock for every frame: the system asks those that fall silent
    // whether they are still there, and what they may leave lying has limits of its own.
    builder
        // Every response has its date from `forward`, which takes that of the endpoint where it sent one.
        .auto_date_header(false)
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(header_list_backstop(limits))
        .max_send_buf_size(H2_SEND_BUFFER)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW);
    builder.enable_connect_protocol();
    // hyper moves it from hand to hand: what is large had better stay where it is.
    let service = service_fn(move |request| Box::pin(Rc::clone(&conversation).respond(request, Some(streams.begin()))));
    let mut http = Box::pin(builder.serve_connection(TokioIo::new(stream), service));
    let driven = drive(http.as_mut(), &activity, Protocol::Http2).await;
    activity.end_http();
    match driven {
        Driven::Ended(ended) => ended,
        // Not of HTTP/2.
        Driven::Idle => Ended::Orderly,
    }
}

fn header_list_backstop(limits: &Limits) -> u32 {
    u32::try_from(limits.header_bytes + limits.target_bytes + BACKSTOP + FIELD_OVERHEAD * limits.headers).unwrap_or(u32::MAX)
}

/// Why a connection is not polled any more.
enum Driven {
    Ended(Ended),
    /// It has been idle for long.
    Idle,
}

/// Polls a connection to its end, and ends it when that is due.
async fn drive<C: EndsOrderly>(mut http: Pin<&mut C>, activity: &Activity, protocol: Protocol) -> Driven {
    let mut registered = false;
    poll_fn(move |cx| {
        if !registered {
            activity.wake_when_due(cx.waker());
            registered = true;
        }
        loop {
            // HTTP/2 says which streams it still serves: it may go away at any moment.
            if activity.anything_due() && protocol == Protocol::Http2 && activity.due() == Due::Close {
                activity.close();
                http.as_mut().end_orderly();
            }
            if let Poll::Ready(result) = http.as_mut().poll(cx) {
                return Poll::Ready(Driven::Ended(result.map_or_else(Ended::Failed, |()| Ended::Orderly)));
            }
            if !activity.anything_due() {
                return Poll::Pending;
            }
            match activity.due() {
                Due::Nothing => return Poll::Pending,
                Due::Sleep => return Poll::Ready(Driven::Idle),
                // HTTP/1 has just been polled and has read nothing: it is idle still.
                Due::Close => {
                    activity.close();
                    http.as_mut().end_orderly();
                }
                due @ (Due::HeadLate | Due::CloseLate | Due::WriteStalled) => return Poll::Ready(Driven::Ended(Ended::Cut(due))),
            }
        }
    })
    .await
}

/// Takes what the client still sends, for a while: closing a socket with unread bytes resets the connection, and the client may
/// lose the answer that it has not read yet (RFC 9112 §9.6).
async fn linger(mut stream: ClientStream) {
    let mut discarded = vec![0; 16 * 1024];
    let discard = async { while matches!(stream.read(&mut discarded).await, Ok(1..)) {} };
    let _ = tokio::time::timeout(LINGER, discard).await;
}

/// A stream that HTTP is spoken over.
trait OverTcp: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Returns the TCP stream beneath.
    fn tcp(&self) -> &ClientStream;

    /// Takes the TCP stream out.
    fn into_tcp(self) -> ClientStream;
}

impl OverTcp for ClientStream {
    fn tcp(&self) -> &ClientStream {
        self
    }

    fn into_tcp(self) -> ClientStream {
        self
    }
}

impl OverTcp for TlsClientStream {
    fn tcp(&self) -> &ClientStream {
        self.get_ref().0.get_ref().get_ref()
    }

    fn into_tcp(self) -> ClientStream {
        self.into_inner().0.into_inner().into_inner()
    }
}

/// A connection of hyper's that can be told to take no more requests.
trait EndsOrderly: Future<Output = hyper::Result<()>> {
    fn end_orderly(self: Pin<&mut Self>);
}

impl<I, S> EndsOrderly for http1::UpgradeableConnection<I, S>
where
    S: HttpService<Incoming, ResBody = Sending, Error = Infallible>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    fn end_orderly(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S> EndsOrderly for http2::Connection<I, S, Streams>
where
    S: HttpService<Incoming, ResBody = Sending, Error = Infallible>,
    S::Future: 'static,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    fn end_orderly(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
