//! Heads as HTTP/1.1 writes them (RFC 9112 §2 to §6): a request's is written, a response's is read.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::super::channel::MoreFields;
use super::framing::{Chunk, Framing};

/// The most fields that a response may have; hyper's limit is the same.
const MOST_FIELDS: usize = 100;
/// The largest head of a response, in bytes; about hyper's limit.
const LARGEST: usize = 400 * 1024;

/// A response's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    /// How the end of its body is known.
    pub(super) framing: Framing,
    /// Whether the connection can serve another request after it.
    pub(super) persists: bool,
}

/// Why bytes are no head of a response.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidHead {
    #[error("the response is not HTTP/1: {0}")]
    Syntax(#[from] httparse::Error),
    #[error("the response has a status that is none")]
    Status,
    #[error("the response has a field that is none")]
    Field,
    #[error("the response has a Content-Length that is none, or several that differ")]
    ContentLength,
    #[error("the response has a Transfer-Encoding, which HTTP/1.0 does not know")]
    TransferEncoding,
    #[error("the head of the response is too large")]
    TooLarge,
}

/// Writes the head of a request without a body; more fields stand after its own.
pub(super) fn write<B>(text: &mut Vec<u8>, request: &Request<B>, more: &impl MoreFields) {
    text.extend_from_slice(request.method().as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(request.uri().path_and_query().map_or("/", |target| target.as_str()).as_bytes());
    text.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in request.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    more.write_to(text);
    text.extend_from_slice(b"\r\n");
}

/// Takes the head of the response to a request with this method out of the bytes; `None` if more have to be read. Interim responses are
/// passed over (RFC 9110 §15.2). Only with a head do its fields come into `fields`, in place of what is there: until then the request may
/// have to be sent again.
///
/// # Errors
/// The bytes are no head.
pub(super) fn read(bytes: &mut BytesMut, method: &Method, fields: &mut HeaderMap) -> Result<Option<Head>, InvalidHead> {
    let mut places = Places { all: [(Place::default(), Place::default()); MOST_FIELDS], count: 0 };
    loop {
        let Some((Line { version, status, reason }, text)) = read_one(bytes, &mut places)? else {
            return if bytes.len() > LARGEST { Err(InvalidHead::TooLarge) } else { Ok(None) };
        };
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            read_fields(&text, &places, &mut HeaderMap::new())?;
            continue;
        }
        let which = read_fields(&text, &places, fields)?;
        let framing = framing(method, status, version, fields, which)?;
        let persists = status != StatusCode::SWITCHING_PROTOCOLS && framing != Framing::Close && persists(version, fields, which);
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = std::mem::take(fields);
        if let Some(reason) = reason {
            response.extensions_mut().insert(reason);
        }
        return Ok(Some(Head { response, framing, persists }));
    }
}

/// The first line of a response.
struct Line {
    version: Minor,
    status: StatusCode,
    /// If it is not the usual one.
    reason: Option<ReasonPhrase>,
}

/// Which HTTP/1 it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Minor {
    Zero,
    One,
}

/// Where a part begins and ends.
#[derive(Clone, Copy, Default)]
struct Place(u32, u32);

impl Place {
    /// `part` lies within `whole`, which is no larger than [`LARGEST`] and a read.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let begin = part.as_ptr().addr() - whole.as_ptr().addr();
        let place = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self(place(begin), place(begin + part.len()))
    }

    fn range(self) -> std::ops::Range<usize> {
        self.0 as usize..self.1 as usize
    }
}

/// Where names and values of fields lie.
struct Places {
    all: [(Place, Place); MOST_FIELDS],
    count: usize,
}

/// Takes one head out of the bytes, interim or not, and notes where its fields lie.
fn read_one(bytes: &mut BytesMut, places: &mut Places) -> Result<Option<(Line, Bytes)>, InvalidHead> {
    let (line, length) = {
        let mut room = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut room)?;
        let httparse::Status::Complete(length) = status else { return Ok(None) };
        for (place, field) in places.all.iter_mut().zip(&*parsed.headers) {
            *place = (Place::of(field.name.as_bytes(), bytes), Place::of(field.value, bytes));
        }
        places.count = parsed.headers.len();
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(InvalidHead::Status)?;
        let unusual = parsed.reason.filter(|reason| status.canonical_reason() != Some(reason));
        let reason = unusual.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok());
        let version = if parsed.version == Some(1) { Minor::One } else { Minor::Zero };
        (Line { version, status, reason }, length)
    };
    Ok(Some((line, bytes.split_to(length).freeze())))
}

/// Which fields there are of those that say how an exchange ends: a look into the map for each that is not there would cost more.
#[derive(Debug, Clone, Copy, Default)]
struct Which {
    connection: bool,
    content_length: bool,
    transfer_encoding: bool,
}

/// Puts the fields of a head in place of those that are there.
fn read_fields(head: &Bytes, places: &Places, fields: &mut HeaderMap) -> Result<Which, InvalidHead> {
    let mut which = Which::default();
    fields.clear();
    fields.reserve(places.count);
    for (name, value) in places.all.iter().take(places.count) {
        let name = head.get(name.range()).and_then(|name| HeaderName::from_bytes(name).ok()).ok_or(InvalidHead::Field)?;
        let value = HeaderValue::from_maybe_shared(head.slice(value.range())).map_err(|_| InvalidHead::Field)?;
        which.connection |= name == CONNECTION;
        which.content_length |= name == CONTENT_LENGTH;
        which.transfer_encoding |= name == TRANSFER_ENCODING;
        fields.append(name, value);
    }
    Ok(which)
}

/// Finds out how the end of a body is known (RFC 9112 §6.3).
fn framing(method: &Method, status: StatusCode, version: Minor, fields: &HeaderMap, which: Which) -> Result<Framing, InvalidHead> {
    let bodiless = [StatusCode::SWITCHING_PROTOCOLS, StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    if *method == Method::HEAD || bodiless.contains(&status) {
        return Ok(Framing::Over);
    }
    if which.transfer_encoding
        && let Some(last) = fields.get_all(TRANSFER_ENCODING).iter().next_back()
    {
        if version == Minor::Zero {
            return Err(InvalidHead::TransferEncoding);
        }
        return Ok(if ends_chunked(last) { Framing::Chunked(Chunk::Size) } else { Framing::Close });
    }
    if !which.content_length {
        return Ok(Framing::Close);
    }
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let Some(first) = lengths.next() else { return Ok(Framing::Close) };
    let length = digits(first).ok_or(InvalidHead::ContentLength)?;
    if lengths.any(|other| digits(other) != Some(length)) {
        return Err(InvalidHead::ContentLength);
    }
    Ok(Framing::Length(length))
}

fn ends_chunked(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| text.rsplit(',').next().is_some_and(|last| last.trim().eq_ignore_ascii_case("chunked")))
}

/// Reads a number that is nothing but digits.
fn digits(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Whether a connection outlives the response (RFC 9112 §9.3).
fn persists(version: Minor, fields: &HeaderMap, which: Which) -> bool {
    if !which.connection {
        return version == Minor::One;
    }
    let says = |word: &[u8]| {
        let mut tokens = fields.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(word))
    };
    !says(b"close") && (version == Minor::One || says(b"keep-alive"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
#[path = "head/tests.rs"]
mod tests;
