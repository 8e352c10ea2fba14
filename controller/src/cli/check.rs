//! `tidegate check`: manifests, or a saved snapshot, are read and translated as `serve` would, from nothing, and every finding is printed
//! with its place.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use tidegate_proxy::model::CidrSet;
use tidegate_proxy::state::State;
use tidegate_proxy::table::SessionTickets;

use crate::app::certificate;
use crate::args::{CheckOptions, ClassOptions, OutputFormat};
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::object::{Kind, ObjectRef};
use crate::snapshot::Snapshot;
use crate::source::directory::{self, Loaded};
use crate::translate::{Options, Translator};

/// A finding with its place.
#[derive(Debug, Serialize)]
struct Finding {
    /// `None` where the object stands in no file.
    file: Option<String>,
    /// From 1; `None` where it is about the file as a whole.
    line: Option<usize>,
    /// `None` where it is about a file.
    object: Option<ObjectRef>,
    field: Option<Arc<str>>,
    code: Code,
    severity: Severity,
    message: Arc<str>,
    help: &'static str,
}

/// All that was found.
#[derive(Debug, Serialize)]
struct Report {
    findings: Vec<Finding>,
    errors: usize,
    warnings: usize,
    objects: usize,
}

/// Checks files and prints what is wrong with them. Ends with 0 where nothing is or only warnings are, 1 where there are errors, and
/// 2 where a path cannot be read.
///
/// # Errors
/// The system has no randomness to give.
pub(super) fn run(options: &CheckOptions) -> anyhow::Result<ExitCode> {
    let (paths, read) = match &options.snapshot {
        Some(file) => (std::slice::from_ref(file), saved(file)),
        None => (&*options.paths, manifests(&options.paths)),
    };
    let (snapshot, ignored) = match read {
        Ok(read) => read,
        Err(problem) => {
            eprintln!("error: cannot read {problem}");
            return Ok(ExitCode::from(2));
        }
    };
    let report = report(&snapshot, &ignored, &options.classes)?;
    match options.output {
        OutputFormat::Text => print!("{}", report.text(paths)),
        OutputFormat::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(if report.errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reads manifests; returns also what is said of documents of other kinds.
fn manifests(paths: &[PathBuf]) -> Result<(Snapshot, Vec<Diagnostic>), String> {
    let Loaded { events, ignored } = directory::load(paths).map_err(|(path, error)| format!("{}: {error}", path.display()))?;
    let mut snapshot = Snapshot::new([]);
    for event in events {
        snapshot.apply(event);
    }
    Ok((snapshot, ignored))
}

/// Reads a saved snapshot.
fn saved(file: &Path) -> Result<(Snapshot, Vec<Diagnostic>), String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let snapshot = Snapshot::load(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok((snapshot, Vec::new()))
}

fn report(snapshot: &Snapshot, ignored: &[Diagnostic], classes: &ClassOptions) -> anyhow::Result<Report> {
    let mut translator = Translator::new(translation(classes)?, Arc::new(State::default()));
    translator.rebuild(snapshot, SystemTime::now());
    let mut findings: Vec<_> = translator.diagnostics().chain(ignored).map(|found| placed(found, snapshot)).collect();
    findings.sort_by(|a, b| (&a.file, a.line, &a.object, &a.field, a.code).cmp(&(&b.file, b.line, &b.object, &b.field, b.code)));
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let objects = snapshot.object_count();
    Ok(Report { findings, errors, warnings, objects })
}

/// What `serve` would be told by its flags, without listeners: findings do not depend on them.
fn translation(classes: &ClassOptions) -> anyhow::Result<Options> {
    Ok(Options {
        controllers: classes.controller_name.iter().map(|name| name.as_str().into()).collect(),
        ingress_class: classes.ingress_class.as_deref().map(Into::into),
        class_by_name: classes.ingress_class_by_name,
        watch_without_class: classes.watch_ingress_without_class,
        external_names: true,
        default_certificate: None,
        default_backend: None,
        listeners: Vec::new(),
        trusted_proxies: CidrSet::default(),
        self_signed: certificate::default_certificate()?,
        tickets: SessionTickets::new()?,
    })
}

fn placed(diagnostic: &Diagnostic, snapshot: &Snapshot) -> Finding {
    let Diagnostic { object, code, field, message } = diagnostic.clone();
    let (severity, help) = (code.severity(), code.help());
    if object.kind == Kind::File {
        // Of files the field is the line.
        let line = field.as_deref().and_then(|field| field.strip_prefix("line ")).and_then(|line| line.parse().ok());
        return Finding { file: Some(object.name.to_string()), line, object: None, field: None, code, severity, message, help };
    }
    let place = snapshot.provenance(&object).and_then(|provenance| provenance.place_of(field.as_deref()));
    let (file, line) = place.map(|(file, line)| (file.display().to_string(), line)).unzip();
    Finding { file, line, object: Some(object), field, code, severity, message, help }
}

impl Report {
    fn text(&self, paths: &[PathBuf]) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let Finding { file, line, object, field, code, severity, message, help } = finding;
            let severity = severity.as_str();
            let place = match (file, line) {
                (Some(file), Some(line)) => format!("{file}:{line}: "),
                (Some(file), None) => format!("{file}: "),
                (None, _) => String::new(),
            };
            let object = object.as_ref().map(|object| format!("{object}: ")).unwrap_or_default();
            let field = field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{place}{severity}: {object}{field}{message} [{code}]\n    {help}");
        }
        let places = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "{places}: {} objects, {} errors, {} warnings", self.objects, self.errors, self.warnings);
        text
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Classes {
        #[command(flatten)]
        classes: ClassOptions,
    }

    fn check(yaml: &str) -> Report {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), yaml).unwrap();
        let (snapshot, ignored) = manifests(&[directory.path().to_owned()]).unwrap();
        report(&snapshot, &ignored, &Classes::parse_from(["check"]).classes).unwrap()
    }

    #[test]
    fn a_finding_is_placed_at_the_line_of_its_field() {
        let report = check(
            "apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: tidegate}
spec: {controller: tidegate.dev/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: tidegate
  rules:
  - host: a.example
    http:
      paths:
      - path: /
        pathType: Prefix
        backend:
          service: {name: gone, port: {number: 80}}
",
        );
        let finding = report.findings.iter().find(|finding| finding.code == Code::MissingService).unwrap();
        assert!(finding.file.as_deref().unwrap().ends_with("a.yaml"));
        assert!((15..=18).contains(&finding.line.unwrap()), "{finding:?}");
        assert_eq!((report.errors, report.objects), (1, 2));
    }

    #[test]
    fn a_saved_snapshot_is_checked_as_what_it_was_made_of() {
        let directory = tempfile::tempdir().unwrap();
        let (yaml, json) = (directory.path().join("a.yaml"), directory.path().join("a.json"));
        std::fs::write(&yaml, "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec: {ingressClassName: gone}\n")
            .unwrap();
        let classes = Classes::parse_from(["check"]).classes;
        let (snapshot, ignored) = manifests(std::slice::from_ref(&yaml)).unwrap();
        let checked = report(&snapshot, &ignored, &classes).unwrap();
        assert_eq!((checked.errors, checked.objects), (1, 1));
        std::fs::write(&json, serde_json::to_vec(&snapshot.save()).unwrap()).unwrap();
        let (snapshot, ignored) = saved(&json).unwrap();
        assert_eq!(report(&snapshot, &ignored, &classes).unwrap().text(&[]), checked.text(&[]).replace("a.yaml:4:", "a.yaml:1:"));
        std::fs::write(&json, "{\"format\": 0}").unwrap();
        assert!(saved(&json).unwrap_err().ends_with("a.json: format: it is of format 0; this version of Tidegate reads format 1"));
    }

    #[test]
    fn a_file_that_is_no_yaml_is_a_finding_with_its_line() {
        let report = check("kind: Ingress\napiVersion: [\n");
        let finding = report.findings.first().unwrap();
        assert_eq!((finding.code, finding.object.is_none(), finding.line.is_some()), (Code::InvalidFile, true, true), "{finding:?}");
    }
}
