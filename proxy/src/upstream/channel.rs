//! What one request is sent on. What stands behind it is nobody else's business, so that another HTTP/1.1 codec could.

use std::rc::Rc;

use futures_util::TryFutureExt as _;
use futures_util::future::Either;
use http::{HeaderMap, Request, Response};
use hyper::client::conn::TrySendError;

use super::bare::Bare;
use super::connect::Version;
use super::http1::Http1;
use super::http2::Http2Stream;
use crate::body::{Arriving, Body, Lease};
use crate::error::{ProxyError, Reason, Retry};

/// What one request can be sent on.
#[derive(Debug)]
pub struct Channel {
    kind: Kind,
    past: Past,
}

/// What stands behind a channel.
#[derive(Debug)]
pub(super) enum Kind {
    Bare(Rc<Bare>),
    Http1(Rc<Http1>),
    Http2(Rc<Http2Stream>),
}

/// Whether the connection behind a channel has stood before this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// It was made for it.
    Fresh,
    /// It may be dead without our knowing.
    Used,
}

/// A request that got no response head.
#[derive(Debug)]
pub struct Unanswered {
    /// What happened, and whether the request may be sent again.
    pub error: ProxyError,
    /// The request, if it came back.
    pub request: Option<Box<Request<Body>>>,
}

/// Fields that a request has besides those in its map, which has none of their names.
pub trait MoreFields {
    /// Puts them into the map.
    fn insert_into(&self, headers: &mut HeaderMap);

    /// Writes them as lines of a head.
    fn write_to(&self, text: &mut Vec<u8>);
}

impl Channel {
    pub(super) fn new(kind: Kind, past: Past) -> Self {
        Self { kind, past }
    }

    /// Notes that the connection was made for this request and others that waited with it.
    pub(super) fn on_fresh_connection(self) -> Self {
        Self { past: Past::Fresh, ..self }
    }

    /// Whether the connection has stood before this request: then it may be dead without our knowing.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.past == Past::Used
    }

    /// Returns which HTTP it speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        match self.kind {
            Kind::Bare(_) | Kind::Http1(_) => Version::Http1,
            Kind::Http2(_) => Version::Http2,
        }
    }

    /// Whether a request that gets no response comes back in any case; else it does so only if nothing of it was written.
    #[must_use]
    pub fn gives_back(&self) -> bool {
        matches!(self.kind, Kind::Bare(_))
    }

    /// Sends a request with more fields than are in its map; what is returned waits for the response's head. In a request that comes
    /// back they may be in the map.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub fn send<'m, M: MoreFields>(
        &self,
        request: Request<Body>,
        more: &'m M,
    ) -> impl Future<Output = Result<Response<Arriving>, Unanswered>> + use<'m, M> {
        let answered = match &self.kind {
            Kind::Bare(connection) => return Either::Left(connection.send(request, more)),
            Kind::Http1(connection) => Either::Left(connection.send(with(request, more))),
            Kind::Http2(stream) => Either::Right(stream.send(with(request, more))),
        };
        Either::Right(answered.map_ok(|response| response.map(Arriving::Hyper)).map_err(unanswered))
    }

    /// Gives up what stands behind it: it broke, or refused a request. Others that are on it go on.
    pub fn retire(&self) {
        match &self.kind {
            // Dropped with the channel.
            Kind::Bare(_) | Kind::Http1(_) => {}
            Kind::Http2(stream) => stream.retire(),
        }
    }

    /// Turns it into what the response's body holds.
    #[must_use]
    pub fn into_lease(self) -> Rc<dyn Lease> {
        match self.kind {
            Kind::Bare(connection) => connection,
            Kind::Http1(connection) => connection,
            Kind::Http2(stream) => stream,
        }
    }
}

fn with(mut request: Request<Body>, more: &impl MoreFields) -> Request<Body> {
    more.insert_into(request.headers_mut());
    request
}

fn unanswered(mut failed: TrySendError<Request<Body>>) -> Unanswered {
    let request = failed.take_message().map(Box::new);
    Unanswered { error: broken(failed.into_error(), request.is_some()), request }
}

/// Says what a failed exchange means (RFC 9110 §9.2.2, RFC 9113 §8.7).
fn broken(error: hyper::Error, came_back: bool) -> ProxyError {
    let refused = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .is_some_and(|error| error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM)));
    let retry = if came_back || refused {
        Retry::Unprocessed
    } else if error.is_parse() {
        // The endpoint has answered, if not in HTTP.
        Retry::Never
    } else {
        Retry::IfIdempotent
    };
    ProxyError::new(Reason::UpstreamReset).with_retry(retry).with_source(error)
}
