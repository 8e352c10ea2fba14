//! The pages that probes and Prometheus read.

use std::sync::Arc;

use http::StatusCode;
use tidegate_proxy::observe::MEDIA_TYPE;

use super::readiness::{Readiness, Verdict};
use super::server::{Pages, Pieces, Reply};
use crate::metrics;

/// `/healthz`, `/livez`, `/readyz`, `/metrics`, and nothing else.
#[derive(Debug)]
pub struct Health {
    /// Whether the process is ready.
    pub readiness: Readiness,
    /// The metrics.
    pub metrics: Arc<metrics::Page>,
}

impl Pages for Health {
    fn page(&self, path: &str, _query: Option<&str>) -> Option<Reply> {
        match path {
            // That it answers is the answer: a process that lives is not restarted over an API server that does not.
            "/healthz" | "/livez" => Some(Reply::text(StatusCode::OK, "ok")),
            "/readyz" => {
                let verdict = self.readiness.verdict();
                let status = if verdict == Verdict::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                Some(Reply::text(status, &verdict.to_string()))
            }
            _ => None,
        }
    }

    fn pieces(&self, path: &str) -> Option<Pieces> {
        let metrics = Arc::clone(&self.metrics);
        (path == "/metrics").then(|| Pieces { media_type: MEDIA_TYPE, write: Box::new(move |sink| metrics.send(sink)) })
    }
}
