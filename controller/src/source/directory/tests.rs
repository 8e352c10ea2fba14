#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use super::*;
use crate::object::Body;

fn path(name: &str) -> Arc<PathBuf> {
    Arc::new(PathBuf::from(name))
}

fn parse(name: &str, text: &str) -> Manifest {
    Manifest::parse(&path(name), text.as_bytes())
}

fn service(name: &str, port: u16) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n")
}

/// What events say, in short: `+name port` for an apply, `-name` for a delete, `! code line` for a problem.
fn told(events: &[SourceEvent]) -> Vec<String> {
    let one = |object: &Object| match &object.body {
        Ok(Body::Service(service)) => {
            format!("+{} {}", object.reference.name, service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0].port)
        }
        Ok(_) => format!("+{}", object.reference.name),
        Err(error) => format!("+{} ? {error}", object.reference.name),
    };
    let mut all = Vec::new();
    for event in events {
        match event {
            SourceEvent::Apply(object) => all.push(one(object)),
            SourceEvent::Delete(name) => all.push(format!("-{}", name.name)),
            SourceEvent::Replace { objects, .. } => all.extend(objects.iter().map(|object| format!("={}", one(object)))),
            SourceEvent::Unavailable { .. } | SourceEvent::Resolved { .. } => panic!("a directory reads every kind, and no names"),
            SourceEvent::File { file, problems } if problems.is_empty() => all.push(format!("ok {}", file.name)),
            SourceEvent::File { file, problems } => {
                all.extend(problems.iter().map(|p| format!("! {} {} {}", file.name, p.code, p.field.as_deref().unwrap_or("-"))));
            }
        }
    }
    all
}

/// A directory that has told what it starts with.
fn with(files: &[(&str, &str)]) -> Directory {
    let mut directory = Directory::default();
    for (name, text) in files {
        directory.put(&path(name), parse(name, text), Stillness::Still);
    }
    directory.events();
    directory
}

#[test]
fn the_first_events_are_every_kind_as_a_whole() {
    let mut directory = Directory::default();
    directory.put(&path("a"), parse("a", &service("one", 1)), Stillness::Still);
    let events = directory.events();
    let kinds: Vec<_> = events.iter().filter_map(|e| if let SourceEvent::Replace { kind, .. } = e { Some(*kind) } else { None }).collect();
    assert_eq!(kinds, Kind::ALL);
    assert_eq!(told(&events), ["=+one 1"]);
    assert!(directory.events().is_empty());
}

#[test]
fn a_changed_file_tells_of_what_changed_alone() {
    let mut directory = with(&[("a", &format!("{}---\n{}", service("one", 1), service("two", 2)))]);
    directory.put(&path("a"), parse("a", &format!("{}---\n{}", service("one", 1), service("two", 3))), Stillness::Still);
    assert_eq!(told(&directory.events()), ["+two 3"]);
    directory.put(&path("a"), parse("a", &service("one", 1)), Stillness::Still);
    assert_eq!(told(&directory.events()), ["-two"]);
    directory.remove(&path("a"));
    assert_eq!(told(&directory.events()), ["-one"]);
}

#[test]
fn a_comment_at_the_top_moves_objects_and_changes_none() {
    use crate::snapshot::Snapshot;
    let ingress = |name: &str| {
        let rule = "{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: w, port: {number: 80}}}}]}}";
        format!("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}}}\nspec:\n  rules: [{rule}]\n")
    };
    let text = format!("{}---\n{}---\n{}", ingress("one"), service("two", 1), ingress("three"));
    let mut directory = with(&[]);
    let mut snapshot = Snapshot::default();
    let mut take = |directory: &mut Directory| {
        let events = directory.events();
        let told = told(&events);
        (told, events.into_iter().map(|event| snapshot.apply(event)).filter(|changes| !changes.is_empty()).count())
    };
    directory.put(&path("a"), parse("a", &text), Stillness::Still);
    assert_eq!(take(&mut directory).1, 3);
    directory.put(&path("a"), parse("a", &format!("# A comment.\n{text}")), Stillness::Still);
    let (told, changed) = take(&mut directory);
    assert_eq!((told.len(), changed), (3, 0), "{told:?}");
    let name = ObjectRef::new(Kind::Ingress, "default", "one");
    assert_eq!(snapshot.provenance(&name).and_then(|place| place.place_of(None)).map(|(_, line)| line), Some(2));
}

#[test]
fn what_a_changing_file_does_not_have_is_kept_until_it_is_still() {
    let mut directory = with(&[("a", &service("one", 1))]);
    directory.put(&path("a"), parse("a", ""), Stillness::Changing);
    assert!(directory.events().is_empty());
    directory.put(&path("a"), parse("a", &service("two", 2)), Stillness::Changing);
    assert_eq!(told(&directory.events()), ["+two 2"]);
    directory.put(&path("a"), parse("a", &service("two", 2)), Stillness::Still);
    assert_eq!(told(&directory.events()), ["-one"]);
}

#[test]
fn a_broken_file_keeps_its_objects_and_says_where_it_is_broken() {
    let mut directory = with(&[("a", &format!("{}---\n{}", service("one", 1), service("two", 2)))]);
    directory.put(&path("a"), parse("a", &format!("{}---\nkind: [\n", service("one", 9))), Stillness::Still);
    let after = told(&directory.events());
    assert_eq!(after[0], "+one 9");
    assert!(after[1].starts_with("! a invalid_file line "), "{after:?}");
    assert_eq!(after.len(), 2, "two is kept: {after:?}");
    directory.put(&path("a"), parse("a", &service("one", 9)), Stillness::Still);
    assert_eq!(told(&directory.events()), ["-two", "ok a"]);
}

#[test]
fn of_two_files_with_the_same_object_the_first_by_path_counts() {
    let mut directory = with(&[("b", &service("one", 2))]);
    directory.put(&path("a"), parse("a", &service("one", 1)), Stillness::Still);
    assert_eq!(told(&directory.events()), ["+one 1", "! b duplicate_object -"]);
    directory.remove(&path("a"));
    assert_eq!(told(&directory.events()), ["+one 2", "ok b"]);
}

#[test]
fn an_object_that_moves_to_another_file_is_never_gone() {
    let mut directory = with(&[("a", &service("one", 1)), ("b", "")]);
    directory.put(&path("a"), parse("a", ""), Stillness::Still);
    directory.put(&path("b"), parse("b", &service("one", 1)), Stillness::Still);
    assert_eq!(told(&directory.events()), ["+one 1"]);
}

#[test]
fn lists_are_expanded_and_their_items_keep_their_lines() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: one}\n  spec:\n    ports:\n    - port: 80\n---\napiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: two, namespace: x}\n";
    let manifest = parse("a", text);
    let names: Vec<_> = manifest.objects.iter().map(|found| found.object.reference.to_string()).collect();
    assert_eq!(names, ["Service default/one", "Service x/two"]);
    let Provenance::File { line, fields, .. } = &manifest.objects[0].object.provenance else { panic!("from a file") };
    assert_eq!((*line, fields.get(*line, "spec.ports[0].port")), (4, Some(9)));
}

#[test]
fn documents_that_are_no_objects_of_ours_are_told_apart() {
    let manifest = parse(
        "a",
        "just text\n---\nkind: Service\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\napiVersion: v1\nkind: Service\n---\napiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: k}\n---\napiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: old}\n",
    );
    let lines: Vec<_> = manifest.problems.iter().map(|p| (p.code, p.field.as_deref().unwrap())).collect();
    let at = |line| (Code::InvalidFile, line);
    assert_eq!(lines, [at("line 1"), at("line 3"), at("line 9")]);
    assert_eq!(manifest.ignored.len(), 2);
    assert!(manifest.objects[0].object.body.as_ref().unwrap_err().contains("networking.k8s.io/v1"));
}

#[test]
fn an_object_that_does_not_fit_its_kind_says_which_field() {
    let manifest = parse("a", "apiVersion: v1\nkind: Service\nmetadata: {name: one, annotations: {a: true}}\n");
    let error = manifest.objects[0].object.body.as_ref().unwrap_err();
    assert!(error.contains("metadata.annotations") && error.contains("boolean"), "{error}");
}

#[test]
fn a_secret_that_cannot_be_read_shows_none_of_it() {
    let manifest = parse(
        "a",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: one}\ndata: hunter2\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: two}\ndata: {tls.key: hunter2!}\n",
    );
    for found in &manifest.objects {
        let error = found.object.body.as_ref().unwrap_err();
        assert!(error.starts_with("data") && !error.contains("hunter"), "{error}");
    }
}

#[test]
fn a_secrets_text_is_merged_and_its_base64_may_have_line_ends() {
    let manifest = parse(
        "a",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: one}\ndata:\n  a: |\n    aGVs\n    bG8=\n  b: eA==\nstringData: {b: text}\n",
    );
    let Ok(Body::Secret(secret)) = &manifest.objects[0].object.body else { panic!("a Secret") };
    let data = secret.0.data.as_ref().unwrap();
    assert_eq!((&data["a"].0[..], &data["b"].0[..]), (&b"hello"[..], &b"text"[..]));
}

#[test]
fn what_the_api_server_would_fill_in_is_filled_in() {
    let manifest = parse("a", &service("one", 80));
    let Ok(Body::Service(service)) = &manifest.objects[0].object.body else { panic!("a Service") };
    let port = &service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0];
    assert_eq!((service.metadata.namespace.as_deref(), port.protocol.as_deref()), (Some("default"), Some("TCP")));
    assert_eq!(port.target_port, Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(80)));
}

#[test]
fn check_reads_files_and_the_manifests_in_and_below_directories() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    std::fs::write(at("b.yaml"), service("one", 1)).unwrap();
    std::fs::write(at("a.yml"), service("two", 2)).unwrap();
    std::fs::write(at("c.json"), r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"three"},"spec":{"ports":[{"port":3}]}}"#)
        .unwrap();
    for name in ["d.txt", ".e.yaml", "f.yaml~"] {
        std::fs::write(at(name), service("hidden", 9)).unwrap();
    }
    std::os::unix::fs::symlink(at("nowhere"), at("g.yaml")).unwrap();
    std::fs::create_dir(at("h.yaml")).unwrap();
    std::fs::write(at("h.yaml").join("i.yaml"), service("four", 4)).unwrap();
    std::fs::create_dir(at("..j")).unwrap();
    std::fs::write(at("..j").join("k.yaml"), service("hidden", 9)).unwrap();
    std::os::unix::fs::symlink(root.path(), at("loop")).unwrap();
    let loaded = load(&[root.path().to_owned()]).unwrap();
    assert_eq!(told(&loaded.events), ["=+four 4", "=+one 1", "=+three 3", "=+two 2"]);
    assert_eq!(told(&load(&[at("d.txt")]).unwrap().events), ["=+hidden 9"]);
    assert_eq!(load(&[at("missing")]).unwrap_err().0, at("missing"));
}

mod as_if_read_at_once {
    use proptest::prelude::*;

    use super::*;

    /// What is known of the files after these events, name by name.
    fn take(known: &mut BTreeMap<String, String>, events: &[SourceEvent]) {
        for event in events {
            match event {
                SourceEvent::Apply(object) => drop(known.insert(object.reference.to_string(), format!("{object:?}"))),
                SourceEvent::Delete(name) => drop(known.remove(&name.to_string())),
                SourceEvent::Replace { objects, .. } => {
                    known.extend(objects.iter().map(|object| (object.reference.to_string(), format!("{object:?}"))));
                }
                SourceEvent::File { file, problems } if problems.is_empty() => drop(known.remove(&file.to_string())),
                SourceEvent::File { file, problems } => drop(known.insert(file.to_string(), format!("{problems:?}"))),
                SourceEvent::Unavailable { .. } | SourceEvent::Resolved { .. } => panic!("a directory tells of files"),
            }
        }
    }

    proptest! {
        #[test]
        fn files_that_change_tell_what_files_as_they_are_do(
            steps in prop::collection::vec((0usize..3, prop::option::weighted(0.8, prop::collection::vec((0usize..4, 1u16..4), 0..4)), any::<bool>()), 1..25)
        ) {
            let (mut directory, mut files, mut known) = (Directory::default(), BTreeMap::new(), BTreeMap::new());
            for (file, objects, look) in steps {
                let name = ["a", "b", "c"][file];
                match objects {
                    Some(objects) => {
                        let text = objects.iter().map(|(name, port)| service(["one", "two", "three", "four"][*name], *port)).collect::<Vec<_>>().join("---\n");
                        directory.put(&path(name), parse(name, &text), Stillness::Still);
                        files.insert(name, text);
                    }
                    None => {
                        directory.remove(&path(name));
                        files.remove(name);
                    }
                }
                if look {
                    take(&mut known, &directory.events());
                    let (mut anew, mut at_once) = (Directory::default(), BTreeMap::new());
                    for (name, text) in &files {
                        anew.put(&path(name), parse(name, text), Stillness::Still);
                    }
                    take(&mut at_once, &anew.events());
                    prop_assert_eq!(&known, &at_once);
                    prop_assert!(directory.events().is_empty());
                }
            }
        }
    }
}
