//! One HTTP/2 connection to an endpoint: as many requests at a time as the endpoint allows.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Poll, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::InFlight;
use super::connect::Stream;
use super::parked::Idle;
use crate::body::{Body, Lease};
use crate::error::{ProxyError, Reason, Retry};

/// Largest header list that an endpoint may answer with, in bytes.
const MAX_HEADER_LIST: u32 = 256 * 1024;

/// How much an endpoint may send on one stream before its client takes it, in bytes.
const STREAM_WINDOW: u32 = 512 * 1024;
/// How much it may send on all streams together, in bytes: as much as the usual 128 streams hold, so that clients that take nothing do
/// not stop those that do.
const CONNECTION_WINDOW: u32 = 128 * STREAM_WINDOW;

/// Stands for the number of streams before the endpoint's first SETTINGS have said it; no SETTINGS can.
const UNKNOWN_STREAMS: usize = usize::MAX - 1;

/// A connection. Dropped, it takes no new stream and closes after the last.
pub(super) struct Http2 {
    sender: SendRequest<Body>,
    /// Polled by its own task; `None` once it takes no more requests (closed, or GOAWAY was seen).
    driver: Rc<RefCell<Option<Driver>>>,
    streams: Cell<usize>,
    retired: Cell<bool>,
    /// Since it is without a stream.
    pub(super) idle: Idle,
}

type Driver = Connection<TokioIo<Stream>, Body, Spawner>;

/// One request's share of a connection.
pub(super) struct Http2Stream {
    connection: Rc<Http2>,
    _in_flight: InFlight,
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2").field("streams", &self.streams.get()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Http2Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Stream").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Http2 {
    /// Takes up a fresh connection and waits for the endpoint's SETTINGS, so that it is known to speak HTTP/2, and how many
    /// streams it takes.
    pub(super) async fn start(stream: Stream) -> Result<Rc<Self>, ProxyError> {
        let failed = || ProxyError::new(Reason::ConnectFailed).with_retry(Retry::Unprocessed);
        let spawner = Spawner::default();
        let (sender, connection) = Builder::new(spawner.clone())
            .initial_max_send_streams(UNKNOWN_STREAMS)
            .max_header_list_size(MAX_HEADER_LIST)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed().with_source(error))?;
        let driver = Rc::new(RefCell::new(Some(connection)));
        tokio::task::spawn_local(drive(Rc::clone(&driver), spawner.clone()));
        let known = poll_fn(|cx| {
            *spawner.watcher.borrow_mut() = Some(cx.waker().clone());
            match driver.borrow().as_ref().map(Connection::current_max_send_streams) {
                Some(UNKNOWN_STREAMS) => Poll::Pending,
                Some(streams) => Poll::Ready(Some(streams)),
                None => Poll::Ready(None),
            }
        });
        match known.await {
            None => return Err(failed().with_source("the endpoint closed before it had sent HTTP/2 SETTINGS")),
            Some(0) => return Err(failed().with_source("the endpoint allows no HTTP/2 streams")),
            Some(_) => {}
        }
        *spawner.watcher.borrow_mut() = None;
        Ok(Rc::new(Self { sender, driver, streams: Cell::new(0), retired: Cell::new(false), idle: Idle::default() }))
    }

    /// Whether it takes no new request any more.
    pub(super) fn is_closed(&self) -> bool {
        self.retired.get() || self.sender.is_closed() || self.driver.borrow().is_none()
    }

    /// Whether no request is on it.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.get() == 0
    }

    /// Opens a stream; `None` if it is closed, or all streams that the endpoint allows are in use.
    pub(super) fn open(self: &Rc<Self>, in_flight: impl FnOnce() -> InFlight) -> Option<Rc<Http2Stream>> {
        let most = self.driver.borrow().as_ref().map_or(0, Connection::current_max_send_streams);
        if self.streams.get() >= most || self.is_closed() {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        self.idle.used();
        Some(Rc::new(Http2Stream { connection: Rc::clone(self), _in_flight: in_flight() }))
    }
}

impl Http2Stream {
    /// Sends the request; it comes back with the error if nothing of it was written.
    pub(super) fn send(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        self.connection.sender.clone().try_send_request(request)
    }
}

impl Http2Stream {
    /// Has the connection take no new streams.
    pub(super) fn retire(&self) {
        self.connection.retired.set(true);
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        self.connection.streams.set(self.connection.streams.get().saturating_sub(1));
    }
}

impl Lease for Http2Stream {
    fn complete(self: Rc<Self>) {}
}

/// Polls the connection to its end.
async fn drive(driver: Rc<RefCell<Option<Driver>>>, spawner: Spawner) {
    poll_fn(|cx| {
        let mut driver = driver.borrow_mut();
        let Some(connection) = driver.as_mut() else { return Poll::Ready(()) };
        match Pin::new(connection).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(result) => {
                if let Err(error) = result {
                    tracing::debug!(%error, "connection to an endpoint ended");
                }
                *driver = None;
                Poll::Ready(())
            }
        }
    })
    .await;
    spawner.wake();
}

/// Spawns hyper's tasks of one connection on the worker's own thread, and tells whoever waits for SETTINGS when one has run.
#[derive(Debug, Clone, Default)]
struct Spawner {
    watcher: Rc<RefCell<Option<Waker>>>,
}

impl Spawner {
    fn wake(&self) {
        if let Some(watcher) = self.watcher.borrow_mut().take() {
            watcher.wake();
        }
    }
}

impl<F: Future + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        let spawner = self.clone();
        tokio::task::spawn_local(async move {
            let mut future = pin!(future);
            poll_fn(|cx| {
                let polled = future.as_mut().poll(cx).map(drop);
                spawner.wake();
                polled
            })
            .await;
        });
    }
}
