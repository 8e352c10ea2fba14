//! Redirects: to a fixed place, or to the same place under another scheme or host.

use http::{HeaderValue, StatusCode};

use crate::model::{HostName, Scheme, dump};

/// An answer with a `Location`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Redirect {
    /// Which requests it answers.
    pub when: RedirectWhen,
    /// Where to.
    pub to: RedirectTarget,
    /// The status, 300 to 308.
    #[serde(serialize_with = "dump::status")]
    pub status: StatusCode,
}

/// Which requests a redirect answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectWhen {
    /// All.
    Always,
    /// Those for exactly `/`.
    Root,
    /// Those in clear text, but for `/.well-known/acme-challenge/` (RFC 8555 §8.3 asks for it over http).
    ClearText,
}

/// Where a redirect leads.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RedirectTarget {
    /// This `Location`, as written.
    Fixed(#[serde(serialize_with = "dump::header_value")] HeaderValue),
    /// The same scheme, host and port with this path; the query is dropped.
    Path(#[serde(serialize_with = "dump::header_value")] HeaderValue),
    /// The same path and query under another scheme or host; `None` keeps the client's. The port is the public one of the scheme.
    Same {
        /// The new scheme.
        scheme: Option<Scheme>,
        /// The new host.
        host: Option<HostName>,
    },
}
