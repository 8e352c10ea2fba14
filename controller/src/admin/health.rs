//! The pages that probes and Prometheus read.

use std::sync::Arc;

use http::StatusCode;
use prometheus_client::registry::Registry;

use super::readiness::{Readiness, Verdict};
use super::server::{Pages, Reply};

/// `/healthz`, `/livez`, `/readyz`, `/metrics`, and nothing else.
#[derive(Debug)]
pub struct Health {
    /// Whether the process is ready.
    pub readiness: Readiness,
    /// The metrics.
    pub registry: Arc<Registry>,
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
            "/metrics" => Some(self.metrics()),
            _ => None,
        }
    }
}

impl Health {
    fn metrics(&self) -> Reply {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => Reply {
                status: StatusCode::OK,
                media_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
                body: text.into(),
            },
            Err(error) => Reply::text(StatusCode::INTERNAL_SERVER_ERROR, &format!("the metrics cannot be written: {error}")),
        }
    }
}
