//! The chart's values: each is documented, is in the schema, and stands in the table of the chart's README.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// What the generated part of the README begins with.
const GENERATED: &str = "<!-- Generated from values.yaml: UPDATE_GENERATED=1 cargo test -p tidegate-tests --test values -->\n";
/// In the schema, since a chart around this one may switch it on and off by it, which concerns helm alone.
const OF_CHARTS_AROUND: &str = "enabled";
/// In the schema, so that they can be refused with a reason.
const REFUSED: [&str; 1] = ["controller.scope.namespaceSelector"];

fn chart(file: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/tidegate")).join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(chart(file)).unwrap()
}

/// A value with what its comment says.
struct Documented {
    path: String,
    meaning: String,
    default: String,
}

/// Reads `values.yaml`: a comment that begins with `--` is about the key below it, and about everything under that key.
fn documented() -> Vec<Documented> {
    let text = read("values.yaml");
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    let (mut found, mut parents, mut comment, mut inside) = (Vec::new(), Vec::<(usize, String)>::new(), String::new(), None);
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim();
        if let Some(said) = line.strip_prefix("# -- ") {
            comment = said.to_owned();
        } else if let Some(said) = line.strip_prefix("# ") {
            if !comment.is_empty() {
                write!(comment, " {said}").unwrap();
            }
        } else if let Some((key, _)) = line.split_once(':').filter(|_| !line.is_empty()) {
            if inside.is_some_and(|inside| indent > inside) {
                continue;
            }
            inside = None;
            parents.retain(|(other, _)| *other < indent);
            parents.push((indent, key.to_owned()));
            if !comment.is_empty() {
                let keys: Vec<_> = parents.iter().map(|(_, key)| key.as_str()).collect();
                let default = values.pointer(&format!("/{}", keys.join("/"))).unwrap();
                let (path, meaning) = (keys.join("."), std::mem::take(&mut comment));
                found.push(Documented { path, meaning, default: default.to_string() });
                inside = Some(indent);
            }
        }
    }
    found
}

/// Returns the paths of all values that hold no others, seen from a map; those that are documented as a whole count as one.
fn leaves(value: &Value, path: &str, documented: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(map) if !map.is_empty() && !documented.contains(path) => {
            for (key, below) in map {
                leaves(below, format!("{path}.{key}").trim_start_matches('.'), documented, found);
            }
        }
        _ => drop(found.insert(path.to_owned())),
    }
}

/// Returns the paths that the schema knows, down to where anything goes.
fn known(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        Some(properties) => {
            // `global` is shared with charts around this one.
            assert!(schema["additionalProperties"] == false || path == "global", "{path}: a typo below it would pass");
            for (key, below) in properties {
                known(below, format!("{path}.{key}").trim_start_matches('.'), found);
            }
        }
        None => drop(found.insert(path.to_owned())),
    }
}

fn unused() -> BTreeSet<String> {
    let list: Value = serde_saphyr::from_str(&read("files/unused-values.yaml")).unwrap();
    list.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_value_is_documented() {
    let paths: BTreeSet<_> = documented().into_iter().map(|value| value.path).collect();
    assert!(paths.len() > 200, "the walk over values.yaml finds only {paths:?}");
    let mut all = BTreeSet::new();
    leaves(&serde_saphyr::from_str(&read("values.yaml")).unwrap(), "", &paths, &mut all);
    assert!(all == paths, "undocumented: {:?}", all.difference(&paths).collect::<Vec<_>>());
}

#[test]
fn the_schema_knows_exactly_what_there_is() {
    let mut schema = BTreeSet::new();
    known(&serde_json::from_str(&read("values.schema.json")).unwrap(), "", &mut schema);
    let documented: BTreeSet<_> = documented().into_iter().map(|value| value.path).collect();
    let unused = unused();
    // Below a value that is documented as a whole the schema may know more.
    let within = |path: &String| documented.iter().any(|whole| path == whole || path.starts_with(&format!("{whole}.")));
    let unknown: Vec<_> = schema
        .iter()
        .filter(|path| !within(path) && !unused.contains(*path) && !REFUSED.contains(&path.as_str()))
        .filter(|path| *path != OF_CHARTS_AROUND)
        .collect();
    assert!(unknown.is_empty(), "in the schema alone: {unknown:?}");
    let covered = |path: &String| schema.iter().any(|known| known == path || known.starts_with(&format!("{path}.")));
    let wildcard = |path: &String| path.ends_with(".*");
    let missing: Vec<_> = documented.iter().chain(&unused).filter(|path| !wildcard(path) && !covered(path)).collect();
    assert!(missing.is_empty(), "not in the schema: {missing:?}");
}

#[test]
fn no_flag_is_refused_that_there_is() {
    let unknown: Value = serde_saphyr::from_str(&read("files/unknown-flags.yaml")).unwrap();
    let unknown: BTreeSet<_> = unknown.as_object().unwrap().keys().map(|flag| format!("--{flag}")).collect();
    let page = fs::read_to_string(chart("../../docs/cli.md")).unwrap();
    let there: BTreeSet<_> = page.split_whitespace().filter(|word| word.starts_with("--")).map(str::to_owned).collect();
    assert!(unknown.len() > 40 && there.contains("--publish-service"), "the flags are not found");
    assert!(unknown.is_disjoint(&there), "{:?}", unknown.intersection(&there).collect::<Vec<_>>());
}

#[test]
fn the_chart_and_its_image_have_the_version_of_the_workspace() {
    let chart: Value = serde_saphyr::from_str(&read("Chart.yaml")).unwrap();
    for field in ["version", "appVersion"] {
        assert_eq!(chart.get(field).unwrap(), env!("CARGO_PKG_VERSION"), "{field} of Chart.yaml");
    }
}

#[test]
fn the_table_of_values_is_current() {
    let mut text = format!("{GENERATED}\n## Values\n\n| value | default | meaning |\n|---|---|---|\n");
    for Documented { path, meaning, default } in documented() {
        writeln!(text, "| `{path}` | `{}` | {} |", default.replace('|', "\\|"), meaning.replace('|', "\\|")).unwrap();
    }
    text.push_str("\n## Values of the ingress-nginx chart without effect\n\n");
    text.push_str("They are accepted, and every install and upgrade names those that were given.\n\n| value | instead |\n|---|---|\n");
    let list: Value = serde_saphyr::from_str(&read("files/unused-values.yaml")).unwrap();
    for entry in list.as_array().unwrap() {
        writeln!(text, "| `{}` | {} |", entry["path"].as_str().unwrap(), entry["instead"].as_str().unwrap()).unwrap();
    }
    let readme = read("README.md");
    let (head, table) = readme.split_once(GENERATED).unwrap();
    let current = text.strip_prefix(GENERATED).unwrap();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(chart("README.md"), format!("{head}{text}")).unwrap();
    } else {
        assert!(table == current, "the table is not current: UPDATE_GENERATED=1 cargo test -p tidegate-tests --test values writes it anew");
    }
}
