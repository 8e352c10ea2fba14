//! The source that the flags name, started.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::args::SourceOptions;
use crate::object::{ObjectRef, SourceEvent};
use crate::source::{cluster, follow};

/// Events that a source may be ahead of the reconciler.
const AHEAD: usize = 4096;

/// A source that runs. Dropped, it ends.
pub(super) enum Input {
    /// A directory of manifests, or one file.
    Directory,
    /// A cluster.
    Cluster {
        /// What else talks to it does so through this.
        client: Client,
        /// Its watches.
        _watches: JoinSet<()>,
    },
}

/// The channel that a source, and whoever else learns of objects, reports to.
pub(super) fn channel() -> (mpsc::Sender<SourceEvent>, mpsc::Receiver<SourceEvent>) {
    mpsc::channel(AHEAD)
}

/// Returns the namespaces that are watched; empty is all.
pub(super) fn namespaces(options: &SourceOptions) -> Vec<Arc<str>> {
    let distinct: BTreeSet<_> = options.watch_namespace.iter().map(String::as_str).collect();
    distinct.into_iter().map(Arc::from).collect()
}

/// Starts the source. `events` gets everything that it reports.
///
/// # Errors
/// The directory is not there, or nothing says which cluster; the text names the flag. An API server that is away is no error.
pub(super) async fn start(options: &SourceOptions, events: mpsc::Sender<SourceEvent>) -> anyhow::Result<Input> {
    let namespaces = namespaces(options);
    if let Some(root) = &options.manifests {
        directory(root, namespaces, events).with_context(|| format!("cannot read {} (--manifests)", root.display()))?;
        tracing::info!(directory = %root.display(), "following manifests");
        return Ok(Input::Directory);
    }
    let connection = cluster::Connection { kubeconfig: options.kubeconfig.clone(), context: options.context.clone() };
    let client = cluster::connect(&connection).await?;
    let watches = cluster::watch(&client, &namespaces, &events);
    tracing::info!("watching the cluster");
    Ok(Input::Cluster { client, _watches: watches })
}

/// Returns the namespaces that the source lists one by one; empty is all at once. A directory is always read as a whole.
pub(super) fn listed_one_by_one(options: &SourceOptions) -> Vec<Arc<str>> {
    if options.manifests.is_some() { Vec::new() } else { namespaces(options) }
}

fn directory(root: &Path, namespaces: Vec<Arc<str>>, events: mpsc::Sender<SourceEvent>) -> std::io::Result<()> {
    if namespaces.is_empty() {
        return follow::follow(root, events);
    }
    let (all, mut reported) = mpsc::channel(AHEAD);
    follow::follow(root, all)?;
    tokio::spawn(async move {
        while let Some(event) = reported.recv().await {
            let Some(event) = only_in(&namespaces, event) else { continue };
            if events.send(event).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Returns what an event says of these namespaces and of what has none.
fn only_in(namespaces: &[Arc<str>], event: SourceEvent) -> Option<SourceEvent> {
    let within = |object: &ObjectRef| object.namespace.is_empty() || namespaces.contains(&object.namespace);
    match event {
        SourceEvent::Apply(object) => within(&object.reference).then_some(SourceEvent::Apply(object)),
        SourceEvent::Delete(object) => within(&object).then_some(SourceEvent::Delete(object)),
        SourceEvent::Replace { kind, namespace, mut objects } => {
            objects.retain(|object| within(&object.reference));
            Some(SourceEvent::Replace { kind, namespace, objects })
        }
        other @ (SourceEvent::Unavailable { .. } | SourceEvent::File { .. } | SourceEvent::Resolved { .. }) => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Kind;

    #[test]
    fn what_is_outside_the_watched_namespaces_is_not_told() {
        let watched: [Arc<str>; 1] = ["a".into()];
        for (namespace, told) in [("a", true), ("b", false), ("", true)] {
            let event = SourceEvent::Delete(ObjectRef::new(Kind::Service, namespace, "x"));
            assert_eq!(only_in(&watched, event).is_some(), told, "{namespace:?}");
        }
    }
}
