#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::source::directory::{Directory, Stillness};
use crate::source::manifest::Manifest;

/// A certificate and its key, both PEM.
struct Pem {
    chain: String,
    key: String,
    key_der: Vec<u8>,
}

fn pem(host: &str) -> Pem {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    Pem { chain: made.cert.pem(), key: made.signing_key.serialize_pem(), key_der: made.signing_key.serialize_der() }
}

fn secret(name: &str, chain: &str, key: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": { "tls.crt": chain, "tls.key": key, "more": key } })
}

fn ingress(secrets: &[&str]) -> Value {
    let tls: Vec<_> = secrets.iter().map(|name| json!({ "hosts": ["a.test"], "secretName": name })).collect();
    let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
    let paths = json!([{ "path": "/", "pathType": "Prefix", "backend": backend }]);
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": { "name": "web", "annotations": { "tidegate.dev/permanent-redirect": "/new", "tidegate.dev/permanent-redirect-code": "308" } },
        "spec": { "tls": tls, "rules": [{ "host": "a.test", "http": { "paths": paths } }, { "host": "a b" }] },
    })
}

/// The snapshot after a file was each of these, one after the other.
fn snapshot(versions: &[&[Value]]) -> Snapshot {
    let (mut directory, mut snapshot) = (Directory::default(), Snapshot::default());
    let path = Arc::new(PathBuf::from("all.yaml"));
    for objects in versions {
        let text = json!({ "apiVersion": "v1", "kind": "List", "items": objects }).to_string();
        directory.put(&path, Manifest::parse(&path, text.as_bytes()), Stillness::Still);
        for event in directory.events() {
            snapshot.apply(event);
        }
    }
    snapshot
}

/// Whether a document shows some part of a key, as text or as what programs print bytes as.
fn shows(document: &str, pem: &Pem) -> bool {
    let base64: String = pem.key.lines().filter(|line| !line.starts_with("-----")).collect();
    let of_text = base64.as_bytes().windows(10).any(|part| document.contains(std::str::from_utf8(part).unwrap()));
    let of_bytes = pem.key_der.windows(8).any(|part| {
        let decimal = part.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let hexadecimal: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        document.contains(&decimal) || document.contains(&hexadecimal)
    });
    of_text || of_bytes
}

#[test]
fn no_private_key_is_in_a_saved_snapshot_wherever_it_stood() {
    let (good, other) = (pem("a.test"), pem("b.test"));
    let ingress = ingress(&["good", "swapped", "twice", "mixed", "broken"]);
    let first = [
        ingress.clone(),
        secret("good", &good.chain, &good.key),
        secret("swapped", &good.key, &good.chain),
        secret("twice", &other.key, &other.key),
        secret("mixed", &other.chain, &good.key),
        secret("broken", &other.chain, &other.key),
        secret("unnamed", &other.chain, &other.key),
    ];
    let second = [
        ingress,
        secret("broken", &other.chain, other.key.get(..100).unwrap()),
        secret("unnamed", &other.key, &other.key),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "twice" }, "data": { "tls.key": other.key } }),
    ];
    for versions in [&[&first[..]][..], &[&first, &second]] {
        let document = serde_json::to_string(&snapshot(versions).save()).unwrap();
        assert!(document.contains("\"a.test\"") && document.contains("fingerprint"), "{document}");
        assert!(!document.contains("PRIVATE KEY") && !shows(&document, &good) && !shows(&document, &other), "{document}");
    }
    for form in [json!(good.key).to_string(), json!(good.key_der).to_string(), good.key_der.iter().map(|b| format!("{b:02x}")).collect()] {
        assert!(shows(&form, &good), "a key would not be found in {form}");
    }
}

#[test]
fn a_document_that_is_damaged_or_of_another_format_is_refused_by_its_field() {
    let good = pem("a.test");
    let saved = json!(snapshot(&[&[ingress(&["good"]), secret("good", &good.chain, &good.key)]]).save());
    assert!(Snapshot::load(saved.to_string().as_bytes()).is_ok());
    let set = |pointer: &str, value: Value| {
        let mut damaged = saved.clone();
        *damaged.pointer_mut(pointer).unwrap_or_else(|| unreachable!("{pointer} is not in {saved:#}")) = value;
        damaged.to_string()
    };
    let without = |pointer: &str, field: &str| {
        let mut damaged = saved.clone();
        assert!(damaged.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(field).is_some());
        damaged.to_string()
    };
    // The Ingress has a rule that cannot be read, so that nothing of it is good.
    let ingress = "/ingresses/0/versions/read/current";
    let at = |rest: &str| format!("{ingress}{rest}");
    let mut twice = saved.clone();
    let again = twice.pointer("/ingresses/0").unwrap().clone();
    twice.pointer_mut("/ingresses").unwrap().as_array_mut().unwrap().push(again);
    let mut with_colour = saved.clone();
    with_colour.pointer_mut("/ingresses/0").unwrap().as_object_mut().unwrap().insert("colour".to_owned(), json!("red"));
    let text = saved.to_string();
    for (document, field, reason) in [
        (set("/format", json!(2)), "format", "it is of format 2; this version of Tidegate reads format 1"),
        (json!({ "format": 2, "objects": [] }).to_string(), "format", "it is of format 2"),
        (set("/format", json!("one")), "format", "invalid type"),
        (without("", "format"), ".", "missing field `format`"),
        (without("", "secrets"), ".", "missing field `secrets`"),
        (set("/ingresses", json!(null)), "ingresses", "invalid type"),
        (with_colour.to_string(), "ingresses[0].colour", "unknown field `colour`"),
        (without("/ingresses/0", "name"), "ingresses[0]", "missing field `name`"),
        (set("/ingresses/0/versions", json!({ "best": {} })), "ingresses[0].versions", "unknown variant `best`"),
        (set(&at("/rules/0/host"), json!("a b")), "ingresses[0].versions.read.current.rules[0].host", "\"a b\" is not a host name"),
        (set(&at("/rules/0/paths/0/path/prefix"), json!("x")), "ingresses[0].versions.read.current.rules[0].paths[0].path.prefix", "slash"),
        (
            set(&at("/rules/0/paths/0/backend/service/port/number"), json!(70_000)),
            "ingresses[0].versions.read.current.rules[0].paths[0].backend.service.port.number",
            "70000",
        ),
        (
            set(&at("/policy/permanent_redirect_code"), json!(9)),
            "ingresses[0].versions.read.current.policy.permanent_redirect_code",
            "invalid status code",
        ),
        (
            set(&at("/policy/permanent_redirect"), json!("a\nb")),
            "ingresses[0].versions.read.current.policy.permanent_redirect",
            "header value",
        ),
        (set(&at("/findings/0/code"), json!("no_such")), "ingresses[0].versions.read.current.findings[0].code", "\"no_such\" is no code"),
        (set("/secrets/0/versions/good/certificate/not_after", json!("soon")), "secrets[0].versions.good", "not_after"),
        (twice.to_string(), "ingresses[1]", "Ingress default/web is there twice"),
        (text.get(..text.len() / 2).unwrap().to_owned(), "", "EOF"),
        (format!("{text}{text}"), ".", "trailing characters"),
        (String::new(), ".", "EOF"),
        ("apiVersion: v1".to_owned(), ".", "expected value"),
    ] {
        let error = Snapshot::load(document.as_bytes()).unwrap_err();
        assert!((field.is_empty() || error.field == field) && error.reason.contains(reason), "{field}, {reason:?}: {error:?}");
    }
}
