//! Where the body of a response ends, and which of the bytes that came are of it (RFC 9112 §6 and §7).

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::SizeHint;

const LINE_END: &[u8; 2] = b"\r\n";

/// The longest line before a chunk, its extensions included, in bytes.
const LONGEST_SIZE_LINE: usize = 16 * 1024;
/// The largest block of trailers, in bytes.
const LARGEST_TRAILERS: usize = 16 * 1024;
/// The most fields in it.
const MOST_TRAILERS: usize = 100;

/// How the end of a body is known, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length: so many bytes are to come.
    Length(u64),
    /// By the last chunk.
    Chunked(Chunk),
    /// By the end of the connection.
    Close,
    /// It has come.
    Over,
}

/// What of a chunked body comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The line with a chunk's size.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The line's end after them.
    DataEnd,
    /// Trailers, or the empty line alone.
    Trailers,
}

/// What was found in the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Nothing whole: more has to be read.
    More,
    /// A piece of the body.
    Data(Bytes),
    /// What comes after it; it is the end.
    Trailers(HeaderMap),
    /// The end.
    End,
}

/// Why the bytes are no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidBody {
    #[error("the connection ended within the body")]
    Incomplete,
    #[error("a chunk's size is none")]
    Size,
    #[error("a chunk is longer than its size")]
    Chunk,
    #[error("the trailers are malformed")]
    Trailers,
    #[error("the line before a chunk is too long")]
    LongLine,
    #[error("the trailers are too large")]
    LargeTrailers,
}

impl Framing {
    /// Takes the next piece out of the bytes.
    ///
    /// # Errors
    /// The bytes are not what the framing says.
    pub(super) fn take(&mut self, bytes: &mut BytesMut) -> Result<Piece, InvalidBody> {
        match self {
            Self::Over | Self::Length(0) => Ok(Piece::End),
            Self::Length(left) => Ok(take(left, bytes)),
            Self::Close if bytes.is_empty() => Ok(Piece::More),
            Self::Close => Ok(Piece::Data(bytes.split().freeze())),
            Self::Chunked(chunk) => {
                let piece = chunk.take(bytes)?;
                if matches!(piece, Piece::End | Piece::Trailers(_)) {
                    *self = Self::Over;
                }
                Ok(piece)
            }
        }
    }

    /// Notes that no more bytes will come.
    ///
    /// # Errors
    /// More should have.
    pub(super) fn end(&mut self) -> Result<(), InvalidBody> {
        match self {
            Self::Close => {
                *self = Self::Over;
                Ok(())
            }
            Self::Over | Self::Length(0) => Ok(()),
            Self::Length(_) | Self::Chunked(_) => Err(InvalidBody::Incomplete),
        }
    }

    /// Whether the end has come.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Over | Self::Length(0))
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Over => SizeHint::with_exact(0),
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::Close => SizeHint::default(),
        }
    }
}

impl Chunk {
    fn take(&mut self, bytes: &mut BytesMut) -> Result<Piece, InvalidBody> {
        loop {
            match self {
                // An empty line would pass for the last chunk.
                Self::Size if bytes.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) => return Err(InvalidBody::Size),
                Self::Size => match httparse::parse_chunk_size(bytes).map_err(|_| InvalidBody::Size)? {
                    httparse::Status::Partial if bytes.len() <= LONGEST_SIZE_LINE => return Ok(Piece::More),
                    httparse::Status::Complete((line, _)) if line > LONGEST_SIZE_LINE => return Err(InvalidBody::LongLine),
                    httparse::Status::Partial => return Err(InvalidBody::LongLine),
                    httparse::Status::Complete((line, size)) => {
                        let extensions = bytes.get(..line - LINE_END.len()).unwrap_or_default();
                        if extensions.contains(&b'\n') {
                            return Err(InvalidBody::Size);
                        }
                        bytes.advance(line);
                        *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
                    }
                },
                Self::Data(left) => {
                    let piece = take(left, bytes);
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(piece);
                }
                Self::DataEnd => {
                    let Some((end, _)) = bytes.split_first_chunk() else { return Ok(Piece::More) };
                    if end != LINE_END {
                        return Err(InvalidBody::Chunk);
                    }
                    bytes.advance(LINE_END.len());
                    *self = Self::Size;
                }
                Self::Trailers => return trailers(bytes),
            }
        }
    }
}

/// Takes what there is of the bytes that are left to come.
fn take(left: &mut u64, bytes: &mut BytesMut) -> Piece {
    if bytes.is_empty() {
        return Piece::More;
    }
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= taken as u64;
    Piece::Data(bytes.split_to(taken).freeze())
}

fn trailers(bytes: &mut BytesMut) -> Result<Piece, InvalidBody> {
    if bytes.starts_with(LINE_END) {
        bytes.advance(LINE_END.len());
        return Ok(Piece::End);
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    let (length, map) = match httparse::parse_headers(bytes, &mut fields).map_err(|_| InvalidBody::Trailers)? {
        httparse::Status::Partial if bytes.len() > LARGEST_TRAILERS => return Err(InvalidBody::LargeTrailers),
        httparse::Status::Partial => return Ok(Piece::More),
        httparse::Status::Complete((length, fields)) => {
            let mut map = HeaderMap::with_capacity(fields.len());
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| InvalidBody::Trailers)?;
                map.append(name, HeaderValue::from_bytes(field.value).map_err(|_| InvalidBody::Trailers)?);
            }
            (length, map)
        }
    };
    // Of header fields, lines that end in LF alone are believed too; here as little as around chunks.
    if bytes.iter().take(length).zip(std::iter::once(&0).chain(&*bytes)).any(|(byte, before)| *byte == b'\n' && *before != b'\r') {
        return Err(InvalidBody::Trailers);
    }
    bytes.advance(length);
    Ok(if map.is_empty() { Piece::End } else { Piece::Trailers(map) })
}

#[cfg(test)]
#[path = "framing/tests.rs"]
mod tests;
