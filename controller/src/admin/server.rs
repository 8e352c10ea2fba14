//! A small HTTP/1.1 server for pages that are made on request.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections served at once; beyond, new ones wait.
const CONNECTIONS: usize = 64;
/// How long a client may take for the head of a request, idle time on a kept connection included.
const HEAD: Duration = Duration::from_secs(30);
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

async fn answer(request: Request<Incoming>, pages: Arc<dyn Pages>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = respond(Reply::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD"));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    // Making a page may take long in a large cluster, and must not hold up the control plane.
    let made = tokio::task::spawn_blocking(move || pages.page(request.uri().path(), request.uri().query())).await;
    respond(match made {
        Ok(Some(reply)) => reply,
        Ok(None) => Reply::text(StatusCode::NOT_FOUND, "there is no such page"),
        Err(_) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made"),
    })
}

fn respond(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(reply.media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[path = "server/tests.rs"]
mod tests;
