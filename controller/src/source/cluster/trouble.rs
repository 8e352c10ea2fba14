//! What went wrong with a watch: what it means, what is said of it (once), and how long to wait.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder as _;
use kube::runtime::watcher;

use super::{FIRST_PAUSE, LAST_PAUSE, UNAVAILABLE_PAUSE};
use crate::object::Kind;

/// What an error means for the watch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// Trying again is all there is to do.
    Retry,
    /// The place where the watch stood is forgotten: it must begin with a list.
    Expired,
    /// The kind is not there for us, and we can do without it.
    Unavailable(String),
}

/// The state of trouble of one watch.
pub(super) struct Trouble {
    kind: Kind,
    namespace: Option<Arc<str>>,
    pauses: backon::ExponentialBackoff,
    /// The status of what was last said, 0 for trouble on the way to the API server; `None` when all is well.
    said: Option<u16>,
    unavailable: bool,
    /// Refusals (403) of a kind that we can do without, one after the other.
    refusals: u32,
}

/// Refusals in a row after which a kind that we can do without counts as not available. An API server that has just started
/// refuses for a moment what it allows once it has read its roles.
const REFUSALS: u32 = 3;

impl Trouble {
    pub(super) fn new(kind: Kind, namespace: Option<Arc<str>>) -> Self {
        Self { kind, namespace, pauses: pauses(), said: None, unavailable: false, refusals: 0 }
    }

    /// All is well (again).
    pub(super) fn over(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(kind = %self.kind, namespace = self.namespace.as_deref(), "objects are read from the API server again");
            self.pauses = pauses();
        }
        self.unavailable = false;
        self.refusals = 0;
    }

    /// Judges an error, and logs it unless its like was logged last.
    pub(super) fn of(&mut self, error: &watcher::Error) -> Outlook {
        let (status, text) = match error {
            watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
                (if let kube::Error::Api(status) = error { status.code } else { 0 }, describe(error))
            }
            watcher::Error::WatchError(status) => (status.code, format!("{} (HTTP {})", status.message, status.code)),
            watcher::Error::NoResourceVersion => (0, "the list has no resourceVersion".to_owned()),
        };
        // 410 is everyday life: the list that follows says all there is to know.
        if status == 410 {
            tracing::debug!(kind = %self.kind, namespace = self.namespace.as_deref(), error = %text,
                "the API server has forgotten where a watch stood; reading everything anew");
            return Outlook::Expired;
        }
        let dispensable = matches!(self.kind, Kind::IngressClass | Kind::ClassParameters);
        self.refusals = if status == 403 { self.refusals.saturating_add(1) } else { 0 };
        self.unavailable = dispensable && (status == 404 || self.refusals >= REFUSALS);
        if self.said != Some(status) {
            self.said = Some(status);
            let (kind, namespace) = (self.kind, self.namespace.as_deref());
            if dispensable && matches!(status, 403 | 404) {
                // Told as a finding once it is certain.
                tracing::debug!(%kind, error = %text, "a kind of object is not available");
            } else if matches!(status, 401 | 403) {
                tracing::error!(%kind, namespace, error = %text, "not allowed to read a kind of object that is needed; trying on");
            } else {
                tracing::warn!(%kind, namespace, error = %text, "objects cannot be read from the API server; trying on with what is known");
            }
        }
        match status {
            404 if self.unavailable => {
                Outlook::Unavailable(format!("the API server does not know {} of {}", self.kind, super::api_version(self.kind)))
            }
            _ if self.unavailable => Outlook::Unavailable(text),
            _ => Outlook::Retry,
        }
    }

    /// Returns how long to wait before the next attempt: longer each time, never the same for two watches.
    pub(super) fn pause(&mut self) -> Duration {
        if self.unavailable { UNAVAILABLE_PAUSE } else { self.pauses.next().unwrap_or(LAST_PAUSE) }
    }
}

fn pauses() -> backon::ExponentialBackoff {
    backon::ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_max_delay(LAST_PAUSE).with_jitter().without_max_times().build()
}

/// Says in one line what the API server (or the way to it) answered.
#[must_use]
pub fn describe(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("{} (HTTP {})", status.message, status.code);
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}
