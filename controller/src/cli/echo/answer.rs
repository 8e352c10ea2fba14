//! From a request to its answer.

use std::convert::Infallible;
use std::io;
use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;

use super::picture::Picture;
use super::steer::{Abort, Content, Pieces, Steering};
use super::{Connection, refuse, websocket};

/// The body of an answer.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

const ECHO_NAME: HeaderName = HeaderName::from_static("x-echo-name");

/// The pattern that bodies of a given size are made of: lines of 64 bytes.
static FILLER: LazyLock<Bytes> = LazyLock::new(|| {
    const LINE: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n";
    LINE.repeat(1024).into()
});

/// Answers a request as it asks. An error ends the connection (the stream, in HTTP/2) without an answer, which is also something
/// that a request may ask for.
pub(super) async fn answer(connection: &Connection, request: Request<Incoming>) -> Result<Response<AnswerBody>, io::Error> {
    let steering = match Steering::of(&request) {
        Ok(steering) => steering,
        Err(problem) => return refuse(connection, &problem).map_err(never),
    };
    if !steering.delay.is_zero() {
        tokio::time::sleep(steering.delay).await;
    }
    if steering.abort == Some(Abort::Head) {
        return Err(io::Error::other("asked to break off before the head"));
    }
    if websocket::is_asked_for(&request) && steering.status.is_none() {
        return match websocket::accept(request, &steering.headers) {
            Ok(response) => Ok(response),
            Err(problem) => refuse(connection, &problem).map_err(never),
        };
    }
    let mut response = if is_grpc(request.headers()) { grpc(request, &steering) } else { http(connection, request, &steering).await? };
    let headers = response.headers_mut();
    if let Ok(name) = HeaderValue::from_str(&connection.name) {
        headers.insert(ECHO_NAME, name);
    }
    // What is asked for replaces what would be sent by itself, and may repeat.
    for (name, _) in &steering.headers {
        headers.remove(name);
    }
    headers.extend(Vec::from_iter(steering.headers));
    Ok(response)
}

async fn http(connection: &Connection, request: Request<Incoming>, steering: &Steering) -> Result<Response<AnswerBody>, io::Error> {
    let head_only = request.method() == Method::HEAD;
    let (content_type, length, data) = match &steering.content {
        Content::Reflection => {
            let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
            let data = request.into_body().into_data_stream().map(|data| data.map_err(io::Error::other)).boxed();
            (content_type, None, data)
        }
        Content::Picture | Content::Text(_) | Content::Filler(_) => {
            let picture = Picture::take(connection, request).await.map_err(io::Error::other)?;
            let (content_type, length, data) = match &steering.content {
                Content::Filler(bytes) => ("application/octet-stream", *bytes, filler(*bytes).boxed()),
                Content::Text(text) => ("text/plain; charset=utf-8", text.len() as u64, one(text.clone().into())),
                Content::Picture | Content::Reflection => {
                    let json = picture.to_json();
                    ("application/json", json.len() as u64, one(json.into()))
                }
            };
            (Some(HeaderValue::from_static(content_type)), Some(length), data)
        }
    };
    let status = steering.status.unwrap_or(StatusCode::OK);
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    if let Some(length) = length
        && steering.pieces.is_none()
        && steering.trailers.is_empty()
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    for name in steering.trailers.keys() {
        // HTTP/1.1 sends the trailers that were announced, and no others.
        headers.append(header::TRAILER, HeaderValue::from(name.clone()));
    }
    if !head_only {
        *response.body_mut() = body(data, length, steering);
    }
    Ok(response)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Every message of a gRPC call comes back as it was, as it comes in; the call's status stands in the trailers.
fn grpc(request: Request<Incoming>, steering: &Steering) -> Response<AnswerBody> {
    let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
    let data = request.into_body().into_data_stream().map(|data| data.map_err(io::Error::other)).boxed();
    let mut trailers = steering.trailers.clone();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(steering.grpc_status.unwrap_or(0))));
    let mut response = Response::new(body(data, None, &Steering { trailers, ..steering.clone() }));
    *response.status_mut() = steering.status.unwrap_or(StatusCode::OK);
    response.headers_mut().extend(content_type.map(|value| (header::CONTENT_TYPE, value)));
    response
}

/// Puts data into the form that was asked for.
fn body(data: DataStream, length: Option<u64>, steering: &Steering) -> AnswerBody {
    let data = match steering.pieces {
        Some(pieces) => cut(data, pieces).boxed(),
        None => data,
    };
    let data = match steering.abort {
        // Half of what was announced; of a body without an announced length, its first piece.
        Some(Abort::Body) => broken_off(data, length).boxed(),
        Some(Abort::Head) | None => data,
    };
    let trailers = stream::iter((!steering.trailers.is_empty()).then(|| Ok(Frame::trailers(steering.trailers.clone()))));
    BodyExt::boxed_unsync(StreamBody::new(data.map(|data| data.map(Frame::data)).chain(trailers)))
}

type DataStream = stream::BoxStream<'static, io::Result<Bytes>>;

fn one(data: Bytes) -> DataStream {
    stream::iter([Ok(data)]).boxed()
}

fn filler(bytes: u64) -> impl Stream<Item = io::Result<Bytes>> {
    stream::iter(std::iter::successors(Some((bytes, Bytes::new())), |(left, _)| {
        let take = usize::try_from(*left).unwrap_or(usize::MAX).min(FILLER.len());
        (take > 0).then(|| (*left - take as u64, FILLER.slice(..take)))
    }))
    .skip(1)
    .map(|(_, data)| Ok(data))
}

fn cut(data: DataStream, pieces: Pieces) -> impl Stream<Item = io::Result<Bytes>> {
    let small = data.flat_map(move |data| match data {
        Ok(mut data) => {
            stream::iter(std::iter::from_fn(move || (!data.is_empty()).then(|| Ok(data.split_to(pieces.bytes.min(data.len())))))).boxed()
        }
        Err(error) => stream::iter([Err(error)]).boxed(),
    });
    small.enumerate().then(move |(index, piece)| async move {
        if index > 0 && !pieces.interval.is_zero() {
            tokio::time::sleep(pieces.interval).await;
        }
        piece
    })
}

fn broken_off(data: DataStream, length: Option<u64>) -> impl Stream<Item = io::Result<Bytes>> {
    let half = length.map_or(1, |length| (length / 2).max(1));
    let first = data.scan(half, |left, data| {
        let part = match data {
            Ok(_) if *left == 0 => None,
            Ok(data) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *left -= take as u64;
                Some(Ok(data.slice(..take)))
            }
            Err(error) => Some(Err(error)),
        };
        std::future::ready(part)
    });
    // The part should reach the client before the connection goes.
    first.chain(stream::once(async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        Err(io::Error::other("asked to break off in the middle"))
    }))
}

/// Returns a body that is there at once.
pub(super) fn whole(data: Bytes) -> AnswerBody {
    Full::new(data).map_err(never).boxed_unsync()
}

/// Returns a body of nothing.
pub(super) fn empty() -> AnswerBody {
    whole(Bytes::new())
}

fn never(impossible: Infallible) -> io::Error {
    match impossible {}
}
