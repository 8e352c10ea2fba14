//! Why a request was not served by an endpoint: one enum of stable reasons, with the status that each becomes; and the error that
//! carries one together with what may be done about it.

use std::error::Error;
use std::fmt;

use http::StatusCode;

/// The reason of an answer that the proxy made itself. Its name is stable: access log, metrics and the optional response header
/// carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The request target or its path is malformed or ambiguous.
    BadPath,
    /// The host is missing, malformed, doubled, or at odds with the target's authority.
    BadHost,
    /// Framing or a header breaks RFC 9110 or 9112.
    BadRequest,
    /// Clear text came to a port that speaks TLS.
    HttpOnHttps,
    /// The body has a transfer coding besides `chunked`, which is all that is understood.
    UnknownCoding,
    /// The target is longer than allowed.
    TargetTooLong,
    /// The header block is larger than allowed.
    HeadersTooLarge,
    /// The header block did not arrive in time.
    HeaderTimeout,
    /// The request body paused too long.
    BodyTimeout,
    /// The request body is larger than the route allows.
    BodyTooLarge,
    /// No rule names the host, and nothing is there for the rest.
    NoHost,
    /// The host is known, but no rule matches the path.
    NoPath,
    /// The rule's Service, or its port, does not exist.
    NoService,
    /// The Service has no endpoint that could serve.
    NoEndpoints,
    /// The backend is of a kind that is not supported.
    UnsupportedBackend,
    /// A protection of the route could not be understood, so that the route refuses.
    ProtectionRefused,
    /// The parameters of the route's class cannot be had, and may hold a protection.
    NoClassParameters,
    /// A redirect that the route asks for.
    Redirect,
    /// http to https.
    HttpsRedirect,
    /// No connection could be made to an endpoint.
    ConnectFailed,
    /// No connection stood in time.
    ConnectTimeout,
    /// The TLS handshake with an endpoint failed.
    UpstreamTls,
    /// The endpoint broke off, or broke the protocol.
    UpstreamReset,
    /// The endpoint did not answer in time.
    ReadTimeout,
    /// The endpoint did not take the request in time.
    SendTimeout,
    /// The client went away before its answer.
    ClientGone,
    /// A part of the proxy failed on this request; the log says how.
    Internal,
}

impl Reason {
    /// Every reason, for documentation and metrics.
    pub const ALL: &'static [Self] = &[
        Self::BadPath,
        Self::BadHost,
        Self::BadRequest,
        Self::HttpOnHttps,
        Self::UnknownCoding,
        Self::TargetTooLong,
        Self::HeadersTooLarge,
        Self::HeaderTimeout,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::NoHost,
        Self::NoPath,
        Self::NoService,
        Self::NoEndpoints,
        Self::UnsupportedBackend,
        Self::ProtectionRefused,
        Self::NoClassParameters,
        Self::Redirect,
        Self::HttpsRedirect,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::UpstreamTls,
        Self::UpstreamReset,
        Self::ReadTimeout,
        Self::SendTimeout,
        Self::ClientGone,
        Self::Internal,
    ];

    /// Returns the stable name, as logs and metrics carry it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadPath => "bad_path",
            Self::BadHost => "bad_host",
            Self::BadRequest => "bad_request",
            Self::HttpOnHttps => "http_on_https",
            Self::UnknownCoding => "unknown_coding",
            Self::TargetTooLong => "target_too_long",
            Self::HeadersTooLarge => "headers_too_large",
            Self::HeaderTimeout => "header_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::NoHost => "no_host",
            Self::NoPath => "no_path",
            Self::NoService => "no_service",
            Self::NoEndpoints => "no_endpoints",
            Self::UnsupportedBackend => "unsupported_backend",
            Self::ProtectionRefused => "protection_refused",
            Self::NoClassParameters => "no_class_parameters",
            Self::Redirect => "redirect",
            Self::HttpsRedirect => "https_redirect",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::UpstreamTls => "upstream_tls",
            Self::UpstreamReset => "upstream_reset",
            Self::ReadTimeout => "read_timeout",
            Self::SendTimeout => "send_timeout",
            Self::ClientGone => "client_gone",
            Self::Internal => "internal",
        }
    }

    /// Returns the status that a client sees. A redirect's own status is the route's; 308 stands here for it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadPath | Self::BadHost | Self::BadRequest | Self::HttpOnHttps => StatusCode::BAD_REQUEST,
            // RFC 9112 §6.1.
            Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeaderTimeout | Self::BodyTimeout | Self::ClientGone => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoHost | Self::NoPath => StatusCode::NOT_FOUND,
            Self::NoService | Self::NoEndpoints | Self::UnsupportedBackend | Self::ProtectionRefused | Self::NoClassParameters => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Redirect | Self::HttpsRedirect => StatusCode::PERMANENT_REDIRECT,
            Self::ConnectFailed | Self::UpstreamTls | Self::UpstreamReset => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::ReadTimeout | Self::SendTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Reason {
    /// Returns whose fault it is.
    #[must_use]
    pub fn blame(self) -> Blame {
        match self {
            Self::BadPath
            | Self::BadHost
            | Self::BadRequest
            | Self::HttpOnHttps
            | Self::TargetTooLong
            | Self::HeadersTooLarge
            | Self::HeaderTimeout
            | Self::BodyTimeout
            | Self::BodyTooLarge
            | Self::ClientGone => Blame::Client,
            Self::NoHost
            | Self::NoPath
            | Self::NoService
            | Self::UnsupportedBackend
            | Self::ProtectionRefused
            | Self::NoClassParameters
            | Self::Redirect
            | Self::HttpsRedirect => Blame::Rules,
            Self::NoEndpoints
            | Self::ConnectFailed
            | Self::ConnectTimeout
            | Self::UpstreamTls
            | Self::UpstreamReset
            | Self::ReadTimeout
            | Self::SendTimeout => Blame::Endpoint,
            Self::UnknownCoding | Self::Internal => Blame::Proxy,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The client asked for something that cannot be, or went away.
    Client,
    /// The rules do not serve it.
    Rules,
    /// The endpoint failed.
    Endpoint,
    /// We failed, or cannot do it.
    Proxy,
}

/// Whether a request that failed may be sent again (RFC 9110 §9.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The endpoint has certainly not acted on it: any method may be sent again.
    Unprocessed,
    /// The connection broke before a response head: an idempotent method may be sent again.
    IfIdempotent,
    /// Not again.
    Never,
}

/// A failure on the way to an answer.
#[derive(Debug)]
pub struct ProxyError {
    /// What happened; the status follows from it.
    pub kind: Reason,
    /// Whether the request may be sent again.
    pub retry: Retry,
    /// What the system or a library said; `None` where there is nothing more to say.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl ProxyError {
    /// Makes an error that nothing more is known of and that is final.
    #[must_use]
    pub fn new(kind: Reason) -> Self {
        Self { kind, retry: Retry::Never, source: None }
    }

    /// Says whether the request may be sent again.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Adds what the system or a library said.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Returns whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.kind.blame()
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_clients_are_blamed_with_4xx_only() {
        let names: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            match reason.blame() {
                Blame::Client => assert!(reason.status().is_client_error(), "{reason}"),
                Blame::Endpoint | Blame::Proxy => assert!(reason.status().is_server_error(), "{reason}"),
                Blame::Rules => {}
            }
        }
    }

    #[test]
    fn the_documentation_has_every_reason_with_its_status() {
        let page = include_str!("../../docs/http.md");
        for reason in Reason::ALL {
            // The client sees none then; the log has what nginx writes.
            let status = if *reason == Reason::ClientGone { 499 } else { reason.status().as_u16() };
            let row = format!("| `{reason}` | {status} |");
            assert!(page.contains(&row), "docs/http.md has no row {row}");
        }
    }

    #[test]
    fn an_error_tells_its_kind_and_its_source() {
        let error = ProxyError::new(Reason::ConnectFailed).with_retry(Retry::Unprocessed).with_source("connection refused");
        assert_eq!(error.to_string(), "connect_failed: connection refused");
        assert_eq!((error.blame(), error.retry), (Blame::Endpoint, Retry::Unprocessed));
    }
}
