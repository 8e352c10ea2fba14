//! What Tidegate may do: what the chart gives it, read from the golden of its defaults, which the chart's tests hold equal to what helm
//! renders. What the chart gives in the release's namespace, rights on the Lease above all, is given in a test's own.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cluster::User;
use crate::object::Document;

/// Name of the Lease that the Tidegates of a site elect by.
pub const LEASE: &str = "tidegate";

/// What the chart gives.
#[derive(Debug, Clone)]
pub struct Rights {
    /// In the whole cluster.
    pub cluster: Vec<Value>,
    /// In the release's namespace, which the Lease is in.
    pub namespace: Vec<Value>,
}

impl Rights {
    /// Reads what the chart gives by default.
    ///
    /// # Errors
    /// As for [`Rights::of_case`].
    pub fn of_the_chart() -> anyhow::Result<Self> {
        Self::of_case("defaults")
    }

    /// Reads what the chart gives with the values of one of its tests' cases.
    ///
    /// # Errors
    /// The golden is not there, or has other roles than one ClusterRole and one Role.
    pub fn of_case(name: &str) -> anyhow::Result<Self> {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/chart/cases/{name}.golden.yaml"));
        let text = std::fs::read_to_string(&golden).with_context(|| golden.display().to_string())?;
        let rules = |kind: &str| -> anyhow::Result<Vec<Value>> {
            let mut roles = Document::all(&text)?;
            roles.retain(|document| document.kind == kind);
            let [role] = &roles[..] else { anyhow::bail!("{} of the kind {kind}", roles.len()) };
            role.object.data["rules"].as_array().cloned().context("a role without rules")
        };
        Ok(Self { cluster: rules("ClusterRole")?, namespace: rules("Role")? })
    }

    /// Leaves out the rules for which this holds.
    #[must_use]
    pub fn without(mut self, left_out: impl Fn(&Value) -> bool) -> Self {
        self.cluster.retain(|rule| !left_out(rule));
        self.namespace.retain(|rule| !left_out(rule));
        self
    }

    /// Returns every single right: its rule and its verb.
    #[must_use]
    pub fn each(&self) -> Vec<(Value, String)> {
        let all = self.cluster.iter().chain(&self.namespace);
        all.flat_map(|rule| {
            let verbs = rule["verbs"].as_array().cloned().unwrap_or_default();
            verbs.into_iter().filter_map(|verb| Some((rule.clone(), verb.as_str()?.to_owned()))).collect::<Vec<_>>()
        })
        .collect()
    }

    /// Leaves out a single right.
    #[must_use]
    pub fn without_verb(mut self, rule: &Value, verb: &str) -> Self {
        for known in self.cluster.iter_mut().chain(&mut self.namespace).filter(|known| *known == rule) {
            if let Some(verbs) = known["verbs"].as_array_mut() {
                verbs.retain(|known| known != verb);
            }
        }
        // A rule without verbs is none.
        self.without(|rule| rule["verbs"] == json!([]))
    }

    /// Returns the ClusterRole of a user, with its binding.
    #[must_use]
    pub fn cluster_role(&self, user: User) -> String {
        role("ClusterRole", user, &self.cluster)
    }

    /// Returns the Role of a user in the namespace that it is applied to, with its binding, and the Lease there, which the chart makes.
    #[must_use]
    pub fn role(&self, user: User) -> String {
        let mut rules = self.namespace.clone();
        for rule in rules.iter_mut().filter(|rule| rule["resourceNames"].is_array()) {
            rule["resourceNames"] = json!([LEASE]);
        }
        let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": LEASE } });
        format!("{}\n---\n{lease}\n", role("Role", user, &rules))
    }
}

fn role(kind: &str, user: User, rules: &[Value]) -> String {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let name = user.name().replace([':'], "-");
    let role = json!({ "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": { "name": name }, "rules": rules });
    let binding = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": format!("{kind}Binding"), "metadata": { "name": name },
        "roleRef": { "apiGroup": GROUP, "kind": kind, "name": name },
        "subjects": [{ "apiGroup": GROUP, "kind": "User", "name": user.name() }],
    });
    format!("{role}\n---\n{binding}\n")
}
