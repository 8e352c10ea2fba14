//! A small HTTP/1.1 server for pages that are made on request.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tidegate_proxy::observe::Sink;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

/// Connections served at once; beyond, new ones wait.
const CONNECTIONS: usize = 64;
/// How long a client may take for the head of a request, idle time on a kept connection included.
const HEAD: Duration = Duration::from_secs(30);
/// Pieces of a page that are made before they are asked for.
const AHEAD: usize = 2;
/// How long a connection may last.
const LIFE: Duration = Duration::from_secs(300);

/// What a page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The media type of the body.
    pub media_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// Makes a reply of plain text; a line end is added.
    #[must_use]
    pub fn text(status: StatusCode, text: &str) -> Self {
        Self { status, media_type: "text/plain; charset=utf-8", body: format!("{text}\n").into() }
    }

    /// Makes a reply of JSON, indented for people.
    #[must_use]
    pub fn json(value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec_pretty(value) {
            Ok(mut body) => {
                body.push(b'\n');
                Self { status: StatusCode::OK, media_type: "application/json", body: body.into() }
            }
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, &format!("the page cannot be written as JSON: {error}")),
        }
    }
}

/// The pages of a server.
pub trait Pages: Send + Sync + 'static {
    /// Makes the page at a path, with what stands behind `?`; `None` answers 404. May take a while: it is called on a thread of its own.
    fn page(&self, path: &str, query: Option<&str>) -> Option<Reply>;

    /// Returns how to make the page at a path that is too large to be held as a whole; `None` leaves it to [`Pages::page`].
    fn pieces(&self, _path: &str) -> Option<Pieces> {
        None
    }
}

/// A page that is made piece by piece, no faster than it is read.
pub struct Pieces {
    /// The media type of the body.
    pub media_type: &'static str,
    /// Makes them, on a thread of its own.
    pub write: Box<dyn FnOnce(Sink) + Send>,
}

impl std::fmt::Debug for Pieces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pieces").field("media_type", &self.media_type).finish_non_exhaustive()
    }
}

/// Answers on a socket until it is dropped; connections that stand then are cut.
pub async fn serve(listener: TcpListener, pages: Arc<dyn Pages>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let pages = Arc::clone(&pages);
                connections.spawn(async move {
                    let _permit = permit;
                    let _ = tokio::time::timeout(LIFE, connection(stream, pages)).await;
                });
            }
            // Out of descriptors, most likely: they come back.
            Err(error) => {
                tracing::warn!(%error, "a connection to an admin server cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, pages: Arc<dyn Pages>) {
    let service = service_fn(move |request| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(answer(request, pages).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to an admin server ended early");
    }
}

async fn answer(request: Request<Incoming>, pages: Arc<dyn Pages>) -> Response<PageBody> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = respond(Reply::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if let Some(pieces) = pages.pieces(request.uri().path()) {
        let body = if request.method() == Method::HEAD { PageBody::Whole(Full::default()) } else { PageBody::of(pieces.write) };
        return with_head(body, StatusCode::OK, pieces.media_type);
    }
    // Making a page may take long in a large cluster, and must not hold up the control plane.
    let made = tokio::task::spawn_blocking(move || pages.page(request.uri().path(), request.uri().query())).await;
    respond(match made {
        Ok(Some(reply)) => reply,
        Ok(None) => Reply::text(StatusCode::NOT_FOUND, "there is no such page"),
        Err(_) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made"),
    })
}

fn respond(reply: Reply) -> Response<PageBody> {
    with_head(PageBody::Whole(Full::new(reply.body)), reply.status, reply.media_type)
}

fn with_head(body: PageBody, status: StatusCode, media_type: &'static str) -> Response<PageBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The body of a page.
enum PageBody {
    Whole(Full<Bytes>),
    /// Pieces as they come; `None` among them says that it was the last.
    Pieces(mpsc::Receiver<Option<Bytes>>),
}

impl PageBody {
    /// Starts to make the pieces; that ends when nobody takes them.
    fn of(write: Box<dyn FnOnce(Sink) + Send>) -> Self {
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            let pieces = sender.clone();
            write(Box::new(move |piece| pieces.blocking_send(Some(piece.into())).is_ok()));
            // Who went away meanwhile needs no end.
            let _ = sender.blocking_send(None);
        });
        Self::Pieces(receiver)
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Self::Pieces(pieces) => Poll::Ready(match ready!(pieces.poll_recv(context)) {
                Some(piece) => piece.map(|piece| Ok(Frame::data(piece))),
                // Its maker failed: the reader must not take what it has for the whole.
                None => Some(Err(io::Error::other("the page cannot be made"))),
            }),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
#[path = "server/tests.rs"]
mod tests;
