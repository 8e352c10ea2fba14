//! What is told outside: health and admin pages over HTTP, status and Events to the cluster.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kube::Client;
use tidegate_proxy::state::State;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::Addresses;
use super::input::namespaces;
use crate::admin::{self, Health, Readiness, View};
use crate::args::ServeOptions;
use crate::metrics::{self, Budget, Instance};
use crate::publish::{self, findings::Findings};
use crate::reconcile::Reconciler;

/// How long the last words to the cluster may take: the Lease is let go.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// The Lease where no flag names one.
const LEASE: &str = "tidegate-leader";

/// Answers on the health and admin sockets until the set is dropped, and keeps the findings that both show.
pub(super) fn pages(
    sockets: [TcpListener; 2],
    options: &ServeOptions,
    addresses: Addresses,
    state: Arc<State>,
    reconciler: &mut Reconciler,
) -> (JoinSet<()>, Readiness, Arc<View>) {
    let [health, admin] = sockets;
    let Addresses { http, https, health: health_at, admin: admin_at } = addresses;
    let readiness = Readiness::default();
    let findings = Findings::default();
    let publisher = Arc::new(OnceLock::new());
    let metrics = Arc::new(metrics::Page {
        instance: Instance::here(&options.classes.controller_name),
        budget: Budget::new(options.metrics.series_limit()),
        hosts: options.metrics.hosts(),
        state: Arc::clone(&state),
        inquiries: reconciler.inquiries(),
        findings: findings.clone(),
        control: Arc::clone(reconciler.control()),
        publisher: Arc::clone(&publisher),
    });
    let view = Arc::new(View {
        findings: findings.clone(),
        state,
        addresses: vec![("http", http), ("https", https), ("health", health_at), ("admin", admin_at)],
        publisher,
        inquiries: reconciler.inquiries(),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(findings.follow(reconciler.subscribe()));
    tasks.spawn(admin::serve(health, Arc::new(Health { readiness: readiness.clone(), metrics })));
    tasks.spawn(admin::serve(admin, Arc::clone(&view) as Arc<dyn admin::Pages>));
    (tasks, readiness, view)
}

/// What writes to the cluster.
pub(super) struct Publishing {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Publishing {
    /// Takes part in the election, and writes while this replica leads.
    pub(super) fn start(options: &ServeOptions, client: &Client, reconciler: &mut Reconciler) -> Self {
        let outcomes = [reconciler.subscribe(), reconciler.subscribe(), reconciler.subscribe()];
        let (stop, stopped) = oneshot::channel::<()>();
        let run = publish::run(client.clone(), self::options(options, client, reconciler), outcomes, async { drop(stopped.await) });
        Self { stop, task: tokio::spawn(run) }
    }

    /// Ends it; the Lease is let go, so that another replica writes at once.
    pub(super) async fn end(self) {
        drop(self.stop);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(LAST_WORDS, self.task).await.is_err() {
            abort.abort();
        }
    }
}

fn options(options: &ServeOptions, client: &Client, reconciler: &Reconciler) -> publish::Options {
    let flags = &options.publish;
    let lease = flags.election_lease.as_ref();
    let addresses = match (&flags.publish_service, &flags.publish_nodes_of) {
        (Some(service), _) => publish::Addresses::Service(service.namespace.as_str().into(), service.name.as_str().into()),
        (None, Some(pods)) => publish::Addresses::Nodes(pods.namespace.as_str().into(), pods.labels.as_str().into()),
        (None, None) => publish::Addresses::Given(flags.publish_status_address.clone()),
    };
    // Without an address there is nothing to write, which is not the same as writing that there is none.
    let known = addresses != publish::Addresses::Given(Vec::new());
    publish::Options {
        lease: match lease {
            Some(lease) => (lease.namespace.as_str().into(), lease.name.as_str().into()),
            None => (client.default_namespace().into(), LEASE.into()),
        },
        namespaces: namespaces(&options.source),
        control: Arc::clone(reconciler.control()),
        addresses,
        conditions: if flags.update_status { publish::Status::Written } else { publish::Status::Left },
        status: if flags.update_status && known { publish::Status::Written } else { publish::Status::Left },
    }
}
