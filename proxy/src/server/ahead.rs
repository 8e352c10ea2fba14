//! A stream that bytes can be given back to, to be read again before any other.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream, after bytes that were read ahead.
#[derive(Debug)]
pub(super) struct Ahead<S> {
    bytes: Bytes,
    stream: S,
}

impl<S> Ahead<S> {
    /// Puts bytes before those that the stream still has.
    pub(super) fn new(bytes: Bytes, stream: S) -> Self {
        // An empty rest may hold a large buffer.
        Self { bytes: if bytes.is_empty() { Bytes::new() } else { bytes }, stream }
    }

    /// Returns the stream.
    pub(super) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns the stream without what was read ahead.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Whether there are bytes that were given back.
    pub(super) fn has_bytes(&self) -> bool {
        !self.bytes.is_empty()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.bytes.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let taken = this.bytes.len().min(buffer.remaining());
        buffer.put_slice(this.bytes.get(..taken).unwrap_or_default());
        this.bytes.advance(taken);
        if this.bytes.is_empty() {
            this.bytes = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn bytes_given_back_come_first() {
        let mut stream = Ahead::new(Bytes::from_static(b"one two"), &b" three"[..]);
        let mut begin = [0; 3];
        stream.read_exact(&mut begin).await.unwrap();
        assert!(stream.has_bytes());
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&begin, rest.as_str(), stream.has_bytes()), (b"one", " two three", false));
    }
}
