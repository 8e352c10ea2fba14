//! What `/metrics` shows: what the data plane counted and what the control plane knows, under the names and labels of ingress-nginx where it
//! has one, so that its dashboards and alerts go on working, and under `tidegate_` where it has none.
//!
//! Everything is made when it is asked for, on a thread of its own. How many series there can be is limited: see [`Budget`].

mod budget;
mod control;
#[cfg(test)]
mod docs;
mod process;
mod requests;
mod served;

use std::sync::{Arc, OnceLock};

use tidegate_proxy::observe::{Exposition, Family, HostSeries, Metrics, Sink};
use tidegate_proxy::server::Publisher;
use tidegate_proxy::state::State;

pub use budget::Budget;
pub use control::Control;

use crate::publish::findings::Findings;
use crate::reconcile::Inquiries;
use crate::snapshot::Snapshot;

/// The page, with all that it is made of.
#[derive(Debug)]
pub struct Page {
    /// Who we are.
    pub instance: Instance,
    /// How many series there may be.
    pub budget: Budget,
    /// Whether hosts are told apart.
    pub hosts: HostSeries,
    /// What the data plane counted.
    pub state: Arc<State>,
    /// Whom to ask about objects, once there is a table.
    pub inquiries: Inquiries,
    /// The findings that hold.
    pub findings: Findings,
    /// What the control plane does.
    pub control: Arc<Control>,
    /// Where the table is published; set once there is one.
    pub publisher: Arc<OnceLock<Arc<Publisher>>>,
}

/// What tells the series of this process from those of other controllers and replicas, as ingress-nginx has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// `controller_class`: the controller whose classes are served.
    pub class: String,
    /// `controller_namespace`: the namespace of the Pod; empty outside a cluster.
    pub namespace: String,
    /// `controller_pod`: the name of the Pod, or of the machine.
    pub pod: String,
}

impl Instance {
    /// Finds out in which Pod this is, by its environment (`POD_NAME` and `POD_NAMESPACE`) or else by what the kubelet mounts.
    #[must_use]
    pub fn here(controllers: &[String]) -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let file = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        Self {
            class: controllers.join(","),
            namespace: variable("POD_NAMESPACE")
                .or_else(|| file("/var/run/secrets/kubernetes.io/serviceaccount/namespace"))
                .unwrap_or_default(),
            pod: variable("POD_NAME").or_else(|| file("/proc/sys/kernel/hostname")).unwrap_or_default(),
        }
    }
}

/// Returns every family, in the order of the page.
pub fn families() -> impl Iterator<Item = &'static Family> {
    let own = [requests::FAMILIES, served::FAMILIES, control::FAMILIES, process::FAMILIES, Findings::FAMILIES, budget::FAMILIES];
    own.into_iter().chain([Metrics::FAMILIES]).flatten().copied()
}

impl Page {
    /// Hands on the page piece by piece, in Prometheus' text format: it may have tens of megabytes.
    pub fn send(&self, sink: Sink) {
        let mut out = self.begin().in_pieces(sink);
        self.write(&mut out);
        out.finish();
    }

    fn begin(&self) -> Exposition {
        let Instance { class, namespace, pod } = &self.instance;
        Exposition::new(&[("controller_class", class), ("controller_namespace", namespace), ("controller_pod", pod)])
    }

    fn write(&self, out: &mut Exposition) {
        let (counts, total) = self.state.metrics.requests();
        requests::write(out, &counts, self.hosts);
        let table = self.publisher.get().map(|publisher| publisher.current());
        served::write(out, table.as_deref(), &self.instance.class, self.budget);
        let endpoints = match &table {
            // Nobody has counted any.
            None => Some(Snapshot::default().endpoint_states()),
            // Where nobody knows any more, none is shown rather than that there are none.
            Some(_) => self.inquiries.ask(|known| known.snapshot.endpoint_states()),
        };
        self.control.write(out, table.as_deref(), endpoints);
        process::write(out, &self.state.metrics, total);
        self.findings.write(out);
        self.budget.write(out, self.state.metrics.room());
        self.state.metrics.write(out);
    }
}

#[cfg(test)]
#[path = "metrics/tests.rs"]
pub(crate) mod tests;
