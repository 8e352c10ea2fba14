//! The one body type that travels through the proxy.

mod arriving;
mod download;
mod trailers;
mod upload;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

pub use arriving::{Arriving, Source};
pub use download::{Download, Lease};
pub use upload::{Attempt, Progress, Replay, Upload};

use crate::error::Reason;
use crate::observe::Record;

/// What forwarding and filters handle instead of a protocol's own type. Not for other threads than the worker's own.
#[derive(Debug, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// All of it at once; `None` once it was taken.
    Fixed(Option<Bytes>),
    /// What a connection delivers.
    Incoming(Incoming),
    /// A request's body on its way to an endpoint: limited, counted, and to some extent replayable.
    Upload(Attempt),
    /// A response's body on its way to the client.
    Download(Box<Download>),
}

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection it comes from failed.
    #[error(transparent)]
    Connection(#[from] hyper::Error),
    /// The endpoint it comes from broke off, or broke the framing.
    #[error("the endpoint: {0}")]
    Endpoint(#[source] std::io::Error),
    /// The proxy cut it, for this reason.
    #[error("cut by the proxy: {0}")]
    Cut(Reason),
}

impl Body {
    /// Has the record end with the response's body.
    pub fn record(&mut self, mut record: Record) {
        match self {
            Self::Download(download) => download.record(record),
            Self::Empty | Self::Fixed(_) | Self::Incoming(_) | Self::Upload(_) => record.finish(),
        }
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        if http_body::Body::is_end_stream(&incoming) { Self::Empty } else { Self::Incoming(incoming) }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Fixed(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Incoming(incoming) => Pin::new(incoming).poll_frame(cx).map_err(BodyError::Connection),
            Self::Upload(attempt) => attempt.poll_frame(cx),
            Self::Download(download) => download.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Fixed(bytes) => bytes.is_none(),
            Self::Incoming(incoming) => http_body::Body::is_end_stream(incoming),
            Self::Upload(attempt) => attempt.is_end_stream(),
            Self::Download(download) => download.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Fixed(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Incoming(incoming) => http_body::Body::size_hint(incoming),
            Self::Upload(attempt) => attempt.size_hint(),
            Self::Download(download) => download.size_hint(),
        }
    }
}
