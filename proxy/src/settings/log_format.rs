//! How a line of the access log looks: parsed once from a flag, never re-read as text.

use std::fmt;
use std::str::FromStr;

use http::HeaderName;

/// The line that ingress-nginx writes by default (its `upstreaminfo` format), which log pipelines parse.
const TEXT: &str = concat!(
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\" ",
    "$request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr ",
    "$upstream_response_length $upstream_response_time $upstream_status $req_id"
);

/// Request headers that carry credentials: no log takes them.
const SECRET_HEADERS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// How a line of the access log looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFormat {
    shape: Shape,
    headers: Box<[HeaderName]>,
}

/// The two kinds of line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One JSON object with fixed keys.
    Json,
    /// Text with variables in it.
    Text(Box<[Piece]>),
}

/// A part of a text line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As written.
    Literal(Box<str>),
    /// What the request makes of it.
    Variable(Variable),
    /// A request header, by its place in [`LogFormat::headers`].
    Header(usize),
}

macro_rules! variables {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// What a log format may name, by nginx's names where nginx has one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Variable {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Variable {
            /// Every variable.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns its name, without the `$`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Returns what it stands for, for the documentation.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

variables! {
    /// The client's address.
    RemoteAddr = "remote_addr";
    /// The client's port.
    RemotePort = "remote_port";
    /// Always `-`: names of users are not looked at.
    RemoteUser = "remote_user";
    /// When the request ended, `10/Oct/2000:13:55:36 +0000`, always UTC.
    TimeLocal = "time_local";
    /// When the request ended, `2000-10-10T13:55:36+00:00`, always UTC.
    TimeIso8601 = "time_iso8601";
    /// When the request ended, in seconds since 1970 with milliseconds.
    Msec = "msec";
    /// The request line: method, target, protocol.
    Request = "request";
    /// The method.
    RequestMethod = "request_method";
    /// The target as the client sent it.
    RequestUri = "request_uri";
    /// The protocol, such as `HTTP/1.1`.
    ServerProtocol = "server_protocol";
    /// `http` or `https`.
    Scheme = "scheme";
    /// The host without its port, in lower case.
    Host = "host";
    /// The port that the listener is bound to.
    ServerPort = "server_port";
    /// The name of the listener.
    Listener = "listener";
    /// The status.
    Status = "status";
    /// Why the proxy answered itself, or cut the answer; `-` where it did not.
    Reason = "reason";
    /// Bytes of the response body sent.
    BodyBytesSent = "body_bytes_sent";
    /// Bytes of the request: its head in HTTP/1.1's spelling, and what came of its body.
    RequestLength = "request_length";
    /// Seconds from the request's head to the end of the response, with milliseconds.
    RequestTime = "request_time";
    /// Namespace, name and port of the Service, joined with hyphens.
    ProxyUpstreamName = "proxy_upstream_name";
    /// Always empty: a split is not told apart here.
    ProxyAlternativeUpstreamName = "proxy_alternative_upstream_name";
    /// The address of every endpoint that was tried, in order.
    UpstreamAddr = "upstream_addr";
    /// Bytes of the response body that came from each.
    UpstreamResponseLength = "upstream_response_length";
    /// Seconds from the start of each try to its end.
    UpstreamResponseTime = "upstream_response_time";
    /// Seconds until each connection stood; 0.000 for one that stood already.
    UpstreamConnectTime = "upstream_connect_time";
    /// Seconds until the head of each answer.
    UpstreamHeaderTime = "upstream_header_time";
    /// The status of each answer.
    UpstreamStatus = "upstream_status";
    /// The name of the endpoint that was tried last, such as its Pod's.
    Endpoint = "endpoint";
    /// The number of endpoints that were tried.
    Tries = "tries";
    /// The request's identity, as `X-Request-ID` carries it.
    ReqId = "req_id";
    /// The same.
    RequestId = "request_id";
    /// The namespace of the object that the route came from.
    Namespace = "namespace";
    /// The name of the object that the route came from.
    IngressName = "ingress_name";
    /// The path of the rule that took the request.
    LocationPath = "location_path";
    /// The name of the Service.
    ServiceName = "service_name";
    /// The port of the Service.
    ServicePort = "service_port";
    /// The TLS version, such as `TLSv1.3`.
    SslProtocol = "ssl_protocol";
    /// The server name of the TLS handshake.
    SslServerName = "ssl_server_name";
}

/// A log format that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLogFormat {
    /// There is no such variable.
    #[error("${0} is not a variable of the access log; did you mean ${1}?")]
    UnknownVariable(String, String),
    /// The header carries credentials.
    #[error("${0} would log credentials; the access log does not take it")]
    Secret(String),
    /// A `$` without a name, or `${` without its end.
    #[error("a $ at byte {0} is not followed by the name of a variable")]
    NoName(usize),
    /// Nothing would be written.
    #[error("the format is empty; use text, json, or a text with $variables")]
    Empty,
    /// Lines would no longer be lines.
    #[error("the format has a line break or another control character at byte {0}")]
    Control(usize),
}

impl LogFormat {
    /// Returns the text format: ingress-nginx's default line.
    #[must_use]
    pub fn text() -> Self {
        parse(TEXT).unwrap_or_else(|_| Self::json())
    }

    /// Returns the JSON format.
    #[must_use]
    pub fn json() -> Self {
        Self { shape: Shape::Json, headers: [http::header::REFERER, http::header::USER_AGENT].into() }
    }

    /// Returns the kind of line.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Returns the request headers that a line needs.
    #[must_use]
    pub fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// Whether a line has this variable in it.
    #[must_use]
    pub fn uses(&self, variable: Variable) -> bool {
        match &self.shape {
            Shape::Json => false,
            Shape::Text(pieces) => pieces.contains(&Piece::Variable(variable)),
        }
    }
}

impl Default for LogFormat {
    fn default() -> Self {
        Self::text()
    }
}

impl FromStr for LogFormat {
    type Err = InvalidLogFormat;

    /// Reads `text`, `json`, or a text with `$variables` (also `${variables}`) in it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::text()),
            "json" => Ok(Self::json()),
            other => parse(other),
        }
    }
}

fn parse(text: &str) -> Result<LogFormat, InvalidLogFormat> {
    if text.trim().is_empty() {
        return Err(InvalidLogFormat::Empty);
    }
    if let Some(at) = text.bytes().position(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(InvalidLogFormat::Control(at));
    }
    let mut pieces = Vec::new();
    let mut headers = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('$') {
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.into()));
        }
        let no_name = || InvalidLogFormat::NoName(text.len() - after.len() - 1);
        let (name, behind) = match after.strip_prefix('{') {
            Some(inside) => inside.split_once('}').ok_or_else(no_name)?,
            None => after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        if name.is_empty() {
            return Err(no_name());
        }
        pieces.push(piece(name, &mut headers)?);
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.into()));
    }
    Ok(LogFormat { shape: Shape::Text(pieces.into()), headers: headers.into() })
}

fn piece(name: &str, headers: &mut Vec<HeaderName>) -> Result<Piece, InvalidLogFormat> {
    if let Some(variable) = Variable::ALL.iter().find(|variable| variable.name() == name) {
        return Ok(Piece::Variable(*variable));
    }
    let header = name.strip_prefix("http_").and_then(|header| header.replace('_', "-").parse::<HeaderName>().ok());
    let Some(header) = header else {
        let nearest = Variable::ALL.iter().map(|variable| variable.name()).chain(["http_user_agent", "http_referer"]);
        let nearest = nearest.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
        return Err(InvalidLogFormat::UnknownVariable(name.to_owned(), nearest.unwrap_or_default().to_owned()));
    };
    if SECRET_HEADERS.contains(&header.as_str()) {
        return Err(InvalidLogFormat::Secret(name.to_owned()));
    }
    let at = headers.iter().position(|known| *known == header).unwrap_or_else(|| {
        headers.push(header);
        headers.len() - 1
    });
    Ok(Piece::Header(at))
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format_is_the_line_of_ingress_nginx() {
        assert_eq!(parse(TEXT), Ok(LogFormat::text()));
        assert_eq!("text".parse(), Ok(LogFormat::text()));
        assert_eq!("json".parse(), Ok(LogFormat::json()));
        assert_eq!(LogFormat::text().headers(), [http::header::REFERER, http::header::USER_AGENT]);
    }

    #[test]
    fn variables_stand_bare_or_in_braces_and_headers_are_kept_once() {
        let format: LogFormat = "${status}x $http_x_a $http_X_A.".parse().unwrap_or_else(|e| unreachable!("{e}"));
        let pieces = [
            Piece::Variable(Variable::Status),
            Piece::Literal("x ".into()),
            Piece::Header(0),
            Piece::Literal(" ".into()),
            Piece::Header(0),
            Piece::Literal(".".into()),
        ];
        assert_eq!(*format.shape(), Shape::Text(pieces.into()));
        assert_eq!(format.headers(), [HeaderName::from_static("x-a")]);
    }

    #[test]
    fn formats_that_cannot_be_are_refused_with_the_nearest_name() {
        let unknown = |name: &str, nearest: &str| Err(InvalidLogFormat::UnknownVariable(name.into(), nearest.into()));
        for (text, wanted) in [
            ("$remote_adr", unknown("remote_adr", "remote_addr")),
            ("$stats", unknown("stats", "status")),
            ("a$", Err(InvalidLogFormat::NoName(1))),
            ("a$ b", Err(InvalidLogFormat::NoName(1))),
            ("${status", Err(InvalidLogFormat::NoName(0))),
            ("", Err(InvalidLogFormat::Empty)),
            ("a\nb", Err(InvalidLogFormat::Control(1))),
            ("$http_authorization", Err(InvalidLogFormat::Secret("http_authorization".into()))),
        ] {
            assert_eq!(text.parse::<LogFormat>(), wanted, "{text:?}");
        }
    }
}
