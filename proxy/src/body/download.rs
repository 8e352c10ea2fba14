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
    /// `None` after the end: by then the connection may be another request's.
    arriving: Option<Arriving>,
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
        Self { arriving: Some(arriving), lease: Some(lease), pause: clock.deadline(), longest_pause, upload, record: None }
    }

    /// Counts into this record, and ends it.
    pub(super) fn record(&mut self, record: Record) {
        self.record = Some(record);
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(arriving) = &mut self.arriving else { return Poll::Ready(None) };
        match Pin::new(&mut *arriving).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.pause.unset();
                if let (Some(record), Some(data)) = (&mut self.record, frame.data_ref()) {
                    record.sent(data.len() as u64);
                }
                if arriving.is_end_stream() {
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
        self.arriving = None;
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
        (self.arriving, self.lease) = (None, None);
        if let Some(mut record) = self.record.take() {
            record.received(self.upload.as_ref().map_or(0, Upload::bytes));
            // An endpoint that breaks off because the request's body did is not to blame.
            record.reason(self.upload.as_ref().and_then(Upload::failed).unwrap_or(reason));
            record.finish();
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.arriving.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.arriving.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    use super::super::{Body, Source};
    use super::*;

    /// A connection that serves another request as soon as one is complete.
    #[derive(Debug, Default)]
    struct Busy(RefCell<Vec<&'static str>>);

    impl Lease for Busy {
        fn complete(self: Rc<Self>) {
            assert_eq!(Rc::strong_count(&self), 2, "the test and the lease");
            self.0.borrow_mut().push("of another");
        }
    }

    impl Source for Busy {
        fn poll_frame(&self, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(self.0.borrow_mut().pop().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
        }

        fn is_over(&self) -> bool {
            self.0.borrow().is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::default()
        }

        fn whole(&self) -> Option<Bytes> {
            None
        }
    }

    #[test]
    fn a_body_that_has_ended_reads_nothing_of_the_next() {
        let connection = Rc::new(Busy(RefCell::new(vec!["end", "begin, "])));
        let (source, lease): (Rc<dyn Source>, Rc<dyn Lease>) = (Rc::<Busy>::clone(&connection), Rc::<Busy>::clone(&connection));
        let download = Download::new(Arriving::Bare(source), lease, &Clock::new(), Duration::from_secs(1), None);
        let mut body = Body::Download(Box::new(download));
        let mut frame = || body.frame().now_or_never().unwrap().map(|frame| frame.unwrap().into_data().unwrap());
        assert_eq!((frame().unwrap(), frame().unwrap()), ("begin, ".into(), "end".into()));
        assert_eq!(frame(), None);
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert_eq!(*connection.0.borrow(), ["of another"]);
    }
}
