//! One HTTP/1.1 connection to an endpoint: one request at a time.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use super::InFlight;
use super::connect::Stream;
use super::idle::Since;
use super::pool::EndpointPool;
use crate::body::{Body, Lease};
use crate::error::{ProxyError, Reason, Retry};

/// A connection, out with a request or idle in its pool. Dropped, it is closed.
pub(super) struct Http1 {
    sender: RefCell<SendRequest<Body>>,
    home: Weak<EndpointPool>,
    in_flight: RefCell<Option<InFlight>>,
    task: AbortHandle,
    /// When it became idle.
    pub(super) idle_since: Cell<Since>,
    /// How many sweeps it has been idle for.
    pub(super) sweeps: Cell<u32>,
}

/// What an idle connection is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// It takes a request.
    Ready,
    /// The last exchange is not over yet: the endpoint answered before it had the whole request.
    Busy,
    /// It was closed.
    Closed,
}

impl fmt::Debug for Http1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1").field("condition", &self.condition()).finish_non_exhaustive()
    }
}

impl Http1 {
    /// Takes up a fresh connection and starts the task that serves it: it reads while idle, so that a close (or a byte that
    /// nobody asked for) is seen at once.
    pub(super) async fn start(stream: Stream, home: Weak<EndpointPool>) -> Result<Rc<Self>, ProxyError> {
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| ProxyError::new(Reason::ConnectFailed).with_retry(Retry::Unprocessed).with_source(error))?;
        let task = tokio::task::spawn_local(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to an endpoint ended");
            }
        });
        let task = task.abort_handle();
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            home,
            in_flight: RefCell::new(None),
            task,
            idle_since: Cell::default(),
            sweeps: Cell::new(0),
        }))
    }

    /// Closes it at once, whatever it is doing. hyper itself would wait for an endpoint that has answered to take the rest of its
    /// request, for ever if need be.
    pub(super) fn abort(&self) {
        self.task.abort();
    }

    pub(super) fn condition(&self) -> Condition {
        let sender = self.sender.borrow();
        if sender.is_closed() {
            Condition::Closed
        } else if sender.is_ready() {
            Condition::Ready
        } else {
            Condition::Busy
        }
    }

    /// Counts a request in until it is complete.
    pub(super) fn occupy(&self, in_flight: InFlight) {
        *self.in_flight.borrow_mut() = Some(in_flight);
        self.sweeps.set(0);
    }

    /// Sends a request; it comes back with the error if nothing of it was written.
    pub(super) fn send(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        self.sender.borrow_mut().try_send_request(request)
    }
}

impl Lease for Http1 {
    fn complete(self: Rc<Self>) {
        *self.in_flight.borrow_mut() = None;
        if let Some(home) = self.home.upgrade() {
            home.park(self);
        }
    }
}
