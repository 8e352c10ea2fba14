//! The shape of the house: who may depend on whom, and what may not be in the product at all.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Returns the names of all packages that a package is built with; development dependencies are left out.
fn tree(package: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", "--package", package])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_proxy_knows_nothing_of_kubernetes() {
    let tree = tree("tidegate-proxy");
    assert!(tree.contains("hyper"), "the walk over the dependency tree finds nothing");
    for banned in
        ["kube", "kube-client", "kube-core", "k8s-openapi", "clap", "saphyr", "serde_yaml", "serde_yaml_ng", "tidegate", "tidegate-crds"]
    {
        assert!(!tree.contains(banned), "tidegate-proxy depends on {banned}");
    }
}

#[test]
fn custom_resources_depend_on_neither_controller_nor_proxy() {
    let tree = tree("tidegate-crds");
    assert!(!tree.contains("tidegate") && !tree.contains("tidegate-proxy"), "{tree:?}");
}

#[test]
fn there_is_one_crypto_provider() {
    let tree = tree("tidegate");
    assert!(tree.contains("aws-lc-rs"));
    for banned in ["ring", "openssl-sys", "native-tls"] {
        assert!(!tree.contains(banned), "tidegate is built with {banned}");
    }
}
