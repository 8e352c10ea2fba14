//! What a route does to a request before it is forwarded.
//!
//! A filter is data with its behaviour; it never awaits. Filters run in the order of their [`Stage`].

mod redirect;

pub use redirect::{Redirect, RedirectTarget, RedirectWhen};

use crate::error::Reason;

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
    /// http to https comes before anything that would show a protected answer in clear text.
    HttpsRedirect,
    /// A redirect of every request.
    Redirect,
    /// Limits on what is forwarded.
    Limit,
}

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
}
