//! What a route does to a request before it is forwarded.
//!
//! A filter is data with its behaviour; it never awaits. Filters run in the order of their [`Stage`].

mod body_limit;
mod redirect;
mod refuse;

use http::{HeaderValue, Method, StatusCode};

pub use redirect::{Redirect, RedirectTarget, RedirectWhen};

use crate::error::Reason;
use crate::model::Scheme;

/// One step of a route.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Answers every request with this reason's status: a protection that could not be understood.
    Refuse(Reason),
    /// Answers with a `Location`.
    Redirect(Redirect),
    /// Answers 413 to a body of more bytes than this.
    BodyLimit(u64),
}

/// When a filter runs. The declaration's order is the order of running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// A route that refuses does nothing else.
    Refuse,
    /// A redirect of `/` alone (`app-root`).
    AppRoot,
    /// A redirect of every request: it is the answer under either scheme, and as in ingress-nginx it costs clients one step, not two.
    Redirect,
    /// http to https comes before anything that would show a protected answer in clear text.
    HttpsRedirect,
    /// Limits on what is forwarded.
    Limit,
}

/// What filters see of a request, and what they ask of its forwarding.
#[derive(Debug)]
pub struct Exchange<'r> {
    /// The method.
    pub method: &'r Method,
    /// The scheme that the client used; a trusted proxy's word counts.
    pub scheme: Scheme,
    /// The host that the client asked for: lower case, without port.
    pub host: &'r str,
    /// The port of the authority that the client asked for; `None` where it named none.
    pub port: Option<u16>,
    /// The path in normal form.
    pub path: &'r str,
    /// Path and query as the client sent them.
    pub target: &'r str,
    /// The port that clients of https see; `None` leaves it out of URLs.
    pub https_port: Option<u16>,
    /// The port that clients of http see; `None` leaves it out of URLs.
    pub http_port: Option<u16>,
    /// The length of the body as announced; `None` if it is not.
    pub body_bytes: Option<u64>,
    /// The largest body that may pass, in bytes; `None` is any.
    pub body_limit: Option<u64>,
}

/// What comes after a filter.
#[derive(Debug)]
pub enum Flow {
    /// The next filter, then the backend.
    Continue,
    /// This answer.
    Answer(Answer),
    /// Something that has to be awaited; then the next filter.
    Ask(Call),
}

/// An answer that a filter makes.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Why.
    pub reason: Reason,
    /// The status; `None` is the reason's own.
    pub status: Option<StatusCode>,
    /// Where to go instead.
    pub location: Option<HeaderValue>,
}

impl From<Reason> for Answer {
    fn from(reason: Reason) -> Self {
        Self { reason, status: None, location: None }
    }
}

/// What a filter asks to be awaited on its behalf (an authentication service, a store of limits). No filter asks anything yet.
#[derive(Debug)]
pub enum Call {}

impl Filter {
    /// Returns when this filter runs.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Self::Refuse(_) => Stage::Refuse,
            Self::Redirect(redirect) => match redirect.when {
                RedirectWhen::Root => Stage::AppRoot,
                RedirectWhen::ClearText => Stage::HttpsRedirect,
                RedirectWhen::Always => Stage::Redirect,
            },
            Self::BodyLimit(_) => Stage::Limit,
        }
    }

    /// Applies it to a request.
    #[must_use]
    pub fn apply(&self, exchange: &mut Exchange<'_>) -> Flow {
        match self {
            Self::Refuse(reason) => refuse::apply(*reason),
            Self::Redirect(redirect) => redirect.apply(exchange),
            Self::BodyLimit(bytes) => body_limit::apply(*bytes, exchange),
        }
    }
}

#[cfg(test)]
impl Exchange<'static> {
    /// A GET of `http://a.test/`, for tests to change.
    fn example() -> Self {
        Self {
            method: &Method::GET,
            scheme: Scheme::Http,
            host: "a.test",
            port: None,
            path: "/",
            target: "/",
            https_port: None,
            http_port: None,
            body_bytes: None,
            body_limit: None,
        }
    }
}
