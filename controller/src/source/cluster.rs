//! Watches an API server: one watch for each kind (and namespace, where only some are watched). Each watch lists, follows, and starts again by
//! itself; what it knew stays until something newer is known.
//!
//! It never loses its footing over content: objects are taken in as JSON and read as their kind one by one, so that one that does not fit costs itself.

mod connect;
mod list;
mod received;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{Api, ApiResource};
use kube::core::DynamicResourceScope;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Resource};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use connect::{ConnectError, Connection, connect};
pub use list::list;
pub use trouble::describe;

use self::list::{Known, Loss};
use self::received::Received;
use self::trouble::{Outlook, Trouble};
use super::body;
use crate::object::{Kind, Object, ObjectRef, Provenance, SourceEvent};

/// How long the API server keeps one watch open; a dead connection is noticed 5 s after that.
const WATCH_SECONDS: u32 = 90;
/// Objects that one page of a list has.
const PAGE: u32 = 500;
/// Secrets that never hold a certificate: Helm's releases (large, and many) and tokens.
const SECRETS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";

/// The receiver of events is gone: there is nobody to watch for.
struct Closed;

/// Watches all kinds, in these namespaces or (if empty) in all. The watches end when the receiver of `events` is dropped, or with the set.
#[must_use]
pub fn watch(client: &Client, namespaces: &[Arc<str>], events: &mpsc::Sender<SourceEvent>) -> JoinSet<()> {
    let mut watches = JoinSet::new();
    for kind in Kind::ALL {
        let scopes: Vec<Option<Arc<str>>> = if namespaces.is_empty() || body::is_cluster_scoped(*kind) {
            vec![None]
        } else {
            namespaces.iter().cloned().map(Some).collect()
        };
        for namespace in scopes {
            let scope = Scope { api: api(client, *kind, namespace.as_deref()), kind: *kind, namespace, events: events.clone() };
            watches.spawn(async move {
                let events = scope.events.clone();
                tokio::select! {
                    _ = scope.run() => {}
                    () = events.closed() => {}
                }
            });
        }
    }
    watches
}

/// Returns the `apiVersion` that a kind is read in.
pub(crate) fn api_version(kind: Kind) -> String {
    let (group, version) = body::group_version(kind);
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Returns the way to the objects of a kind, in a namespace or everywhere.
pub(crate) fn api<K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>>(
    client: &Client,
    kind: Kind,
    namespace: Option<&str>,
) -> Api<K> {
    let (group, version) = body::group_version(kind);
    let plural = match kind {
        Kind::IngressClass => "ingressclasses",
        Kind::ClassParameters => "classparameters",
        Kind::Ingress => "ingresses",
        Kind::Service => "services",
        Kind::EndpointSlice => "endpointslices",
        Kind::Secret => "secrets",
        Kind::File => "files",
    };
    let resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: api_version(kind),
        kind: kind.as_str().into(),
        plural: plural.into(),
    };
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// One watch: a kind in a namespace, or everywhere.
struct Scope {
    api: Api<Received>,
    kind: Kind,
    namespace: Option<Arc<str>>,
    events: mpsc::Sender<SourceEvent>,
}

impl Scope {
    async fn run(&self) -> Result<(), Closed> {
        let mut known = Known::default();
        let mut reader = Reader::new(self.kind);
        let mut trouble = Trouble::new(self.kind, self.namespace.clone());
        loop {
            let config =
                watcher::Config { page_size: Some(PAGE), field_selector: self.selector(), ..Default::default() }.timeout(WATCH_SECONDS);
            let mut stream = std::pin::pin!(watcher(self.api.clone(), config));
            let mut listing = Vec::new();
            while let Some(event) = stream.next().await {
                match event {
                    Ok(watcher::Event::Init) => listing.clear(),
                    Ok(watcher::Event::InitApply(object)) => listing.extend(reader.read(object)),
                    Ok(watcher::Event::InitDone) => {
                        trouble.over();
                        self.listed(std::mem::take(&mut listing), &mut known).await?;
                    }
                    Ok(watcher::Event::Apply(object)) => {
                        trouble.over();
                        if let Some(object) = reader.read(object) {
                            known.insert(&object.reference);
                            self.send(SourceEvent::Apply(Box::new(object))).await?;
                        }
                    }
                    Ok(watcher::Event::Delete(object)) => {
                        trouble.over();
                        let name = reader.reference(&object);
                        known.remove(&name);
                        self.send(SourceEvent::Delete(name)).await?;
                    }
                    Err(error) => {
                        let outlook = trouble.of(&error);
                        if let Outlook::Unavailable(reason) = &outlook
                            && !known.is_listed()
                        {
                            self.send(SourceEvent::Unavailable { kind: self.kind, reason: reason.clone() }).await?;
                        }
                        tokio::time::sleep(trouble.pause()).await;
                        if outlook == Outlook::Expired {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// A list is complete: what is not in it is gone, unless it is so much that the list itself is in doubt.
    async fn listed(&self, mut objects: Vec<Object>, known: &mut Known) -> Result<(), Closed> {
        let mut trouble = Trouble::new(self.kind, self.namespace.clone());
        while let Loss::Doubtful { before, after } = known.loss(&objects) {
            tracing::warn!(kind = %self.kind, namespace = self.namespace.as_deref(), before, after,
                "a new list has lost more than half of what was known; asking again before it counts");
            match list(&self.api, self.selector().as_deref()).await {
                Ok(confirmed) => {
                    let mut reader = Reader::new(self.kind);
                    objects = confirmed.into_iter().filter_map(|object| reader.read(object)).collect();
                    break;
                }
                Err(error) => {
                    trouble.of(&watcher::Error::InitialListFailed(error));
                    tokio::time::sleep(trouble.pause()).await;
                }
            }
        }
        known.replace(&objects);
        self.send(SourceEvent::Replace { kind: self.kind, namespace: self.namespace.clone(), objects }).await
    }

    fn selector(&self) -> Option<String> {
        (self.kind == Kind::Secret).then(|| SECRETS.to_owned())
    }

    async fn send(&self, event: SourceEvent) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }
}

/// Reads a page of a list as an API server sends it. Objects without a name are left out; no API server sends any.
///
/// # Errors
/// It is not a list.
pub fn read_list(kind: Kind, page: &[u8]) -> serde_json::Result<Vec<Object>> {
    let list: kube::core::ObjectList<Received> = serde_json::from_slice(page)?;
    let mut reader = Reader::new(kind);
    Ok(list.items.into_iter().filter_map(|object| reader.read(object)).collect())
}

/// Reads objects as one kind. Neighbours in a list share the text of their namespace.
struct Reader {
    kind: Kind,
    namespace: Arc<str>,
}

impl Reader {
    fn new(kind: Kind) -> Self {
        Self { kind, namespace: Arc::default() }
    }

    fn reference(&mut self, object: &Received) -> ObjectRef {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        if *namespace != *self.namespace {
            self.namespace = namespace.into();
        }
        ObjectRef {
            kind: self.kind,
            namespace: Arc::clone(&self.namespace),
            name: object.metadata.name.as_deref().unwrap_or_default().into(),
        }
    }

    /// `None` if it has no name, which no API server sends.
    fn read(&mut self, object: Received) -> Option<Object> {
        object.metadata.name.as_ref()?;
        let reference = self.reference(&object);
        let Received { metadata, fields } = object;
        let provenance = Provenance::Cluster { uid: metadata.uid.as_deref().unwrap_or_default().into() };
        Some(Object { reference, provenance, body: body::read(self.kind, Value::Object(fields), metadata) })
    }
}

/// The pause before the n-th attempt after a failure, without its jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between attempts, without its jitter (which may double it): an API server that comes back is noticed soon.
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// The pause before a kind that may stay unavailable for long is asked for again.
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(15);

#[cfg(test)]
#[path = "cluster/tests.rs"]
mod tests;
