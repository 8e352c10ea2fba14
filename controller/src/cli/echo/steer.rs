//! What a request asks of its answer: `X-Echo-…` headers, or the query.

use std::str::FromStr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use percent_encoding::percent_decode_str;

/// Bytes of a piece where only the pause between pieces is given.
const DEFAULT_PIECE_BYTES: usize = 1024;
/// Longest wait that a request may ask for at once.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// How a request is answered. The default is the picture of the request, at once, with 200.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Steering {
    /// The status, 200 to 599; `None` is 200.
    pub(super) status: Option<StatusCode>,
    /// Time before the head is sent.
    pub(super) delay: Duration,
    /// What the body is.
    pub(super) content: Content,
    /// Sent in pieces, without a Content-Length; `None` sends it as one.
    pub(super) pieces: Option<Pieces>,
    /// More headers.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Trailers; the body is then without a Content-Length.
    pub(super) trailers: HeaderMap,
    /// Where the answer breaks off; `None` completes it.
    pub(super) abort: Option<Abort>,
    /// `grpc-status` of an answer to a gRPC request; `None` is 0.
    pub(super) grpc_status: Option<u8>,
}

/// What the body of an answer is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Content {
    /// The picture of the request, in JSON.
    #[default]
    Picture,
    /// This text.
    Text(String),
    /// This many bytes of a repeated pattern.
    Filler(u64),
    /// The body of the request, as it comes in.
    Reflection,
}

/// How a body is cut up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pieces {
    /// Bytes of each; at least 1.
    pub(super) bytes: usize,
    /// Pause between two.
    pub(super) interval: Duration,
}

/// Where an answer breaks off: the connection is closed in HTTP/1.1, the stream reset in HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abort {
    /// Instead of a head.
    Head,
    /// In the middle of the body.
    Body,
}

/// One thing that a request can ask for. It has a header and a query parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    Status,
    Delay,
    Bytes,
    Body,
    Chunk,
    Interval,
    Header,
    Trailer,
    Abort,
    Reflect,
    GrpcStatus,
}

impl Control {
    /// Each with its header and its query parameter.
    const ALL: [(Self, &'static str, &'static str); 11] = [
        (Self::Status, "x-echo-status", "status"),
        (Self::Delay, "x-echo-delay-ms", "delay"),
        (Self::Bytes, "x-echo-body-bytes", "bytes"),
        (Self::Body, "x-echo-body", "body"),
        (Self::Chunk, "x-echo-chunk-bytes", "chunk"),
        (Self::Interval, "x-echo-interval-ms", "interval"),
        (Self::Header, "x-echo-header", "header"),
        (Self::Trailer, "x-echo-trailer", "trailer"),
        (Self::Abort, "x-echo-abort", "abort"),
        (Self::Reflect, "x-echo-reflect", "reflect"),
        (Self::GrpcStatus, "x-echo-grpc-status", "grpc-status"),
    ];
}

impl Steering {
    /// Reads what a request asks for: first the query, then the headers, so that a header wins.
    ///
    /// # Errors
    /// A value cannot be understood, or there is no such `X-Echo-…` header. The text says which. Other names in the query are the
    /// client's own.
    pub(super) fn of<B>(request: &Request<B>) -> Result<Self, String> {
        let mut steering = Self::default();
        for pair in request.uri().query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let Some((control, ..)) = Control::ALL.iter().find(|(.., parameter)| *parameter == name) {
                let value = value.replace('+', " ");
                let value = percent_decode_str(&value).decode_utf8().map_err(|_| format!("query parameter {name}: not UTF-8"))?;
                steering.set(*control, &value).map_err(|problem| format!("query parameter {name}: {problem}"))?;
            }
        }
        for (name, value) in request.headers() {
            let name = name.as_str();
            if let Some((control, ..)) = Control::ALL.iter().find(|(_, header, _)| *header == name) {
                let value = value.to_str().map_err(|_| format!("header {name}: not visible ASCII"))?;
                steering.set(*control, value).map_err(|problem| format!("header {name}: {problem}"))?;
            } else if name.starts_with("x-echo-") {
                return Err(format!("header {name}: there is no such control"));
            }
        }
        Ok(steering)
    }

    fn set(&mut self, control: Control, value: &str) -> Result<(), String> {
        match control {
            Control::Status => {
                let status = number::<u16>(value).ok().filter(|status| (200..600).contains(status));
                self.status = Some(status.and_then(|s| StatusCode::from_u16(s).ok()).ok_or("give a status from 200 to 599")?);
            }
            Control::Delay => self.delay = wait(value)?,
            Control::Bytes => self.content = Content::Filler(number(value)?),
            Control::Body => self.content = Content::Text(value.to_owned()),
            Control::Chunk => {
                let bytes = number::<usize>(value)?;
                if bytes == 0 {
                    return Err("give at least 1".to_owned());
                }
                self.pieces = Some(Pieces { bytes, interval: self.pieces.map_or(Duration::ZERO, |pieces| pieces.interval) });
            }
            Control::Interval => {
                let bytes = self.pieces.map_or(DEFAULT_PIECE_BYTES, |pieces| pieces.bytes);
                self.pieces = Some(Pieces { bytes, interval: wait(value)? });
            }
            Control::Header => self.headers.push(header_line(value)?),
            Control::Trailer => {
                let (name, value) = header_line(value)?;
                self.trailers.append(name, value);
            }
            Control::Abort => {
                self.abort = match value {
                    "head" => Some(Abort::Head),
                    "body" => Some(Abort::Body),
                    other => return Err(format!("{other:?} is neither head nor body")),
                }
            }
            Control::Reflect => self.content = Content::Reflection,
            Control::GrpcStatus => self.grpc_status = Some(number(value)?),
        }
        Ok(())
    }
}

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{value:?} is not a number that fits"))
}

fn wait(value: &str) -> Result<Duration, String> {
    let wait = Duration::from_millis(number(value)?);
    if wait > LONGEST_WAIT { Err("at most 3600000 milliseconds".to_owned()) } else { Ok(wait) }
}

fn header_line(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("{line:?} is not of the form Name: value"))?;
    let name = HeaderName::from_str(name.trim()).map_err(|_| format!("{:?} is not a header's name", name.trim()))?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| format!("{:?} is not a header's value", value.trim()))?;
    Ok((name, value))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn of(target: &str, headers: &[(&str, &str)]) -> Result<Steering, String> {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Steering::of(&request.body(()).unwrap())
    }

    #[test]
    fn query_and_headers_ask_for_the_same_things() {
        let by_query = of("/a?status=404&delay=20&bytes=7&chunk=2&interval=1&header=X-A:%20b+c&trailer=X-T:1&abort=body", &[]);
        let by_header = of(
            "/a?mine=1",
            &[
                ("x-echo-status", "404"),
                ("x-echo-delay-ms", "20"),
                ("x-echo-body-bytes", "7"),
                ("x-echo-chunk-bytes", "2"),
                ("x-echo-interval-ms", "1"),
                ("x-echo-header", "X-A: b c"),
                ("x-echo-trailer", "X-T: 1"),
                ("x-echo-abort", "body"),
            ],
        );
        let steering = by_query.unwrap();
        assert_eq!(steering.status, Some(StatusCode::NOT_FOUND));
        assert_eq!(steering.content, Content::Filler(7));
        assert_eq!(steering.pieces, Some(Pieces { bytes: 2, interval: Duration::from_millis(1) }));
        assert_eq!(steering, by_header.unwrap());
    }

    #[test]
    fn a_header_wins_over_the_query() {
        assert_eq!(of("/?status=404", &[("x-echo-status", "503")]).unwrap().status, Some(StatusCode::SERVICE_UNAVAILABLE));
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        for (target, header, named) in [
            ("/?status=99", None, "query parameter status"),
            ("/?status=600", None, "query parameter status"),
            ("/?delay=-1", None, "query parameter delay"),
            ("/?delay=3600001", None, "query parameter delay"),
            ("/?bytes=%ff", None, "query parameter bytes"),
            ("/?chunk=0", None, "query parameter chunk"),
            ("/?header=none", None, "query parameter header"),
            ("/?abort=now", None, "query parameter abort"),
            ("/", Some(("x-echo-trailer", "a b: c")), "header x-echo-trailer"),
            ("/", Some(("x-echo-stauts", "200")), "header x-echo-stauts"),
        ] {
            let problem = of(target, header.as_slice()).unwrap_err();
            assert!(problem.starts_with(named), "{target}: {problem}");
        }
    }

    #[test]
    fn other_query_parameters_are_the_clients_own() {
        assert_eq!(of("/?q=1&Status=9&&=", &[]), Ok(Steering::default()));
    }
}
