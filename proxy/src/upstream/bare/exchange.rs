//! A request's head and its response on one stream, and the next one's after it.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Method, Response};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::task::coop::unconstrained;

use super::framing::{Framing, Piece};
use super::head::{self, InvalidHead};
use super::room::Room;

/// What is left to take is copied out of a larger buffer if it is less than this, in bytes.
const SMALL: usize = 256;

/// A stream, and how far the exchange on it is.
#[derive(Debug)]
pub(super) struct Exchange<S> {
    stream: S,
    /// What of the request is not written yet.
    unsent: BytesMut,
    /// Whether anything of it is.
    touched: bool,
    /// Whether all of it has left what lies between.
    flushed: bool,
    /// What was read and not taken yet.
    rest: BytesMut,
    framing: Framing,
    /// Whether another exchange may follow.
    persists: bool,
    /// Why the body breaks off.
    broken: Option<io::Error>,
    /// How much the next read asks for: what the last ones were given, also those of the exchange before.
    reach: usize,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoResponse {
    /// Nothing of the request was written.
    #[error("the request was not written: {0}")]
    Untouched(io::Error),
    /// It may have arrived.
    #[error(transparent)]
    Broken(io::Error),
    /// What came is no response.
    #[error(transparent)]
    Invalid(InvalidHead),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            unsent: BytesMut::new(),
            touched: false,
            flushed: false,
            rest: BytesMut::new(),
            framing: Framing::Over,
            persists: true,
            broken: None,
            reach: Room::SIZE,
        }
    }

    /// Begins with a request's head: as much of it is written as can be at once.
    pub(super) fn begin(&mut self, cx: &mut Context<'_>, head: &[u8]) -> Result<(), NoResponse> {
        (self.touched, self.flushed, self.persists) = (false, false, false);
        let written = match Pin::new(&mut self.stream).poll_write(cx, head) {
            Poll::Ready(written) => written.map_err(NoResponse::Untouched)?,
            Poll::Pending => 0,
        };
        self.touched = written > 0;
        if let Some(rest @ [_, ..]) = head.get(written..) {
            self.unsent = BytesMut::from(rest);
        }
        Ok(())
    }

    /// Writes what is left of the request. A response may come before all of it is written.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), NoResponse> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unsent) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(NoResponse::Broken(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => self.unsent.advance(written),
                Poll::Ready(Err(error)) if self.touched => return Err(NoResponse::Broken(error)),
                Poll::Ready(Err(error)) => return Err(NoResponse::Untouched(error)),
            }
            self.touched = true;
        }
        if !self.flushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(flushed) => flushed.map_err(NoResponse::Broken)?,
            }
            self.flushed = true;
        }
        Ok(())
    }

    /// Is ready with the response to a request with this method. Its fields take the place of those in `fields`, which are left empty.
    pub(super) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        room: &Room,
        method: &Method,
        fields: &mut HeaderMap,
    ) -> Poll<Result<Response<()>, NoResponse>> {
        // An endpoint may answer and close before it has taken the whole request.
        let mut unwritten = if self.flushed { None } else { self.write(cx).err() };
        loop {
            let read = self.poll_fill(cx, room, self.reach);
            if !matches!(read, Poll::Ready(Ok(1..)))
                && let Some(error) = unwritten.take()
            {
                return Poll::Ready(Err(error));
            }
            match ready!(read) {
                Err(error) => return Poll::Ready(Err(NoResponse::Broken(error))),
                Ok(0) => return Poll::Ready(Err(NoResponse::Broken(io::ErrorKind::UnexpectedEof.into()))),
                Ok(_) => {}
            }
            if let Some(head) = head::read(&mut self.rest, method, fields).map_err(NoResponse::Invalid)? {
                self.framing = head.framing;
                // What is left of the request is of no use to an endpoint that has answered it.
                self.persists = head.persists && self.flushed && unwritten.is_none();
                return Poll::Ready(Ok(head.response));
            }
            self.let_go();
        }
    }

    /// Is ready with the next frame of the response's body, or its end. An error waits for a turn, in which what came before it goes on to
    /// the client.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>, room: &Room) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(self.poll_next(cx, room)) {
            Ok(frame) => Poll::Ready(frame.map(Ok)),
            Err(error) => {
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, room: &Room) -> Poll<io::Result<Option<Frame<Bytes>>>> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        loop {
            match self.framing.take(&mut self.rest).map_err(invalid)? {
                Piece::Data(data) => return Poll::Ready(Ok(Some(Frame::data(data)))),
                Piece::Trailers(trailers) => return Poll::Ready(Ok(Some(Frame::trailers(trailers)))),
                Piece::End => return Poll::Ready(Ok(None)),
                Piece::More => {
                    self.let_go();
                    if ready!(self.poll_fill(cx, room, self.reach_of_body()))? == 0 {
                        self.framing.end().map_err(|error| io::Error::new(io::ErrorKind::UnexpectedEof, error))?;
                    }
                }
            }
        }
    }

    /// Returns how much of the body a read asks for: a byte more than will come, so that it is seen at once that there is no more.
    fn reach_of_body(&self) -> usize {
        match self.framing {
            Framing::Length(left) => usize::try_from(left).unwrap_or(usize::MAX).saturating_add(1).min(self.reach),
            Framing::Chunked(_) | Framing::Close | Framing::Over => self.reach,
        }
    }

    /// Returns the whole body if it is here already, and more than nothing.
    pub(super) fn whole(&mut self) -> Option<Bytes> {
        let Framing::Length(length) = self.framing else { return None };
        let length = usize::try_from(length).ok().filter(|length| (1..=self.rest.len()).contains(length))?;
        self.framing = Framing::Over;
        Some(self.rest.split_to(length).freeze())
    }

    /// Whether the response has come to its end.
    pub(super) fn is_over(&self) -> bool {
        self.framing.is_over()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.framing.size_hint()
    }

    /// Ends the exchange; returns whether another may follow.
    pub(super) fn end(&mut self) -> bool {
        self.persists &= self.is_between();
        (self.rest, self.unsent) = (BytesMut::new(), BytesMut::new());
        self.persists
    }

    /// Whether one exchange is over, and no other has begun.
    pub(super) fn is_between(&self) -> bool {
        self.persists && self.rest.is_empty() && self.framing.is_over()
    }

    /// Returns the stream.
    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Holds no more memory than what is left to take needs: what waits must not keep what others read into.
    fn let_go(&mut self) {
        if self.rest.len() < SMALL {
            self.rest = if self.rest.is_empty() { BytesMut::new() } else { BytesMut::from(&*self.rest) };
        }
    }

    /// Whether the other end has neither closed the stream nor said anything unasked, as far as is known without asking the system. What it
    /// said is not kept: the stream serves no other exchange.
    pub(super) fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        // A task that has had its share is told that nothing is there to be read, whatever is.
        let look = pin!(unconstrained(poll_fn(|cx| Pin::new(&mut self.stream).poll_read(cx, &mut buffer))));
        look.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Reads what there is, `reach` bytes of it if there are so many.
    fn poll_fill(&mut self, cx: &mut Context<'_>, room: &Room, reach: usize) -> Poll<io::Result<usize>> {
        let mut room = room.borrow(reach);
        let read = ready!(pin!(self.stream.read_buf(&mut *room)).poll(cx))?;
        // The memory may be larger than what was asked for, or what is left of it smaller.
        if read >= reach || room.is_full() {
            self.reach = (self.reach * 2).min(Room::LARGEST);
        } else if read < reach / 4 {
            self.reach = (self.reach / 2).max(Room::SIZE);
        }
        let bytes = room.take();
        if self.rest.is_empty() {
            self.rest = bytes;
        } else {
            self.rest.unsplit(bytes);
        }
        Poll::Ready(Ok(read))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#[path = "exchange/tests.rs"]
mod tests;
