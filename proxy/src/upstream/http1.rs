//! One HTTP/1.1 connection to an endpoint: one request at a time, with a body or an upgrade. Others have [`super::bare`].

use std::cell::RefCell;
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
use super::parked::{Condition, Idle, Parks};
use super::pool::EndpointPool;
use crate::body::{Body, Lease};
use crate::error::{ProxyError, Reason, Retry};

/// A connection, out with a request or idle in its pool. Dropped, it is closed.
pub(super) struct Http1 {
    sender: RefCell<SendRequest<Body>>,
    home: Weak<EndpointPool>,
    in_flight: RefCell<Option<InFlight>>,
    task: AbortHandle,
    idle: Idle,
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
        Ok(Rc::new(Self { sender: RefCell::new(sender), home, in_flight: RefCell::new(None), task, idle: Idle::default() }))
    }

    /// Counts a request in until it is complete.
    pub(super) fn occupy(&self, in_flight: InFlight) {
        *self.in_flight.borrow_mut() = Some(in_flight);
        self.idle.used();
    }

    /// Sends a request; it comes back with the error if nothing of it was written.
    pub(super) fn send(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + use<> {
        self.sender.borrow_mut().try_send_request(request)
    }
}

impl Parks for Http1 {
    fn condition(&self) -> Condition {
        let sender = self.sender.borrow();
        if sender.is_closed() {
            Condition::Closed
        } else if sender.is_ready() {
            Condition::Ready
        } else {
            Condition::Busy
        }
    }

    fn idle(&self) -> &Idle {
        &self.idle
    }

    /// Whatever it is doing: hyper itself would wait for an endpoint that has answered to take the rest of its request, for ever if need
    /// be. One that is idle hyper ends in an orderly way as soon as it is dropped.
    fn close(&self) {
        if self.condition() == Condition::Busy {
            self.task.abort();
        }
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
