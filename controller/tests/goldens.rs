//! Goldens: a folder of manifests in, the table, the endpoints and the diagnostics out.
//!
//! A folder of `goldens/` is a case. Its YAML files, by name, are the directory's one file as it changes; `expected.json` holds what
//! came of each. The snapshot of each, saved and loaded, must come to the same. `UPDATE_GOLDENS=1` writes it anew: then read the difference before it is committed. Comments of the input say what
//! YAML cannot:
//!
//! - `# flags: --ingress-class x --default-backend ns/name:80 ...` as on the command line;
//! - `# source: cluster`: the objects come from an API server;
//! - `# resolve: NAME ADDRESS,ADDRESS CODE TEXT`: what a DNS name resolves to (`-` is nothing) and, if anything, what is wrong;
//! - `@chain(NAME,NAME;DAYS)` and `@key(...)`: a certificate made at run time that ends so many days after the test's now, and its
//!   key. Its fingerprint stands as `fingerprint of NAME,NAME;DAYS`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tidegate::diagnostic::{Code, Diagnostic};
use tidegate::object::{Kind, ObjectRef, Provenance, SourceEvent};
use tidegate::snapshot::{PortRef, Snapshot};
use tidegate::source::directory::{Directory, Stillness};
use tidegate::source::manifest::Manifest;
use tidegate::translate::{DefaultBackend, Options, Translator};
use tidegate_proxy::state::State;
use tidegate_proxy::table::{Table, TableDump};

/// Certificates by the text that asks for them, for all cases of a run.
#[derive(Default)]
struct Certificates(BTreeMap<String, support::Pem>);

impl Certificates {
    fn get(&mut self, wanted: &str) -> &support::Pem {
        self.0.entry(wanted.to_owned()).or_insert_with(|| {
            let (names, days) = wanted.split_once(';').unwrap_or_else(|| panic!("@chain({wanted}) has no days"));
            support::certificate(&names.split(',').collect::<Vec<_>>(), days.trim().parse().unwrap())
        })
    }

    /// Puts certificates and keys in the place of what asks for them.
    fn fill(&mut self, mut text: &str) -> String {
        let mut filled = String::new();
        while let Some((before, after)) = text.split_once('@') {
            filled.push_str(before);
            let chain = after.strip_prefix("chain(");
            let Some(rest) = chain.or_else(|| after.strip_prefix("key(")) else {
                filled.push('@');
                text = after;
                continue;
            };
            let (wanted, rest) = rest.split_once(')').unwrap();
            let pem = self.get(wanted);
            write!(filled, "{}", json!(if chain.is_some() { &pem.chain } else { &pem.key })).unwrap();
            text = rest;
        }
        filled + text
    }

    /// Puts names in the place of fingerprints.
    fn name_fingerprints(&self, mut text: String) -> String {
        for (wanted, pem) in &self.0 {
            let origin = Arc::new(tidegate_proxy::model::Origin::new("", "", ""));
            let certificate = tidegate_proxy::model::Certificate::from_pem(origin, pem.chain.as_bytes(), pem.key.as_bytes()).unwrap();
            text = text.replace(&*certificate.fingerprint, &format!("fingerprint of {wanted}"));
        }
        text
    }
}

/// Returns what stands behind a comment's name, line by line.
fn comments<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix("# ")?.strip_prefix(name)?.strip_prefix(": ")).collect()
}

fn options(text: &str) -> Options {
    let mut options = support::options();
    let words: Vec<_> = comments(text, "flags").iter().flat_map(|line| line.split(' ')).collect();
    let mut words = words.into_iter();
    let secret = |text: &str| text.split_once('/').map(|(ns, name)| ObjectRef::new(Kind::Secret, ns, name));
    while let Some(flag) = words.next() {
        match flag {
            "--controller-name" => options.controllers.push(words.next().unwrap().into()),
            "--ingress-class" => options.ingress_class = words.next().map(Into::into),
            "--ingress-class-by-name" => options.class_by_name = true,
            "--watch-ingress-without-class" => options.watch_without_class = true,
            "--disable-external-name" => options.external_names = false,
            "--default-certificate" => options.default_certificate = secret(words.next().unwrap()),
            "--default-backend" => {
                let (service, port) = words.next().map(|text| text.split_once(':').map_or((text, None), |(s, p)| (s, Some(p)))).unwrap();
                let (namespace, name) = service.split_once('/').unwrap();
                let port = port.map(|port| port.parse().map_or_else(|_| PortRef::Name(port.into()), PortRef::Number));
                options.default_backend = Some(DefaultBackend { service: ObjectRef::new(Kind::Service, namespace, name), port });
            }
            other => panic!("{other} is no flag of goldens"),
        }
    }
    options
}

fn resolutions(text: &str) -> impl Iterator<Item = SourceEvent> {
    comments(text, "resolve").into_iter().map(|line| {
        let (name, rest) = line.split_once(' ').unwrap();
        let (addresses, problem) = rest.split_once(' ').map_or((rest, None), |(addresses, problem)| (addresses, Some(problem)));
        let addresses = addresses.split(',').filter(|address| *address != "-").map(|address| address.parse().unwrap()).collect();
        let problem = problem.map(|problem| {
            let (code, text) = problem.split_once(' ').unwrap();
            (*Code::ALL.iter().find(|known| known.as_str() == code).unwrap(), text.to_owned())
        });
        SourceEvent::Resolved { name: name.into(), addresses, problem }
    })
}

/// What has come of a case so far.
struct Case {
    directory: Directory,
    options: Options,
    snapshot: Snapshot,
    translator: Translator,
    state: Arc<State>,
    table: Option<Table>,
    served: BTreeSet<String>,
}

impl Case {
    fn new(options: Options) -> Self {
        Self::over(Snapshot::default(), options)
    }

    fn over(mut snapshot: Snapshot, options: Options) -> Self {
        let state = Arc::new(State::default());
        if let Some(secret) = &options.default_certificate {
            snapshot.pin_secret(secret);
        }
        let translator = Translator::new(options.clone(), Arc::clone(&state));
        Self { directory: Directory::default(), options, snapshot, translator, state, table: None, served: BTreeSet::new() }
    }

    /// Returns what comes of the snapshot when it is saved, loaded and translated from nothing.
    fn seen_when_loaded(&self) -> Value {
        let document = json!(self.snapshot.save()).to_string();
        let mut loaded = Self::over(Snapshot::load(document.as_bytes()).unwrap(), self.options.clone());
        assert_eq!(json!(loaded.snapshot.save()).to_string(), document, "what is loaded is saved as it was");
        let update = loaded.translator.rebuild(&loaded.snapshot, support::noon());
        loaded.table = update.table;
        loaded.served = update.served.iter().map(|served| served.reference.to_string()).collect();
        loaded.seen()
    }

    /// The file is now like this.
    fn step(&mut self, text: &str, certificates: &mut Certificates) -> Value {
        let path = Arc::new(PathBuf::from("input.yaml"));
        let manifest = Manifest::parse(&path, certificates.fill(text).as_bytes());
        self.directory.put(&path, manifest, Stillness::Still);
        let cluster = comments(text, "source") == ["cluster"];
        let mut changes = tidegate::snapshot::Changes::default();
        for event in self.directory.events().into_iter().chain(resolutions(text)) {
            let event = if cluster { as_from_cluster(event) } else { event };
            changes.merge(self.snapshot.apply(event));
        }
        let update = self.translator.update(&self.snapshot, &changes, support::noon());
        self.table = update.table.or(self.table.take());
        for gone in &update.let_go {
            assert!(self.served.remove(&gone.to_string()), "{gone} is let go and was not served");
        }
        self.served.extend(update.served.iter().map(|served| served.reference.to_string()));
        self.seen()
    }

    fn seen(&self) -> Value {
        let mut seen = Map::new();
        let TableDump { listeners, .. } = self.table.as_ref().unwrap().dump();
        let [http, https] = listeners.as_slice() else { panic!("goldens have two listeners") };
        seen.insert("hosts".into(), json!(http.hosts));
        if http.hosts != https.hosts {
            seen.insert("hosts of https".into(), json!(https.hosts));
        }
        seen.insert("fallback".into(), json!(http.fallback));
        seen.insert("certificates".into(), json!(https.tls.as_ref().unwrap().certificates));
        let default = &https.tls.as_ref().unwrap().default;
        if &*default.origin.name != "self-signed" {
            seen.insert("default certificate".into(), json!(default));
        }
        let endpoints = self.state.upstreams.dump().into_iter().map(|(backend, endpoints)| {
            let endpoints = endpoints.iter().map(|at| json!(format!("{} {}", at.address, at.name).trim())).collect();
            (backend.to_string(), Value::Array(endpoints))
        });
        seen.insert("endpoints".into(), Value::Object(endpoints.collect()));
        seen.insert("served".into(), json!(self.served));
        seen.insert("diagnostics".into(), self.translator.diagnostics().map(line).collect());
        let mut seen = Value::Object(seen);
        shorten(&mut seen);
        seen
    }
}

fn line(diagnostic: &Diagnostic) -> Value {
    let Diagnostic { object, code, field, message } = diagnostic;
    json!([code, object.to_string(), field.as_deref().unwrap_or("-"), message])
}

/// Leaves out what is the same everywhere.
fn shorten(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let default = json!({ "connect_seconds": 5.0, "read_seconds": 60.0, "send_seconds": 60.0 });
            fields.retain(|name, value| !(name == "timeouts" && *value == default));
            fields.values_mut().for_each(shorten);
            if let (3, Some(kind), Some(namespace), Some(name)) =
                (fields.len(), text(fields, "kind"), text(fields, "namespace"), text(fields, "name"))
            {
                *value = json!(if namespace.is_empty() { format!("{kind} {name}") } else { format!("{kind} {namespace}/{name}") });
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str()
}

fn as_from_cluster(event: SourceEvent) -> SourceEvent {
    match event {
        SourceEvent::Apply(mut object) => {
            object.provenance = Provenance::Cluster { uid: Arc::default() };
            SourceEvent::Apply(object)
        }
        SourceEvent::Replace { kind, namespace, mut objects } => {
            objects.iter_mut().for_each(|object| object.provenance = Provenance::Cluster { uid: Arc::default() });
            SourceEvent::Replace { kind, namespace, objects }
        }
        other @ (SourceEvent::Delete(_) | SourceEvent::Unavailable { .. } | SourceEvent::File { .. } | SourceEvent::Resolved { .. }) => {
            other
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Runs a case; returns what comes of each of its inputs, as it is kept in `expected.json`.
fn run(case: &Path, certificates: &mut Certificates) -> String {
    let inputs: Vec<_> = sorted(case).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    let mut running = Case::new(options(&read(&inputs[0])));
    let mut steps = Map::new();
    for input in &inputs {
        let name = input.file_name().unwrap().to_string_lossy().into_owned();
        let seen = running.step(&read(input), certificates);
        assert_eq!(running.seen_when_loaded(), seen, "{}: a saved snapshot comes to something else", input.display());
        steps.insert(name, seen);
    }
    certificates.name_fingerprints(format!("{:#}\n", Value::Object(steps)))
}

#[test]
fn every_golden_case_comes_to_what_it_is_kept_to() {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let mut certificates = Certificates::default();
    let mut wrong = String::new();
    let cases = sorted(&folder());
    assert!(cases.len() >= 60, "there are only {} cases", cases.len());
    for case in cases {
        let (expected, got) = (case.join("expected.json"), run(&case, &mut certificates));
        if update {
            std::fs::write(&expected, &got).unwrap();
            continue;
        }
        let kept = std::fs::read_to_string(&expected).unwrap_or_default();
        if kept != got {
            let at = kept.lines().zip(got.lines()).position(|(a, b)| a != b).unwrap_or(kept.lines().count().min(got.lines().count()));
            let around = |text: &str| text.lines().skip(at.saturating_sub(3)).take(12).collect::<Vec<_>>().join("\n");
            writeln!(wrong, "\n{} line {}\n--- kept:\n{}\n--- got:\n{}", case.display(), at + 1, around(&kept), around(&got)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nUPDATE_GOLDENS=1 writes them anew");
}

#[test]
fn every_finding_of_translation_has_a_golden() {
    let kept: String =
        sorted(&folder()).iter().map(|case| std::fs::read_to_string(case.join("expected.json")).unwrap_or_default()).collect();
    // What only a source or an API server can find is tested there.
    let elsewhere = [Code::InvalidFile, Code::IgnoredKind, Code::DuplicateObject, Code::KindUnavailable];
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !elsewhere.contains(code) && !kept.contains(&format!("\"{code}\""))).collect();
    assert!(missing.is_empty(), "no golden shows {missing:?}");
}
