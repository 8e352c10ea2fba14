//! What an administrator installs in a cluster along with Tidegate.

use tidegate_tests::cluster::Cluster;
use tidegate_tests::object::Document;

/// What Tidegate's user may do; the chart's role, by hand until there is one.
const ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: tidegate}
rules:
- {apiGroups: [networking.k8s.io], resources: [ingresses, ingressclasses], verbs: [get, list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses/status], verbs: [get, patch, update]}
- {apiGroups: [\"\"], resources: [services, secrets], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
- {apiGroups: [tidegate.dev], resources: [classparameters], verbs: [get, list, watch]}
- {apiGroups: [tidegate.dev], resources: [classparameters/status], verbs: [get, patch, update]}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, update, patch]}
- {apiGroups: [\"\", events.k8s.io], resources: [events], verbs: [create, patch, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: tidegate}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: tidegate}
subjects: [{kind: ServiceAccount, name: tidegate, namespace: tidegate}]
";

/// Puts it in place.
pub(crate) async fn install(cluster: &Cluster) -> anyhow::Result<()> {
    for document in Document::all(ROLE)? {
        document.apply(&cluster.client(), "default").await?;
    }
    Ok(())
}
