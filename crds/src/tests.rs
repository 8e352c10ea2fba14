//! The generated files are those of the types.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use kube::CustomResourceExt;
use serde_json::Value;

use crate::ClassParameters;

/// Holds a committed file, named from the workspace's root, equal to what the types make of it; `UPDATE_GENERATED` writes it first.
fn assert_current(file: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        assert!(fs::write(&path, generated).is_ok(), "{} can be written", path.display());
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "{file} is not current; `UPDATE_GENERATED=1 cargo test -p tidegate-crds` writes it anew");
}

#[test]
fn the_manifest_of_class_parameters_is_current_and_in_the_chart() {
    let yaml = serde_saphyr::to_string(&ClassParameters::crd()).unwrap_or_default();
    let manifest = format!("# Generated from crds/src; `UPDATE_GENERATED=1 cargo test -p tidegate-crds` writes it anew.\n{yaml}");
    assert_current("crds/classparameters.yaml", &manifest);
    assert_current("charts/tidegate/files/classparameters.yaml", &manifest);
}

const HEAD: &str = "\
# Parameters of a class

A `ClassParameters` object (`tidegate.dev/v1alpha1`, cluster-scoped) holds defaults for all Ingresses of the classes that point to it. An
Ingress's own [annotations](annotations.md) win, one by one.

```yaml
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata:
  name: public
spec:
  controller: tidegate.dev/ingress-controller
  parameters:
    apiGroup: tidegate.dev
    kind: ClassParameters
    scope: Cluster
    name: public
---
apiVersion: tidegate.dev/v1alpha1
kind: ClassParameters
metadata:
  name: public
spec:
  forceSslRedirect: true
  proxyReadTimeout: 1h
  proxyBodySize: 64Mi
```

The API server refuses values that cannot be understood. Where there is none (`--manifests`), they are told as
[`invalid_parameters`](diagnostics.md), and the object stays as it last was.
Parameters of another kind or with `scope: Namespace` are told as `unsupported_parameters`; the class is then
served with the defaults.

Settings may protect, so a class never serves without those that it names. Parameters that cannot be had (deleted, not readable, never good)
are told as `missing_parameters`: they stay in force as they last were, and where Tidegate has not seen a good version since its start,
every path of the class's Ingresses answers 503 with the reason `no_class_parameters`.

The condition `Accepted` in the status says whether all settings are understood: `True`, or `False` with the code of the diagnostic in upper
camel case as its reason, and its text as message. One replica writes it, for the objects that a class of ours points to; where none points
any more it goes. `--update-status=false` leaves it alone. `kubectl get classparameters` shows it.

## Fields of `spec`

| field | type | meaning |
|---|---|---|
";

#[test]
fn the_page_of_class_parameters_is_current() {
    let crd = serde_json::to_value(ClassParameters::crd()).unwrap_or_default();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let fields = crd.pointer(&format!("{spec}/properties")).and_then(Value::as_object).into_iter().flatten();
    let mut page = format!("<!-- Generated; `UPDATE_GENERATED=1 cargo test -p tidegate-crds` writes it anew. -->\n{HEAD}");
    let mut rows = 0;
    for (name, schema) in fields {
        let text = |key: &str| schema.get(key).and_then(Value::as_str);
        let description = text("description").unwrap_or_default().replace('\n', " ");
        let values = schema.get("enum").and_then(Value::as_array).map(|values| {
            let values: Vec<_> = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect();
            values.join(", ")
        });
        let kind = values.as_deref().or(text("type")).unwrap_or("integer or string");
        assert!(!description.is_empty(), "{name} is described");
        assert!(description.contains("Default: "), "{name} names its default: {description}");
        assert!(writeln!(page, "| `{name}` | {kind} | {description} |").is_ok());
        rows += 1;
    }
    page.push_str("\n## Rules over more than one field\n\n");
    let rules = crd.pointer(&format!("{spec}/x-kubernetes-validations")).and_then(Value::as_array);
    for rule in rules.into_iter().flatten() {
        assert!(writeln!(page, "- {}.", rule.get("message").and_then(Value::as_str).unwrap_or_default()).is_ok());
    }
    assert_eq!(rows, 14, "every field has its row");
    assert_current("docs/class-parameters.md", &page);
}
