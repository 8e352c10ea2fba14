//! The typed settings of one object, filled from annotations or from a class's parameters, and merged.

use std::time::Duration;

use http::{HeaderValue, StatusCode};

use crate::diagnostic::Code;

/// Settings of one object. `None` means that the object does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether http is redirected to https where TLS covers the host. Default true.
    pub ssl_redirect: Option<bool>,
    /// Whether http is redirected to https even where it does not. Default false.
    pub force_ssl_redirect: Option<bool>,
    /// A redirect of every request.
    pub redirect: Option<PolicyRedirect>,
    /// Where `/` redirects to: an absolute path.
    pub app_root: Option<HeaderValue>,
    /// Whether the host's `www.` twin redirects to it (or it to its twin). Default false.
    pub from_to_www_redirect: Option<bool>,
    /// How endpoints are spoken to.
    pub backend_protocol: Option<BackendProtocol>,
    /// Until a connection to an endpoint stands. Default 5 s.
    pub connect_timeout: Option<Duration>,
    /// Between two reads from an endpoint. Default 60 s.
    pub read_timeout: Option<Duration>,
    /// Between two writes to an endpoint. Default 60 s.
    pub send_timeout: Option<Duration>,
    /// Largest request body in bytes; 0 is unlimited. Default unlimited.
    pub body_limit_bytes: Option<u64>,
    /// A protection that could not be understood: all routes of the object refuse.
    pub refuse: Option<Code>,
}

/// A redirect of every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRedirect {
    /// The `Location`.
    pub location: HeaderValue,
    /// The status.
    pub status: StatusCode,
}

/// How endpoints are spoken to, in the words of ingress-nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum BackendProtocol {
    /// HTTP/1.1 in clear text.
    Http,
    /// HTTP over TLS, not verified.
    Https,
    /// The scheme of the client's connection.
    #[serde(rename = "AUTO_HTTP")]
    AutoHttp,
    /// gRPC: HTTP/2 in clear text.
    Grpc,
    /// gRPC over TLS, not verified.
    Grpcs,
}

impl Policy {
    /// Returns these settings with the gaps filled from another (a class's defaults).
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        Self {
            ssl_redirect: self.ssl_redirect.or(defaults.ssl_redirect),
            force_ssl_redirect: self.force_ssl_redirect.or(defaults.force_ssl_redirect),
            redirect: self.redirect.or_else(|| defaults.redirect.clone()),
            app_root: self.app_root.or_else(|| defaults.app_root.clone()),
            from_to_www_redirect: self.from_to_www_redirect.or(defaults.from_to_www_redirect),
            backend_protocol: self.backend_protocol.or(defaults.backend_protocol),
            connect_timeout: self.connect_timeout.or(defaults.connect_timeout),
            read_timeout: self.read_timeout.or(defaults.read_timeout),
            send_timeout: self.send_timeout.or(defaults.send_timeout),
            body_limit_bytes: self.body_limit_bytes.or(defaults.body_limit_bytes),
            refuse: self.refuse.or(defaults.refuse),
        }
    }
}
