//! An endpoint to forward to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// An endpoint that serves for as long as the test's runtime:
/// `/big/N` answers with N bytes, `/wait` once [`Backend::release`] is called, `/tunnel` switches protocols and echoes; all else 200.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    released: Arc<Notify>,
    arrived: Arc<Notify>,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = Self { address: listener.local_addr().unwrap(), released: Arc::default(), arrived: Arc::default() };
        let serving = backend.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let backend = serving.clone();
                let service = service_fn(move |request| backend.clone().respond(request));
                let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection.with_upgrades());
            }
        });
        backend
    }

    /// Waits until a request for `/wait` has arrived.
    pub(crate) async fn arrival(&self) {
        tokio::time::timeout(crate::world::SOON, self.arrived.notified()).await.expect("a request in time");
    }

    /// Has one request for `/wait` answered.
    pub(crate) fn release(&self) {
        self.released.notify_one();
    }

    async fn respond(self, mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let mut response = Response::new(Full::default());
        let path = request.uri().path().to_owned();
        if let Some(size) = path.strip_prefix("/big/") {
            *response.body_mut() = Full::new(vec![b'x'; size.parse().unwrap()].into());
        } else if path == "/wait" {
            self.arrived.notify_one();
            self.released.notified().await;
            *response.body_mut() = Full::new("waited".into());
        } else if path == "/tunnel" {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("connection", "upgrade".parse().unwrap());
            response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
            tokio::spawn(async move {
                let mut stream = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
                let (mut reading, mut writing) = tokio::io::split(&mut stream);
                let _ = tokio::io::copy(&mut reading, &mut writing).await;
            });
        } else {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(response)
    }
}
