//! The source that the flags name, started.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::args::SourceOptions;
use crate::object::{ObjectRef, SourceEvent};
use crate::source::{cluster, follow};

/// Events that a source may be ahead of the reconciler.
const AHEAD: usize = 4096;

/// A source that runs. Dropped, it ends.
pub(super) struct Input {
    /// What else talks to the cluster does so through this; `None` for a directory.
    client: Option<Client>,
    /// Its watches, or what waits for its thread: they end when the process does, or when they fail.
    running: JoinSet<()>,
}

impl Input {
    /// Returns how the cluster is talked to; `None` where the source is a directory.
    pub(super) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// Waits until some part of the source is no more, which is a fault: what it knew would be served for ever as it was.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        match self.running.join_next().await {
            Some(Err(error)) => anyhow!("the source failed: {error}"),
            Some(Ok(())) | None => anyhow!("the source ended"),
        }
    }
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
        let running = directory(root, namespaces, events).with_context(|| format!("cannot read {} (--manifests)", root.display()))?;
        tracing::info!(directory = %root.display(), "following manifests");
        return Ok(Input { client: None, running });
    }
    let connection = cluster::Connection { kubeconfig: options.kubeconfig.clone(), context: options.context.clone() };
    let client = cluster::connect(&connection).await?;
    let watches = cluster::watch(&client, &namespaces, &events);
    tracing::info!("watching the cluster");
    Ok(Input { client: Some(client), running: watches })
}

/// Returns the namespaces that the source lists one by one; empty is all at once. A directory is always read as a whole.
pub(super) fn listed_one_by_one(options: &SourceOptions) -> Vec<Arc<str>> {
    if options.manifests.is_some() { Vec::new() } else { namespaces(options) }
}

fn directory(root: &Path, namespaces: Vec<Arc<str>>, events: mpsc::Sender<SourceEvent>) -> std::io::Result<JoinSet<()>> {
    let mut running = JoinSet::new();
    if namespaces.is_empty() {
        watch_over(follow::follow(root, events)?, &mut running);
        return Ok(running);
    }
    let (all, mut reported) = mpsc::channel(AHEAD);
    watch_over(follow::follow(root, all)?, &mut running);
    running.spawn(async move {
        loop {
            let event = tokio::select! {
                event = reported.recv() => event,
                // Nobody listens any more: a directory in which nothing changes would not find out.
                () = events.closed() => return,
            };
            let Some(event) = event else { return };
            let Some(event) = only_in(&namespaces, event) else { continue };
            if events.send(event).await.is_err() {
                return;
            }
        }
    });
    Ok(running)
}

/// Has the set tell of a thread's end. The wait costs nothing: a thread that ends, however it does, drops what it holds.
fn watch_over(ended: tokio::sync::oneshot::Receiver<()>, running: &mut JoinSet<()>) {
    running.spawn(async move { drop(ended.await) });
}

/// Returns what an event says of these namespaces and of what has none.
pub(super) fn only_in(namespaces: &[Arc<str>], event: SourceEvent) -> Option<SourceEvent> {
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
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::object::Kind;

    #[tokio::test]
    async fn a_part_of_the_source_that_ends_or_panics_is_told() {
        let mut running = JoinSet::new();
        running.spawn(std::future::pending());
        running.spawn(async { panic!("a bug") });
        let mut input = Input { client: None, running };
        assert!(input.ended().await.to_string().contains("a bug"));

        let (alive, ended) = tokio::sync::oneshot::channel::<()>();
        let mut input = Input { client: None, running: JoinSet::new() };
        watch_over(ended, &mut input.running);
        let thread = std::thread::spawn(move || {
            let _held = alive;
            panic!("a bug on the thread");
        });
        assert_eq!(input.ended().await.to_string(), "the source ended");
        assert!(thread.join().is_err());
    }

    #[tokio::test]
    async fn a_directory_that_is_followed_does_not_end() {
        let root = tempfile::tempdir().unwrap();
        for namespaces in [vec![], vec!["a".into()]] {
            let (sender, mut events) = channel();
            let mut running = directory(root.path(), namespaces, sender).unwrap();
            assert!(events.recv().await.is_some());
            assert!(running.try_join_next().is_none());
            drop(events);
            assert!(running.join_next().await.is_some(), "nobody listens any more");
        }
    }

    #[test]
    fn what_is_outside_the_watched_namespaces_is_not_told() {
        let watched: [Arc<str>; 1] = ["a".into()];
        for (namespace, told) in [("a", true), ("b", false), ("", true)] {
            let event = SourceEvent::Delete(ObjectRef::new(Kind::Service, namespace, "x"));
            assert_eq!(only_in(&watched, event).is_some(), told, "{namespace:?}");
        }
    }
}
