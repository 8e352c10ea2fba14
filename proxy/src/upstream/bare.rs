//! An HTTP/1.1 connection to an endpoint that holds nothing but its stream: one request at a time, without a body.
//!
//! Most requests are such, and with no body on the way up an exchange is a line of steps: the head is written, the response's head is
//! read, then its body. hyper's client does the same with a task, two buffers and a pair of queues for each connection, which it needs for
//! bodies that go both ways at once, for upgrades and for pipelining; those requests have connections of their own ([`super::http1`]).
//! Here buffers are a worker's ([`Room`]), an idle connection costs little more than its descriptor, and a request that failed comes
//! back whole.

mod exchange;
mod framing;
mod head;
mod room;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncWrite as _;

use super::InFlight;
use super::channel::{MoreFields, Unanswered};
use super::connect::Stream;
use super::parked::{Condition, Idle, Parks};
use super::pool::EndpointPool;
use crate::body::{Arriving, Body, BodyError, Lease, Source};
use crate::error::{ProxyError, Reason, Retry};
use exchange::{Exchange, NoResponse};
pub(super) use room::Room;

/// A connection, out with a request or idle in its pool. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Bare {
    exchange: RefCell<Exchange<Stream>>,
    room: Rc<Room>,
    home: Weak<EndpointPool>,
    in_flight: RefCell<Option<InFlight>>,
    idle: Idle,
}

impl Bare {
    /// Takes up a fresh connection.
    pub(super) fn start(stream: Stream, room: Rc<Room>, home: Weak<EndpointPool>) -> Rc<Self> {
        let exchange = RefCell::new(Exchange::new(stream));
        Rc::new(Self { exchange, room, home, in_flight: RefCell::new(None), idle: Idle::default() })
    }

    /// Counts a request in until it is complete.
    pub(super) fn occupy(&self, in_flight: InFlight) {
        *self.in_flight.borrow_mut() = Some(in_flight);
        self.idle.used();
    }

    /// Sends a request, which has no body, with more fields. If it fails, it comes back without them.
    pub(super) fn send<'m, M: MoreFields>(self: &Rc<Self>, request: Request<Body>, more: &'m M) -> Sending<'m, M> {
        Sending { connection: Rc::clone(self), request, more, begun: false }
    }
}

impl Parks for Bare {
    fn condition(&self) -> Condition {
        if self.exchange.borrow_mut().is_silent() { Condition::Ready } else { Condition::Closed }
    }

    fn idle(&self) -> &Idle {
        &self.idle
    }

    fn close(&self) {}
}

impl Lease for Bare {
    fn complete(self: Rc<Self>) {
        *self.in_flight.borrow_mut() = None;
        // Whoever else holds it would read what is the next request's.
        let persists = self.exchange.borrow_mut().end() && Rc::strong_count(&self) == 1;
        if let (true, Some(home)) = (persists, self.home.upgrade()) {
            home.park_bare(self);
        }
    }
}

impl Source for Bare {
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.exchange.borrow_mut().poll_frame(cx, &self.room).map_err(BodyError::Endpoint)
    }

    fn is_over(&self) -> bool {
        self.exchange.borrow().is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.exchange.borrow().size_hint()
    }

    fn whole(&self) -> Option<Bytes> {
        self.exchange.borrow_mut().whole()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // An endpoint need not wonder whether what it sent last has arrived. One that broke off, or is broken off, is told nothing.
        let exchange = self.exchange.get_mut();
        if exchange.is_between()
            && let Stream::Tls(stream) = exchange.stream()
        {
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}

/// A request under way, until the head of its response is here.
#[derive(Debug)]
pub(super) struct Sending<'m, M> {
    connection: Rc<Bare>,
    request: Request<Body>,
    more: &'m M,
    begun: bool,
}

impl<M: MoreFields> Future for Sending<'_, M> {
    type Output = Result<Response<Arriving>, Unanswered>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { connection, request, more, begun } = self.get_mut();
        let mut exchange = connection.exchange.borrow_mut();
        if !*begun {
            *begun = true;
            let written = connection.room.write(|text| {
                head::write(text, request, *more);
                exchange.begin(cx, text)
            });
            written.map_err(|error| unanswered(error, request))?;
        }
        let method = request.method().clone();
        let answered = ready!(exchange.poll_response(cx, &connection.room, &method, request.headers_mut()));
        let response = answered.map_err(|error| unanswered(error, request))?;
        let source: Rc<dyn Source> = Rc::<Bare>::clone(connection);
        Poll::Ready(Ok(response.map(|()| Arriving::Bare(source))))
    }
}

/// Says what a failed exchange means (RFC 9110 §9.2.2). The request comes back with it.
fn unanswered(error: NoResponse, request: &mut Request<Body>) -> Unanswered {
    let retry = match error {
        NoResponse::Untouched(_) => Retry::Unprocessed,
        NoResponse::Broken(_) => Retry::IfIdempotent,
        // The endpoint has answered, if not in HTTP.
        NoResponse::Invalid(_) => Retry::Never,
    };
    let request = std::mem::take(request);
    Unanswered { error: ProxyError::new(Reason::UpstreamReset).with_retry(retry).with_source(error), request: Some(Box::new(request)) }
}
