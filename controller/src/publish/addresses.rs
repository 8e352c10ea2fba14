//! The addresses that the status of Ingresses carries: given by flag, those of a Service, or those of nodes.

use std::sync::Arc;

use backon::BackoffBuilder as _;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::watch_object;
use tokio::sync::watch;

use super::nodes;

/// Where the addresses in status come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addresses {
    /// These: IP addresses or DNS names.
    Given(Vec<String>),
    /// Those of a Service: namespace and name.
    Service(Arc<str>, Arc<str>),
    /// Those of the nodes that ready Pods run on: the namespace of the Pods, and their labels.
    Nodes(Arc<str>, Arc<str>),
}

/// The addresses as they are now; `None` until they are known.
pub(super) type Published = watch::Receiver<Option<Arc<[String]>>>;

impl Addresses {
    /// Follows the addresses for as long as somebody looks at them.
    pub(super) fn follow(self, client: &Client) -> Published {
        match self {
            Self::Given(given) => watch::Sender::new(Some(sorted(given))).subscribe(),
            Self::Service(namespace, name) => {
                let (sender, receiver) = watch::channel(None);
                tokio::spawn(follow_service(Api::namespaced(client.clone(), &namespace), namespace, name, sender));
                receiver
            }
            Self::Nodes(namespace, labels) => {
                let (sender, receiver) = watch::channel(None);
                tokio::spawn(nodes::follow(client.clone(), namespace, labels, sender));
                receiver
            }
        }
    }
}

async fn follow_service(services: Api<Service>, namespace: Arc<str>, name: Arc<str>, sender: watch::Sender<Option<Arc<[String]>>>) {
    let pauses = backon::ExponentialBuilder::new().with_jitter().without_max_times().with_max_delay(std::time::Duration::from_secs(30));
    let mut pause = pauses.build();
    let mut stream = std::pin::pin!(watch_object(services, &name));
    let mut said = None;
    loop {
        let next = tokio::select! {
            next = stream.next() => next,
            () = sender.closed() => return,
        };
        let problem = match next {
            Some(Ok(Some(service))) => {
                pause = pauses.build();
                match known(&service) {
                    Some(found) => {
                        said = None;
                        sender.send_if_modified(|now| {
                            let changed = now.as_ref() != Some(&found);
                            *now = Some(found);
                            changed
                        });
                    }
                    None => say(&namespace, &name, "it has no address yet".to_owned(), &mut said),
                }
                continue;
            }
            // What was published stays: a Service that is made anew must not take every Ingress's status with it.
            Some(Ok(None)) => "the Service does not exist".to_owned(),
            Some(Err(error)) => error.to_string(),
            None => return,
        };
        say(&namespace, &name, problem, &mut said);
        tokio::time::sleep(pause.next().unwrap_or_default()).await;
    }
}

fn say(namespace: &str, name: &str, problem: String, said: &mut Option<String>) {
    if said.as_ref() != Some(&problem) {
        tracing::warn!(service = %format_args!("{namespace}/{name}"), error = problem, "the published Service gives no address; status stays as it is");
        *said = Some(problem);
    }
}

/// Returns the addresses of a Service; `None` while it has none, as one has that was just made, also anew: what was published stays.
fn known(service: &Service) -> Option<Arc<[String]>> {
    Some(sorted(of_service(service))).filter(|addresses| !addresses.is_empty())
}

pub(super) fn sorted(mut addresses: Vec<String>) -> Arc<[String]> {
    addresses.sort();
    addresses.dedup();
    addresses.into()
}

/// Returns the addresses that clients reach a Service at, by its type.
fn of_service(service: &Service) -> Vec<String> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let external = spec.external_ips.clone().unwrap_or_default();
    let cluster = || spec.cluster_ips.iter().flatten().filter(|ip| *ip != "None" && !ip.is_empty()).cloned().collect();
    match spec.type_.as_deref() {
        Some("ExternalName") => spec.external_name.iter().cloned().collect(),
        Some("LoadBalancer") => {
            let balancer = service.status.iter().filter_map(|status| status.load_balancer.as_ref()?.ingress.as_ref()).flatten();
            let address = |point: &k8s_openapi::api::core::v1::LoadBalancerIngress| point.ip.clone().or_else(|| point.hostname.clone());
            balancer.filter_map(address).filter(|address| !address.is_empty()).chain(external).collect()
        }
        Some("NodePort") if !external.is_empty() => external,
        Some(_) | None => cluster(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_service_without_an_address_leaves_what_was_published() {
        let service = |status: &str| Service {
            spec: serde_json::from_str(r#"{"type":"LoadBalancer","clusterIPs":["10.0.0.1"]}"#).unwrap(),
            status: serde_json::from_str(status).unwrap(),
            ..Service::default()
        };
        assert_eq!(known(&service("{}")), None);
        let balanced = known(&service(r#"{"loadBalancer":{"ingress":[{"ip":"192.0.2.9"}]}}"#)).unwrap();
        assert_eq!(*balanced, ["192.0.2.9"]);
    }

    #[test]
    fn a_service_is_reached_at_what_its_type_says() {
        for (spec, status, expected) in [
            (r#"{"type":"ClusterIP","clusterIPs":["10.0.0.1","fd00::1"]}"#, "{}", &["10.0.0.1", "fd00::1"][..]),
            (r#"{"type":"ClusterIP","clusterIPs":["None"]}"#, "{}", &[]),
            (r#"{"type":"NodePort","clusterIPs":["10.0.0.1"]}"#, "{}", &["10.0.0.1"]),
            (r#"{"type":"NodePort","clusterIPs":["10.0.0.1"],"externalIPs":["192.0.2.1"]}"#, "{}", &["192.0.2.1"]),
            (r#"{"type":"ExternalName","externalName":"lb.example.com"}"#, "{}", &["lb.example.com"]),
            (r#"{"type":"LoadBalancer","clusterIPs":["10.0.0.1"]}"#, "{}", &[]),
            (
                r#"{"type":"LoadBalancer","externalIPs":["192.0.2.1"]}"#,
                r#"{"loadBalancer":{"ingress":[{"hostname":"lb.example.com"},{"ip":"192.0.2.9"}]}}"#,
                &["192.0.2.1", "192.0.2.9", "lb.example.com"],
            ),
        ] {
            let service =
                Service { spec: serde_json::from_str(spec).unwrap(), status: serde_json::from_str(status).unwrap(), ..Service::default() };
            assert_eq!(*sorted(of_service(&service)), *expected, "{spec}");
        }
    }
}
