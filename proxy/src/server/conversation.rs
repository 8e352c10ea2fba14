//! One request and its response, between hyper and [`forward`].

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, DATE, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::activity::{Activity, RequestBody, Serving};
use crate::body::{Body, BodyError};
use crate::clock::Clock;
use crate::error::Reason;
use crate::forward::{self, Connection};

/// The largest piece of a response that an HTTP/2 stream is given at once, in bytes, so that a slow client can be told from one that
/// has stopped. Frames are smaller anyway.
const PIECE: usize = 32 * 1024;

/// What all requests of a connection share.
pub(super) struct Conversation {
    pub(super) worker: Rc<forward::Worker>,
    pub(super) connection: Rc<Connection>,
    pub(super) activity: Arc<Activity>,
}

impl Conversation {
    /// Answers one request; in HTTP/2, on this stream. A panic costs this request alone.
    pub(super) async fn respond(
        self: Rc<Self>,
        request: Request<Incoming>,
        stream: Option<Rc<Pickup>>,
    ) -> Result<Response<Sending>, Infallible> {
        let serving = self.activity.serve(if request.body().is_end_stream() { RequestBody::None } else { RequestBody::Some });
        let http1 = request.version() < Version::HTTP_2;
        let mut unanswered = Unanswered { activity: &self.activity, over: false };
        let (mut parts, body) = request.into_parts();
        let forwarding = forward::forward(&self.worker, &self.connection, &mut parts, Body::Incoming(body));
        let mut response = survive(forwarding, || self.worker.clock.date(Instant::now())).await;
        unanswered.over = true;
        drop(unanswered);
        if http1 && self.worker.drain.has_begun() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| Sending { body, rest: Bytes::new(), stream, _serving: serving }))
    }
}

/// A request that was not answered yet. Dropped before it is over, its client has given it up.
struct Unanswered<'a> {
    activity: &'a Activity,
    over: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.activity.request_cancelled();
        }
    }
}

/// Turns a panic into an answer: one request must not cost the others of its connection theirs.
fn survive(responding: impl Future<Output = Response<Body>>, date: impl FnOnce() -> HeaderValue) -> impl Future<Output = Response<Body>> {
    AssertUnwindSafe(responding).catch_unwind().map(|responded| {
        responded.unwrap_or_else(|_| {
            tracing::error!(reason = Reason::Internal.as_str(), "a request ended in a panic");
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = Reason::Internal.status();
            response.headers_mut().insert(DATE, date());
            response
        })
    })
}

/// A response's body; its request is served until hyper has taken all of it.
pub(super) struct Sending {
    body: Body,
    /// What is left of a piece that was too large.
    rest: Bytes,
    stream: Option<Rc<Pickup>>,
    _serving: Serving,
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(stream) = &this.stream else { return Pin::new(&mut this.body).poll_frame(cx) };
        stream.waits.set(false);
        let frame = if this.rest.is_empty() {
            match std::task::ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            }
        } else {
            Frame::data(std::mem::take(&mut this.rest))
        };
        stream.waits.set(true);
        stream.turn.set(stream.turn.get().wrapping_add(1));
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(mut data) if data.len() > PIECE => {
                this.rest = data.split_off(PIECE);
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(trailers) => trailers,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Whether a response on an HTTP/2 stream waits for its client: a piece was taken, and the next was not asked for yet.
#[derive(Debug, Default)]
pub(super) struct Pickup {
    waits: Cell<bool>,
    /// Counts pieces, so that a wait can be told from the next one.
    turn: Cell<u32>,
}

/// Spawns an HTTP/2 connection's streams on the worker that has the connection, and gives up those whose client takes nothing.
///
/// One stream may stand still while others go on, so that the connection's own watch over its writes does not see it.
#[derive(Clone)]
pub(super) struct Streams {
    clock: Clock,
    activity: Arc<Activity>,
    /// The stream that has just begun: hyper spawns it right after it has called the service.
    begun: Rc<RefCell<Option<Rc<Pickup>>>>,
}

impl Streams {
    pub(super) fn new(conversation: &Conversation) -> Self {
        let Conversation { worker, activity, .. } = conversation;
        Self { clock: worker.clock.clone(), activity: Arc::clone(activity), begun: Rc::default() }
    }

    /// Begins a stream.
    pub(super) fn begin(&self) -> Rc<Pickup> {
        let pickup = Rc::<Pickup>::default();
        *self.begun.borrow_mut() = Some(Rc::clone(&pickup));
        pickup
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, future: F) {
        match self.begun.take() {
            Some(pickup) => {
                let write_timeout = self.activity.limits().write_timeout;
                tokio::task::spawn_local(until_stalled(future, pickup, self.clock.clone(), write_timeout));
            }
            // The only other future is that of a tunnel (RFC 8441): with one open, the connection is not idle.
            None => {
                let tunnel = self.activity.serve(RequestBody::None);
                tokio::task::spawn_local(async move {
                    future.await;
                    drop(tunnel);
                });
            }
        }
    }
}

/// Polls a stream to its end, unless its client takes nothing for too long. Dropped before its end, the stream is reset.
async fn until_stalled(stream: impl Future<Output = ()>, pickup: Rc<Pickup>, clock: Clock, write_timeout: Duration) {
    let mut stream = pin!(stream);
    let mut deadline = clock.deadline();
    let mut waiting_since_turn = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let turn = pickup.waits.get().then(|| pickup.turn.get());
        if turn != waiting_since_turn {
            waiting_since_turn = turn;
            match turn {
                Some(_) => deadline.set(Instant::now() + write_timeout),
                None => deadline.unset(),
            }
        }
        deadline.poll(cx)
    })
    .await;
}

#[cfg(test)]
#[expect(clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_answer() {
        let date = || HeaderValue::from_static("now");
        let response = survive(async { panic!("as a fault of ours would") }, date).now_or_never();
        assert_eq!(response.as_ref().map(Response::status), Some(StatusCode::INTERNAL_SERVER_ERROR));
        assert_eq!(response.and_then(|response| response.headers().get(DATE).cloned()), Some(date()));
    }
}
