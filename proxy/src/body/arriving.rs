//! A response's body as it arrives from an endpoint.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::{BodyError, Lease};

/// A connection that is read from for as long as the body goes on.
pub trait Source: Lease + fmt::Debug {
    /// Is ready with the next frame, or with `None` at the end.
    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;

    /// Whether the end has come.
    fn is_over(&self) -> bool;

    /// Returns what is known of the bytes that are to come.
    fn size_hint(&self) -> SizeHint;

    /// Returns the whole body if it is here already, and more than nothing.
    fn whole(&self) -> Option<Bytes>;
}

/// What an endpoint sends after its response's head.
#[derive(Debug)]
pub enum Arriving {
    /// From a task of hyper's.
    Hyper(Incoming),
    /// From the connection itself.
    Bare(Rc<dyn Source>),
}

impl Arriving {
    /// Returns the whole body if it is here already, and more than nothing.
    #[must_use]
    pub fn whole(&self) -> Option<Bytes> {
        match self {
            Self::Hyper(_) => None,
            Self::Bare(source) => source.whole(),
        }
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Hyper(incoming) => Pin::new(incoming).poll_frame(cx).map_err(BodyError::Connection),
            Self::Bare(source) => source.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Hyper(incoming) => incoming.is_end_stream(),
            Self::Bare(source) => source.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Hyper(incoming) => incoming.size_hint(),
            Self::Bare(source) => source.size_hint(),
        }
    }
}
