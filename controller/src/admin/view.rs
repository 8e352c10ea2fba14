//! What the process serves, as JSON for people and their programs.

mod routes;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use tidegate_proxy::server::Publisher;
use tidegate_proxy::state::State;
use tidegate_proxy::table::{CertificateDump, HostCertificateDump};
use tidegate_proxy::upstream::EndpointAddress;

use super::server::{Pages, Reply};
use crate::diagnostic::Finding;
use crate::explain::{Question, explain};
use crate::publish::findings::Findings;
use crate::reconcile::Inquiries;

/// The pages, with what they show.
const PAGES: &[(&str, &str)] = &[
    ("/addresses", "the addresses that are listened on"),
    ("/backends", "backends with their endpoints' states"),
    ("/certificates", "certificates by server name, without keys"),
    ("/diagnostics", "what is wrong with objects"),
    ("/endpoints", "backends and their endpoints"),
    ("/explain", "?url=…&method=…&header=…&client=…: what becomes of a request, and why"),
    ("/routes", "the routes, as a list"),
    ("/snapshot", "the objects that the table is made of, without keys, to be read by `tidegate check --snapshot`"),
    ("/table", "the routing table"),
    ("/version", "the version, and the generation of the table"),
];

/// The pages of the admin server.
#[derive(Debug)]
pub struct View {
    /// The findings that hold.
    pub findings: Findings,
    /// Backends and their endpoints.
    pub state: Arc<State>,
    /// What is listened on, by listener.
    pub addresses: Vec<(&'static str, SocketAddr)>,
    /// Where the table is published; set once there is one.
    pub publisher: Arc<OnceLock<Arc<Publisher>>>,
    /// Whom to ask why it is so.
    pub inquiries: Inquiries,
}

#[derive(Serialize)]
struct Backend {
    backend: Arc<str>,
    endpoints: Arc<[EndpointAddress]>,
}

#[derive(Serialize)]
struct ListenerCertificates {
    listener: Arc<str>,
    certificates: Vec<HostCertificateDump>,
    default: CertificateDump,
}

impl Pages for View {
    fn page(&self, path: &str, query: Option<&str>) -> Option<Reply> {
        match path {
            "/" => Some(index()),
            "/addresses" => Some(self.addresses()),
            "/backends" => Some(self.backends()),
            "/certificates" => Some(self.certificates()),
            "/diagnostics" => Some(Reply::json(&self.findings.all().into_iter().map(Finding::from).collect::<Vec<_>>())),
            "/endpoints" => {
                let backends = self.state.upstreams.dump().into_iter();
                Some(Reply::json(&backends.map(|(backend, endpoints)| Backend { backend, endpoints }).collect::<Vec<_>>()))
            }
            "/snapshot" => Some(self.snapshot()),
            "/explain" => Some(self.explain(query.unwrap_or_default())),
            "/routes" => {
                let table = self.publisher.get().map(|publisher| publisher.current().dump());
                Some(Reply::json(&table.map(routes::rows).unwrap_or_default()))
            }
            "/table" => Some(self.table()),
            "/version" => Some(Reply::json(&json!({ "version": env!("CARGO_PKG_VERSION"), "generation": self.generation() }))),
            _ => None,
        }
    }
}

fn ending() -> Reply {
    Reply::text(StatusCode::SERVICE_UNAVAILABLE, "nobody answers: the process ends, or its log says why")
}

fn index() -> Reply {
    let pages: serde_json::Map<_, _> = PAGES.iter().map(|(path, what)| ((*path).to_owned(), json!(what))).collect();
    Reply::json(&json!({ "pages": pages }))
}

impl View {
    /// Returns the generation of the table that serves; 0 before the first.
    fn generation(&self) -> u64 {
        self.publisher.get().map_or(0, |publisher| publisher.current().generation)
    }

    fn addresses(&self) -> Reply {
        let addresses: serde_json::Map<_, _> = self.addresses.iter().map(|(name, address)| ((*name).to_owned(), json!(address))).collect();
        Reply::json(&json!({ "generation": self.generation(), "addresses": addresses }))
    }

    fn snapshot(&self) -> Reply {
        if self.publisher.get().is_none() {
            return Reply::text(StatusCode::SERVICE_UNAVAILABLE, "there is no table yet");
        }
        // The control plane waits for the copy, not for the text.
        match self.inquiries.ask(|known| known.snapshot.save()) {
            Some(saved) => Reply::json(&saved),
            None => ending(),
        }
    }

    fn table(&self) -> Reply {
        let table = self.publisher.get().map(|publisher| publisher.current());
        let generation = table.as_ref().map_or(0, |table| table.generation);
        Reply::json(&json!({ "generation": generation, "table": table.map(|table| table.dump()) }))
    }

    fn backends(&self) -> Reply {
        if self.publisher.get().is_none() {
            return Reply::json(&json!([]));
        }
        match self.inquiries.ask(|known| known.translator.backends(known.snapshot)) {
            Some(backends) => Reply::json(&backends),
            None => ending(),
        }
    }

    fn explain(&self, query: &str) -> Reply {
        let question = match Question::from_query(query) {
            Ok(question) => question,
            Err(problem) => return Reply::text(StatusCode::BAD_REQUEST, &problem),
        };
        if self.publisher.get().is_none() {
            return Reply::text(StatusCode::SERVICE_UNAVAILABLE, "there is no table yet");
        }
        let bound = self.addresses.clone();
        match self.inquiries.ask(move |known| explain(known, &bound, &question)) {
            Some(explanation) => Reply::json(&explanation),
            None => ending(),
        }
    }

    fn certificates(&self) -> Reply {
        let listeners = self.publisher.get().map(|publisher| publisher.current().dump().listeners).unwrap_or_default();
        let certificates = listeners.into_iter().filter_map(|listener| {
            let tls = listener.tls?;
            Some(ListenerCertificates { listener: listener.name, certificates: tls.certificates, default: tls.default })
        });
        Reply::json(&certificates.collect::<Vec<_>>())
    }
}

#[cfg(test)]
#[path = "view/tests.rs"]
mod tests;
