//! A write that the API server did not take.

use crate::source::cluster::describe;

/// Why it failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// What it was about, and what was answered.
    pub(super) text: String,
    /// The HTTP status; 0 where there was no answer.
    pub(super) status: u16,
    /// Whether the server is in trouble, or the way to it, so that other writes would fail too.
    pub(super) of_server: bool,
}

impl Failure {
    pub(super) fn of(about: impl std::fmt::Display, error: &kube::Error) -> Self {
        let status = if let kube::Error::Api(status) = error { status.code } else { 0 };
        let of_server = !(400..500).contains(&status) || status == 429;
        Self { text: format!("{about}: {}", describe(error)), status, of_server }
    }

    /// There was no answer in time.
    pub(super) fn silence(about: impl std::fmt::Display) -> Self {
        Self { text: format!("{about}: the API server does not answer"), status: 0, of_server: true }
    }
}
