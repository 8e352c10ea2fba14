#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;

use super::*;
use crate::object::{Body, SourceEvent};

fn service(name: &str, port: u16) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n")
}

fn told(events: &[SourceEvent]) -> Vec<String> {
    let port = |object: &crate::object::Object| match &object.body {
        Ok(Body::Service(service)) => service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0].port,
        Ok(_) | Err(_) => 0,
    };
    let mut all = Vec::new();
    for event in events {
        match event {
            SourceEvent::Apply(object) => all.push(format!("+{} {}", object.reference.name, port(object))),
            SourceEvent::Delete(name) => all.push(format!("-{}", name.name)),
            SourceEvent::Replace { objects, .. } => all.extend(objects.iter().map(|o| format!("={} {}", o.reference.name, port(o)))),
            SourceEvent::Unavailable { .. } | SourceEvent::Resolved { .. } => all.push("unavailable".into()),
            SourceEvent::File { problems, .. } => all.push(format!("{} problems", problems.len())),
        }
    }
    all
}

/// A directory on disk, a scanner of it, and a clock that the test moves.
struct Bench {
    root: tempfile::TempDir,
    scanner: Scanner,
    now: Instant,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(root.path().join(name), text).unwrap();
        }
        let (scanner, _) = Scanner::start(root.path()).unwrap();
        Self { root, scanner, now: Instant::now() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    /// Lets time pass, then looks.
    fn after(&mut self, ms: u64) -> Vec<String> {
        self.now += Duration::from_millis(ms);
        told(&self.scanner.scan(self.now))
    }
}

#[test]
fn a_file_that_is_truncated_and_then_written_loses_nothing() {
    let mut bench = Bench::new(&[("a.yaml", &service("one", 1))]);
    bench.write("a.yaml", "");
    assert!(bench.after(0).is_empty());
    assert!(bench.after(200).is_empty());
    bench.write("a.yaml", &service("one", 22));
    assert!(bench.after(0).is_empty());
    assert!(bench.after(200).is_empty());
    assert_eq!(bench.after(50), ["+one 22"]);
}

#[test]
fn a_file_that_stays_truncated_loses_its_objects_when_it_has_been_still() {
    let mut bench = Bench::new(&[("a.yaml", &service("one", 1))]);
    bench.write("a.yaml", "");
    assert!(bench.after(0).is_empty());
    assert!(bench.scanner.idle(bench.now) <= QUIET);
    assert!(bench.after(249).is_empty());
    assert_eq!(bench.after(1), ["-one"]);
    assert_eq!(bench.scanner.idle(bench.now), POLL);
}

#[test]
fn a_half_written_object_is_not_taken_for_a_whole_one() {
    let mut bench = Bench::new(&[("a.yaml", &format!("{}---\n{}", service("one", 1), service("two", 2)))]);
    bench.write("a.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: one}\n");
    assert!(bench.after(0).is_empty());
    bench.write("a.yaml", &format!("{}---\n{}", service("one", 10), service("two", 2)));
    assert!(bench.after(100).is_empty());
    assert_eq!(bench.after(250), ["+one 10"]);
}

#[test]
fn a_file_renamed_over_another_is_followed() {
    let mut bench = Bench::new(&[("a.yaml", &service("one", 1))]);
    bench.write(".a.yaml.tmp", &service("one", 2));
    fs::rename(bench.at(".a.yaml.tmp"), bench.at("a.yaml")).unwrap();
    assert!(bench.after(0).is_empty());
    assert_eq!(bench.after(250), ["+one 2"]);
}

#[test]
fn a_backup_and_recreate_loses_nothing() {
    let mut bench = Bench::new(&[("a.yaml", &service("one", 1))]);
    fs::rename(bench.at("a.yaml"), bench.at("a.yaml~")).unwrap();
    assert!(bench.after(0).is_empty());
    bench.write("a.yaml", &service("one", 2));
    assert!(bench.after(100).is_empty());
    assert_eq!(bench.after(250), ["+one 2"]);
}

#[test]
fn a_swapped_link_to_a_directory_of_data_is_followed() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    for (version, port) in [("..v1", 1), ("..v2", 2)] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("a.yaml"), service("one", port)).unwrap();
    }
    fs::write(at("..v2").join("b.yaml"), service("two", 2)).unwrap();
    std::os::unix::fs::symlink("..v1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let (mut scanner, first) = Scanner::start(root.path()).unwrap();
    assert_eq!(told(&first), ["=one 1"]);
    std::os::unix::fs::symlink("..v2", at("..tmp")).unwrap();
    fs::rename(at("..tmp"), at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/b.yaml", at("b.yaml")).unwrap();
    let now = Instant::now();
    assert!(scanner.scan(now).is_empty());
    assert_eq!(told(&scanner.scan(now + QUIET)), ["+one 2", "+two 2"]);
}

#[test]
fn a_file_that_never_rests_is_taken_for_what_it_adds_alone() {
    let mut bench = Bench::new(&[("a.yaml", &service("one", 1))]);
    let mut told = Vec::new();
    for round in 0..25 {
        bench.write("a.yaml", &service("two", 100 + round));
        told.extend(bench.after(100));
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("+two"), "{told:?}");
    let rest = bench.after(250);
    assert!(rest.contains(&"-one".to_owned()), "{rest:?}");
}

#[test]
fn a_file_that_fails_to_parse_keeps_its_objects() {
    let mut bench = Bench::new(&[("a.yaml", &service("one", 1))]);
    bench.write("a.yaml", "kind: [");
    bench.after(0);
    assert_eq!(bench.after(250), ["1 problems"]);
    bench.write("a.yaml", &service("one", 2));
    bench.after(0);
    assert_eq!(bench.after(250), ["+one 2", "0 problems"]);
}

#[test]
fn a_directory_that_goes_away_keeps_its_objects() {
    let mut bench = Bench::new(&[("a.yaml", &service("one", 1))]);
    let aside = bench.root.path().with_extension("aside");
    fs::rename(bench.root.path(), &aside).unwrap();
    assert_eq!(bench.after(1000), ["1 problems"]);
    assert!(bench.after(1000).is_empty());
    fs::rename(&aside, bench.root.path()).unwrap();
    assert_eq!(bench.after(1000), ["0 problems"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_directory_is_followed_as_it_is_written_to() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.yaml"), service("one", 1)).unwrap();
    let (sender, mut events) = mpsc::channel(100);
    follow(root.path(), sender).unwrap();
    let mut next = async || told(&[tokio::time::timeout(Duration::from_secs(20), events.recv()).await.unwrap().unwrap()]);
    let mut first = Vec::new();
    for _ in crate::object::Kind::ALL {
        first.extend(next().await);
    }
    assert_eq!(first, ["=one 1"]);
    let began = Instant::now();
    fs::write(root.path().join("b.yaml"), service("two", 2)).unwrap();
    assert_eq!(next().await, ["+two 2"]);
    assert!(began.elapsed() >= QUIET && began.elapsed() < POLL, "told by notification, not by polling: {:?}", began.elapsed());
    fs::remove_file(root.path().join("a.yaml")).unwrap();
    assert_eq!(next().await, ["-one"]);
}

#[test]
fn a_directory_that_cannot_be_looked_at_costs_itself() {
    let mut bench = Bench::new(&[("a.yaml", &service("one", 1))]);
    fs::create_dir(bench.at("private")).unwrap();
    bench.write("private/b.yaml", &service("two", 2));
    assert!(bench.after(0).is_empty());
    assert_eq!(bench.after(250), ["+two 2"]);
    let closed = |bench: &Bench| {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        Listing { files: vec![bench.at("a.yaml")], unreadable: vec![(bench.at("private"), denied)] }
    };
    bench.write("a.yaml", &service("one", 11));
    let mut seen = Vec::new();
    for _ in 0..4 {
        bench.now += IMPATIENCE;
        let listing = closed(&bench);
        seen.extend(told(&bench.scanner.look(listing, bench.now)));
    }
    assert_eq!(seen, ["1 problems", "+one 11"], "the rest is followed, and what it held stays");
    fs::remove_dir_all(bench.at("private")).unwrap();
    assert_eq!(bench.after(0), ["0 problems"]);
    assert_eq!(bench.after(250), ["-two"]);
}

#[test]
fn a_file_that_is_listed_and_cannot_be_looked_at_keeps_its_objects() {
    let mut bench = Bench::new(&[("a.yaml", &service("one", 1))]);
    fs::create_dir(bench.at("inner")).unwrap();
    bench.write("inner/b.yaml", &service("two", 2));
    assert!(bench.after(0).is_empty());
    assert_eq!(bench.after(250), ["+two 2"]);
    // A file in the place of the directory: what is below it is not missing, it cannot be asked for.
    fs::rename(bench.at("inner"), bench.at("outer")).unwrap();
    bench.write("inner", "");
    let mut seen = Vec::new();
    for _ in 0..4 {
        bench.now += IMPATIENCE;
        let listing = Listing { files: vec![bench.at("a.yaml"), bench.at("inner/b.yaml")], unreadable: Vec::new() };
        seen.extend(told(&bench.scanner.look(listing, bench.now)));
    }
    assert_eq!(seen, ["1 problems"]);
    fs::remove_file(bench.at("inner")).unwrap();
    fs::rename(bench.at("outer"), bench.at("inner")).unwrap();
    assert_eq!(bench.after(0), ["0 problems"]);
}

#[test]
fn a_directory_that_cannot_be_listed_is_told_and_the_rest_is_read() {
    // Longer than a path may be, and so not to be listed, also by root. It is made of two that are not.
    let root = tempfile::tempdir().unwrap();
    let deep = |first: &str| (0..10).fold(root.path().join(first), |path, _| path.join("d".repeat(220)));
    let (inner, outer) = (deep("inner"), deep("outer"));
    fs::create_dir_all(&inner).unwrap();
    fs::create_dir_all(&outer).unwrap();
    fs::rename(root.path().join("inner"), outer.join("inner")).unwrap();
    fs::write(root.path().join("a.yaml"), service("one", 1)).unwrap();
    let (_, events) = Scanner::start(root.path()).unwrap();
    assert_eq!(told(&events), ["=one 1", "1 problems"]);
}
