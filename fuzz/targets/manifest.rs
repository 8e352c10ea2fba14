//! Manifests as a directory has them: any bytes as a file of YAML or JSON, read to objects with their lines, and taken into a snapshot.
#![no_main]

use std::path::PathBuf;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tidegate::snapshot::Snapshot;
use tidegate::source::directory::{Directory, Stillness};
use tidegate::source::manifest::Manifest;

fuzz_target!(|data: &[u8]| {
    let path = Arc::new(PathBuf::from("a.yaml"));
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    let manifest = Manifest::parse(&path, data);
    for problem in &manifest.problems {
        let line = problem.field.as_deref().and_then(|field| field.strip_prefix("line ")?.parse::<usize>().ok());
        assert!(line.is_none_or(|line| line >= 1), "{problem} of {lines} lines");
    }
    let mut directory = Directory::default();
    directory.put(&path, manifest, Stillness::Still);
    let mut snapshot = Snapshot::new([]);
    for event in directory.events() {
        snapshot.apply(event);
    }
    assert!(snapshot.is_synced());
    // The same file again changes nothing.
    directory.put(&path, Manifest::parse(&path, data), Stillness::Still);
    assert!(directory.events().is_empty());
});
