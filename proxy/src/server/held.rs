//! Puts the last that a handshake says together with the first that HTTP says.
//!
//! A server ends a TLS 1.3 handshake with session tickets, which its client does not wait for. As a packet of their own they would cost
//! about as much as the first response; they go with it instead, or as soon as the client has nothing to say.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream under TLS.
#[derive(Debug)]
pub(super) struct Held<S> {
    stream: S,
    waiting: BytesMut,
    until: Until,
}

/// What is waited for before what was written goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// That the rest of a flight is written, and the client's is to be read.
    Read,
    /// That the client asks something or falls silent.
    Asked,
    /// That it is answered.
    Answered,
    /// Nothing.
    Now,
}

/// Whether a client's request has begun to arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// Not yet.
    Awaited,
    /// With the end of the handshake.
    Begun,
}

impl<S> Held<S> {
    /// Begins with the handshake.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, waiting: BytesMut::new(), until: Until::Read }
    }

    /// Notes that the handshake is over, and that its client waits for nothing that it has left behind.
    pub(super) fn end_handshake(&mut self, request: Request) {
        self.until = match request {
            _ if self.waiting.is_empty() => Until::Now,
            Request::Awaited => Until::Asked,
            Request::Begun => Until::Answered,
        };
    }

    /// Notes that nothing waits from now on but what cannot be written.
    pub(super) fn hold_no_more(&mut self) {
        self.until = Until::Now;
    }

    /// Returns the stream.
    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns the stream; what waits is lost.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncWrite + Unpin> Held<S> {
    /// Writes what waits.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.waiting.advance(written),
            }
        }
        self.waiting = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Writes as much of it as can be written at once.
    fn release(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.until = Until::Now;
        match self.poll_release(cx) {
            Poll::Ready(written) => written,
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Held<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.until == Until::Read {
            ready!(this.poll_release(cx))?;
        }
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if this.until == Until::Asked {
            match &read {
                Poll::Ready(_) => this.until = Until::Answered,
                Poll::Pending => this.release(cx)?,
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.until == Until::Now {
            ready!(this.poll_release(cx))?;
            return Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        }
        bytes.iter().for_each(|piece| this.waiting.extend_from_slice(piece));
        if this.until != Until::Read {
            this.release(cx)?;
        }
        Poll::Ready(Ok(bytes.iter().map(|piece| piece.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.until == Until::Now {
            ready!(this.poll_release(cx))?;
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.until = Until::Now;
        ready!(self.poll_release(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// Makes a stream whose handshake has left a ticket behind, and its other end.
    async fn shaken(request: Request) -> (Held<DuplexStream>, DuplexStream) {
        let (near, mut far) = duplex(1024);
        let mut held = Held::new(near);
        for piece in ["hel", "lo "] {
            held.write_all(piece.as_bytes()).await.unwrap();
            held.flush().await.unwrap();
        }
        assert_eq!(arrived(&mut far).await, "", "a flight goes out as a whole");
        far.write_all(b"finished").await.unwrap();
        held.read_exact(&mut [0; 8]).await.unwrap();
        assert_eq!(arrived(&mut far).await, "hello ");
        held.write_all(b"ticket ").await.unwrap();
        held.flush().await.unwrap();
        held.end_handshake(request);
        (held, far)
    }

    /// Returns what has arrived.
    async fn arrived(far: &mut DuplexStream) -> String {
        let mut bytes = BytesMut::new();
        let read = far.read_buf(&mut bytes);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(5), read).await;
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// Reads once, without waiting.
    async fn read(held: &mut Held<DuplexStream>) -> String {
        let mut bytes = [0; 16];
        let mut buffer = ReadBuf::new(&mut bytes);
        std::future::poll_fn(|cx| {
            let _ = Pin::new(&mut *held).poll_read(cx, &mut buffer);
            Poll::Ready(())
        })
        .await;
        String::from_utf8(buffer.filled().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_ticket_goes_with_the_first_answer() {
        for request in [Request::Awaited, Request::Begun] {
            let (mut held, mut far) = shaken(request).await;
            if request == Request::Awaited {
                far.write_all(b"ask").await.unwrap();
                assert_eq!(read(&mut held).await, "ask");
            }
            // What waits for an endpoint looks whether the client is still there.
            assert_eq!(read(&mut held).await, "");
            held.flush().await.unwrap();
            assert_eq!(arrived(&mut far).await, "");
            held.write_all(b"answer").await.unwrap();
            held.flush().await.unwrap();
            assert_eq!(arrived(&mut far).await, "ticket answer");
            held.write_all(b"more").await.unwrap();
            assert_eq!(arrived(&mut far).await, "more");
        }
    }

    #[tokio::test]
    async fn a_silent_client_is_given_its_ticket() {
        let (mut held, mut far) = shaken(Request::Awaited).await;
        held.flush().await.unwrap();
        assert_eq!(arrived(&mut far).await, "");
        assert_eq!(read(&mut held).await, "");
        assert_eq!(arrived(&mut far).await, "ticket ");
        far.write_all(b"ask").await.unwrap();
        assert_eq!(read(&mut held).await, "ask");
        held.write_all(b"answer").await.unwrap();
        assert_eq!(arrived(&mut far).await, "answer");
    }

    #[tokio::test]
    async fn the_end_takes_along_what_waits() {
        let (mut held, mut far) = shaken(Request::Begun).await;
        held.shutdown().await.unwrap();
        assert_eq!(arrived(&mut far).await, "ticket ");
    }

    #[tokio::test]
    async fn what_a_client_does_not_take_stays_in_order_and_does_not_grow() {
        let (mut held, mut far) = shaken(Request::Begun).await;
        held.write_all(&[b'a'; 2000]).await.unwrap();
        let more = held.write_all(b"more");
        assert!(tokio::time::timeout(std::time::Duration::from_millis(5), more).await.is_err(), "no place");
        let mut all = vec![0; 7 + 2000];
        let (read, written) = tokio::join!(far.read_exact(&mut all), held.write_all(b"end"));
        read.unwrap();
        written.unwrap();
        assert!(all.starts_with(b"ticket aaa") && all.ends_with(b"aaa"));
        assert_eq!(arrived(&mut far).await, "end");
    }
}
