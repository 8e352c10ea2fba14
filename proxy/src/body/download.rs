//! A response's body on its way from an endpoint to the client.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::{Arriving, BodyError, Upload};
use crate::clock::{Clock, Deadline};
use crate::error::Reason;
use crate::observe::Record;

/// What a response holds of the connection that it comes on. Dropped before the end, the connection (or stream) is given up.
pub trait Lease {
    /// The response has come to its end: the connection may serve another.
    fn complete(self: Rc<Self>);
}

/// Passes frames on as they come; a pause longer than the read timeout cuts it.
pub struct Download {
    arriving: Arriving,
    lease: Option<Rc<dyn Lease>>,
    pause: Deadline,
    longest_pause: Duration,
    /// The request's body, which may still be on its way; `None` if there was none.
    upload: Option<Upload>,
    record: Option<Record>,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("arriving", &self.arriving).finish_non_exhaustive()
    }
}

impl Download {
    /// Takes up the body of a response. A pause of the endpoint longer than `longest_pause` cuts it. `upload` is the request's body.
    #[must_use]
    pub fn new(arriving: Arriving, lease: Rc<dyn Lease>, clock: &Clock, longest_pause: Duration, upload: Option<Upload>) -> Self {
        Self { arriving, lease: Some(lease), pause: clock.deadline(), longest_pause, upload, record: None }
    }

    /// Counts into this record, and ends it.
    pub(super) fn record(&mut self, record: Record) {
        self.record = Some(record);
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.arriving).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.pause.unset();
                if let (Some(record), Some(data)) = (&mut self.record, frame.data_ref()) {
                    record.sent(data.len() as u64);
                }
                if self.arriving.is_end_stream() {
                    self.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.fail(Reason::UpstreamReset);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                self.complete();
                Poll::Ready(None)
            }
            Poll::Pending => {
                if self.pause.poll(cx).is_ready() {
                    self.fail(Reason::ReadTimeout);
                    return Poll::Ready(Some(Err(BodyError::Cut(Reason::ReadTimeout))));
                }
                if !self.pause.is_set() {
                    self.pause.set(Instant::now() + self.longest_pause);
                    let _ = self.pause.poll(cx);
                }
                Poll::Pending
            }
        }
    }

    fn complete(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.complete();
        }
        if let Some(mut record) = self.record.take() {
            record.received(self.upload.as_ref().map_or(0, Upload::bytes));
            record.finish();
        }
    }

    /// Gives the connection up; the client sees the body break off.
    fn fail(&mut self, reason: Reason) {
        self.lease = None;
        if let Some(mut record) = self.record.take() {
            record.received(self.upload.as_ref().map_or(0, Upload::bytes));
            // An endpoint that breaks off because the request's body did is not to blame.
            record.reason(self.upload.as_ref().and_then(Upload::failed).unwrap_or(reason));
            record.finish();
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.arriving.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.arriving.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // The client went away: the record says so by itself.
        if let Some(record) = &mut self.record {
            record.received(self.upload.as_ref().map_or(0, Upload::bytes));
        }
    }
}
