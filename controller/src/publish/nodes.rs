//! The addresses of nodes that ready Pods run on: where nothing stands before them, as on bare metal with the nodes' own network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder as _;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use tokio::sync::watch;

use super::addresses::sorted;
use crate::source::cluster::describe;

/// The longest pause before what failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// When nodes are asked for again that gave addresses: a cloud may give them others later.
const READ_ANEW: Duration = Duration::from_secs(300);

/// Follows the Pods of a namespace with these labels, and publishes where their nodes are, for as long as somebody looks. Without a ready
/// Pod, what was published stays: status is not taken away because all of them are started anew.
pub(super) async fn follow(client: Client, namespace: Arc<str>, labels: Arc<str>, sender: watch::Sender<Option<Arc<[String]>>>) {
    let pauses = backon::ExponentialBuilder::new().with_jitter().without_max_times().with_max_delay(LONGEST_PAUSE);
    let (mut pause, mut retry) = (pauses.build(), None);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let mut events = std::pin::pin!(watcher(pods, watcher::Config::default().labels(&labels)));
    let (mut seen, mut listing) = (BTreeMap::new(), BTreeMap::new());
    // The nodes that were asked for last; `None` while they have to be asked for again.
    let mut asked: Option<BTreeSet<String>> = None;
    let (mut said, mut watch_failed) = (None, false);
    loop {
        let event = tokio::select! {
            // A watch that failed asks again as soon as it is polled.
            event = events.next(), if !watch_failed => event,
            () = wait(retry) => None,
            () = sender.closed() => return,
        };
        let retried = std::mem::take(&mut watch_failed);
        let failed = match event {
            Some(Ok(event)) => {
                let unfinished = matches!(event, Event::Init | Event::InitApply(_));
                take(event, &mut seen, &mut listing);
                if unfinished {
                    continue;
                }
                None
            }
            Some(Err(error)) => {
                watch_failed = true;
                Some(error.to_string())
            }
            // What the watch says next tells whether it is well.
            None if retried => {
                retry = None;
                continue;
            }
            None => {
                asked = None;
                None
            }
        };
        let nodes: BTreeSet<String> = seen.values().flatten().cloned().collect();
        let found = match failed {
            None if asked.as_ref() == Some(&nodes) => continue,
            None => addresses(&client, &nodes).await,
            Some(problem) => Err(problem),
        };
        match found {
            Ok(found) => {
                (pause, said, retry) = (pauses.build(), None, Some(READ_ANEW));
                asked = Some(nodes);
                if !found.is_empty() {
                    sender.send_if_modified(|now| now.replace(Arc::clone(&found)) != Some(found));
                }
            }
            Err(problem) => {
                if said.as_ref() != Some(&problem) {
                    tracing::warn!(pods = %format_args!("{namespace}/{labels}"), error = problem, "the nodes of Pods give no address; status stays as it is");
                    said = Some(problem);
                }
                (asked, retry) = (None, Some(pause.next().unwrap_or(LONGEST_PAUSE)));
            }
        }
    }
}

/// Waits for a pause, or for ever.
async fn wait(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// Takes in what a watch tells: the node of each Pod that is ready, by the Pod's name.
fn take(event: Event<Pod>, seen: &mut BTreeMap<String, Option<String>>, listing: &mut BTreeMap<String, Option<String>>) {
    match event {
        Event::Init => listing.clear(),
        Event::InitApply(pod) => drop(listing.insert(pod.name_any(), node(&pod))),
        Event::InitDone => *seen = std::mem::take(listing),
        Event::Apply(pod) => drop(seen.insert(pod.name_any(), node(&pod))),
        Event::Delete(pod) => drop(seen.remove(&pod.name_any())),
    }
}

/// Returns the node of a Pod that is ready and is not about to end.
fn node(pod: &Pod) -> Option<String> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    pod.spec.as_ref()?.node_name.clone().filter(|_| ready && pod.metadata.deletion_timestamp.is_none())
}

/// Asks for nodes, and returns the addresses of all.
async fn addresses(client: &Client, wanted: &BTreeSet<String>) -> Result<Arc<[String]>, String> {
    let nodes = Api::<Node>::all(client.clone());
    let mut found = Vec::new();
    for name in wanted {
        // One that is gone takes its Pods with it.
        if let Some(node) = nodes.get_opt(name).await.map_err(|error| describe(&error))? {
            found.extend(of_node(&node));
        }
    }
    if found.is_empty() && !wanted.is_empty() {
        return Err("no node that a ready Pod runs on has an address".to_owned());
    }
    Ok(sorted(found))
}

/// Returns the addresses that clients reach a node at: its external ones, else its internal ones.
fn of_node(node: &Node) -> Vec<String> {
    let all = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let of = |kind: &str| all.clone().filter(|address| address.type_ == kind).map(|address| address.address.clone()).collect::<Vec<_>>();
    let external = of("ExternalIP");
    if external.is_empty() { of("InternalIP") } else { external }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::super::fake::FakeApi;
    use super::*;

    #[test]
    fn a_pod_counts_while_it_is_ready_and_not_about_to_end() {
        let pod = |ready: &str, deleted: Option<&str>| -> Pod {
            serde_json::from_value(json!({
                "metadata": { "deletionTimestamp": deleted }, "spec": { "nodeName": "n", "containers": [] },
                "status": { "conditions": [{ "type": "Initialized", "status": "True" }, { "type": "Ready", "status": ready }] },
            }))
            .unwrap()
        };
        assert_eq!(node(&pod("True", None)).as_deref(), Some("n"));
        assert_eq!(node(&pod("False", None)), None);
        assert_eq!(node(&pod("True", Some("2026-01-01T00:00:00Z"))), None);
        assert_eq!(node(&Pod::default()), None);
    }

    #[test]
    fn a_node_is_reached_from_outside_if_it_can_be() {
        let node =
            |addresses: serde_json::Value| -> Node { serde_json::from_value(json!({ "status": { "addresses": addresses } })).unwrap() };
        let inside = json!({ "type": "InternalIP", "address": "10.0.0.1" });
        let outside = json!({ "type": "ExternalIP", "address": "203.0.113.1" });
        let name = json!({ "type": "Hostname", "address": "n" });
        assert_eq!(of_node(&node(json!([inside, outside, name]))), ["203.0.113.1"]);
        assert_eq!(of_node(&node(json!([inside, name]))), ["10.0.0.1"]);
        assert_eq!(of_node(&node(json!([name]))), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_refuses_is_asked_less_and_less_often() {
        let (api, client) = FakeApi::new();
        api.break_with(Some(http::StatusCode::INTERNAL_SERVER_ERROR));
        let (sender, receiver) = watch::channel(None);
        let following = tokio::spawn(follow(client, "edge".into(), "app=tidegate".into(), sender));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let asked = api.requests().len();
        assert!((2..=10).contains(&asked), "{asked} requests in a minute");
        drop(receiver);
        following.await.unwrap();
    }
}
