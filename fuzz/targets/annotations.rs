//! Annotations of an Ingress: lines of `name=value`, a name without a slash being one of ours.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use tidegate::annotations::parse;
use tidegate::object::{Kind, ObjectRef};

fuzz_target!(|text: &str| {
    let mut annotations = BTreeMap::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let value = value.replace("\\n", "\n").replace("\\r", "\r");
        if name.contains('/') {
            annotations.insert(name.to_owned(), value);
        } else if let Some(name) = name.strip_prefix('+') {
            annotations.insert(format!("tidegate.dev/{name}"), value);
        } else {
            annotations.insert(format!("nginx.ingress.kubernetes.io/{name}"), value);
        }
    }
    let object = ObjectRef::new(Kind::Ingress, "ns", "name");
    let read = parse(&object, &annotations);
    assert_eq!(parse(&object, &annotations), read, "the same annotations read the same");
    assert!(read.diagnostics.is_sorted());
    assert!(read.diagnostics.iter().all(|diagnostic| diagnostic.object == object));
});
