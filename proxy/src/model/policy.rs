//! Settings that a table carries for a listener, a host, a route or an upstream.

use std::time::Duration;

/// Whose conventions a host follows where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compatibility {
    /// Tidegate's own: the Kubernetes API reference to the letter.
    #[default]
    Native,
    /// Those of ingress-nginx.
    IngressNginx,
}

/// The scheme that a client used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// Returns the scheme as it stands in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns the port that a URL of this scheme leaves out.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// How to talk to the endpoints of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamProtocol {
    /// HTTP/1.1 in clear text.
    #[default]
    Http1,
    /// HTTP/2 in clear text, by prior knowledge (also gRPC).
    H2c,
    /// TLS; HTTP/2 or HTTP/1.1 as ALPN agrees. The endpoint's certificate is not verified.
    Https,
    /// TLS and HTTP/2 only (gRPC over TLS). The endpoint's certificate is not verified.
    H2,
}

/// How long to wait for an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Timeouts {
    /// Until a connection stands, TLS included. Default 5 s.
    pub connect: Duration,
    /// Between two reads from the endpoint: until the response head, then between pieces of the body. Default 60 s.
    pub read: Duration,
    /// Between two writes to the endpoint. Default 60 s.
    pub send: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), read: Duration::from_secs(60), send: Duration::from_secs(60) }
    }
}

/// Limits of a listener on what clients may send and for how long.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Largest header block in bytes; 431 beyond. Default 64 KiB.
    pub header_bytes: usize,
    /// Largest number of headers; 431 beyond. Default 100: as many as hyper reads without an allocation for each request.
    pub headers: usize,
    /// Longest request target in bytes; 414 beyond. Default 16 KiB.
    pub target_bytes: usize,
    /// Time for a whole header block to arrive. Default 60 s.
    pub header_timeout: Duration,
    /// Longest pause inside a request body. Default 60 s.
    pub body_timeout: Duration,
    /// How long an idle HTTP/1.1 connection is kept. Default 75 s.
    pub keep_alive: Duration,
    /// How long an HTTP/2 connection without streams is kept. Default 180 s.
    pub h2_idle: Duration,
    /// How long a client may refuse to take a byte of its response. Default 60 s.
    pub write_timeout: Duration,
    /// Concurrent HTTP/2 streams of one connection. Default 128.
    pub h2_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 64 * 1024,
            headers: 100,
            target_bytes: 16 * 1024,
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            h2_idle: Duration::from_secs(180),
            write_timeout: Duration::from_secs(60),
            h2_streams: 128,
        }
    }
}
