//! Ingresses, trimmed and parsed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressBackend, IngressSpec, IngressStatus};
use serde::{Deserialize, Serialize};
use tidegate_proxy::model::{HostMatch, PathMatch, normalize};

use super::{Version, saved};
use crate::annotations::{Parsed, Verdict, parse};
use crate::diagnostic::{Code, Diagnostic};
use crate::object::{Kind, ObjectRef, Provenance, path_as_text};
use crate::policy::Policy;
use crate::texts;

/// The annotation that named the class before `spec.ingressClassName` did.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// How old an object is, for precedence: the older comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Age {
    /// Its `metadata.creationTimestamp`.
    Created(Timestamp),
    /// In a directory an object need not have one: its file, and its place among the objects of it.
    Position(#[serde(serialize_with = "path_as_text")] Arc<PathBuf>, usize),
}

/// Which class an Ingress says it is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClassName {
    /// `spec.ingressClassName`; it wins over the annotation.
    Field(Arc<str>),
    /// The annotation `kubernetes.io/ingress.class`.
    Annotation(Arc<str>),
    /// None; the API server would have written the default class, a directory does not.
    Unwritten,
    /// None.
    Absent,
}

/// An Ingress as one version of it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressObject {
    /// Its UID; empty from a directory.
    pub uid: Arc<str>,
    /// Addresses in its status.
    pub addresses: Arc<[String]>,
    /// How old it is.
    pub age: Age,
    /// Its class.
    pub class: ClassName,
    /// What its annotations set.
    pub policy: Arc<Policy>,
    /// What its annotations ask for as a whole.
    pub verdict: Verdict,
    /// Its rules, those left out that cannot be read.
    pub rules: Box<[Rule]>,
    /// Whether no rule is written at all, readable or not: then the default backend is for all hosts.
    pub only_default: bool,
    /// What serves the rest.
    pub default_backend: Option<BackendRef>,
    /// Its TLS entries.
    pub tls: Box<[TlsEntry]>,
    /// What cannot be served as written.
    pub findings: Vec<Diagnostic>,
    /// Whether all fields could be read; annotations apart, of which the verdict speaks.
    pub readable: bool,
}

/// The paths of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The host.
    #[serde(deserialize_with = "saved::host")]
    pub host: HostMatch,
    /// Its paths; none leave all of the host to the default backend.
    pub paths: Box<[PathRule]>,
}

/// A path and what serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathRule {
    /// How requests are matched.
    pub path: PathMatch,
    /// What serves them.
    pub backend: BackendRef,
    /// The field, for diagnostics: `spec.rules[0].http.paths[1]`.
    pub field: Arc<str>,
}

/// What a backend names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BackendRef {
    /// A Service in the Ingress's namespace.
    Service {
        /// Its name.
        name: Arc<str>,
        /// Its port.
        port: PortRef,
    },
    /// Another kind of object.
    Resource {
        /// Its kind, with its group.
        kind: String,
        /// Its name.
        name: String,
    },
    /// Nothing that could be one; the findings say so.
    Incomplete,
}

/// The port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PortRef {
    /// By number.
    Number(u16),
    /// By name.
    Name(Arc<str>),
}

/// Hosts and the Secret with their certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsEntry {
    /// The hosts; empty stands for the certificate's own names.
    #[serde(deserialize_with = "saved::hosts")]
    pub hosts: Box<[HostMatch]>,
    /// The Secret in the Ingress's namespace; `None` is the default certificate.
    pub secret: Option<Arc<str>>,
}

impl Version for IngressObject {
    fn is_good(&self) -> bool {
        self.readable && self.verdict != Verdict::KeepLastGood
    }
}

impl IngressObject {
    /// Reads an Ingress. It never fails: what cannot be read becomes a finding.
    #[must_use]
    pub fn read(reference: &ObjectRef, provenance: &Provenance, ingress: &Ingress) -> Self {
        let none = BTreeMap::new();
        let annotations = ingress.metadata.annotations.as_ref().unwrap_or(&none);
        let Parsed { policy, diagnostics, verdict } = parse(reference, annotations);
        let mut reader = Reader { reference, findings: Vec::new() };
        let nothing = IngressSpec::default();
        let spec = ingress.spec.as_ref().unwrap_or(&nothing);
        let rules: Box<[Rule]> = spec
            .rules
            .iter()
            .flatten()
            .enumerate()
            .filter_map(|(index, rule)| {
                let host = reader.host(rule.host.as_deref().unwrap_or_default(), format_args!("spec.rules[{index}].host"))?;
                let paths = rule.http.iter().flat_map(|http| &http.paths).enumerate();
                let paths = paths.filter_map(|(i, path)| reader.path(path, format!("spec.rules[{index}].http.paths[{i}]"))).collect();
                Some(Rule { host, paths })
            })
            .collect();
        let default_backend = spec.default_backend.as_ref().map(|backend| reader.backend(backend, format_args!("spec.defaultBackend")));
        let tls = spec.tls.iter().flatten().enumerate().filter_map(|(index, entry)| {
            let written = entry.hosts.as_deref().unwrap_or_default();
            let hosts: Box<[_]> = written
                .iter()
                .enumerate()
                .filter_map(|(i, host)| reader.tls_host(host, format_args!("spec.tls[{index}].hosts[{i}]")))
                .collect();
            // Hosts that cannot be read do not turn the entry into one for all names of its certificate.
            let secret = entry.secret_name.as_deref().filter(|name| !name.is_empty()).map(Into::into);
            (written.is_empty() || !hosts.is_empty()).then_some(TlsEntry { hosts, secret })
        });
        let tls = tls.collect();
        let readable = reader.findings.is_empty();
        let mut findings = reader.findings;
        findings.extend(diagnostics);
        Self {
            uid: ingress.metadata.uid.as_deref().unwrap_or_default().into(),
            addresses: addresses(ingress.status.as_ref()),
            age: age(ingress, provenance),
            class: class_name(spec.ingress_class_name.as_deref(), annotations.get(CLASS_ANNOTATION), provenance),
            policy: shared(policy),
            verdict,
            rules,
            only_default: spec.rules.as_ref().is_none_or(Vec::is_empty),
            default_backend,
            tls,
            findings,
            readable,
        }
    }

    /// Whether both say the same but for status and identity.
    #[must_use]
    pub fn same_spec(&self, other: &Self) -> bool {
        let Self { uid: _, addresses: _, age, class, policy, verdict, rules, only_default, default_backend, tls, findings, readable } =
            self;
        let scalars = (*verdict, *only_default, *readable) == (other.verdict, other.only_default, other.readable);
        scalars
            && (age, class, policy) == (&other.age, &other.class, &other.policy)
            && (rules, default_backend, tls, findings) == (&other.rules, &other.default_backend, &other.tls, &other.findings)
    }

    /// Returns what it names: Services, Secrets and its class. The class without a name stands for the default class.
    #[must_use]
    pub fn targets(&self, namespace: &Arc<str>) -> BTreeSet<ObjectRef> {
        let backends = self.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend).chain(&self.default_backend);
        let services = backends.filter_map(|backend| match backend {
            BackendRef::Service { name, .. } => Some((Kind::Service, name)),
            BackendRef::Resource { .. } | BackendRef::Incomplete => None,
        });
        let secrets = self.tls.iter().filter_map(|entry| Some((Kind::Secret, entry.secret.as_ref()?)));
        let within =
            services.chain(secrets).map(|(kind, name)| ObjectRef { kind, namespace: Arc::clone(namespace), name: Arc::clone(name) });
        let class = match &self.class {
            ClassName::Field(name) | ClassName::Annotation(name) => &**name,
            ClassName::Unwritten | ClassName::Absent => "",
        };
        within.chain([ObjectRef::new(Kind::IngressClass, "", class)]).collect()
    }
}

/// Returns settings to be held; those of all that say nothing are held once.
fn shared(policy: Policy) -> Arc<Policy> {
    thread_local! {
        static SILENT: Arc<Policy> = Arc::default();
    }
    SILENT.with(|silent| if policy == **silent { Arc::clone(silent) } else { Arc::new(policy) })
}

fn age(ingress: &Ingress, provenance: &Provenance) -> Age {
    match (&ingress.metadata.creation_timestamp, provenance) {
        (Some(created), _) => Age::Created(created.0),
        (None, Provenance::File { path, position, .. }) => Age::Position(Arc::clone(path), *position),
        (None, Provenance::Cluster { .. }) => Age::Position(Arc::default(), 0),
    }
}

fn class_name(field: Option<&str>, annotation: Option<&String>, provenance: &Provenance) -> ClassName {
    match (field, annotation, provenance) {
        (Some(name), _, _) if !name.is_empty() => ClassName::Field(texts::shared(name)),
        (_, Some(name), _) if !name.is_empty() => ClassName::Annotation(texts::shared(name)),
        (_, _, Provenance::File { .. }) => ClassName::Unwritten,
        (_, _, Provenance::Cluster { .. }) => ClassName::Absent,
    }
}

fn addresses(status: Option<&IngressStatus>) -> Arc<[String]> {
    let entries = status.and_then(|status| status.load_balancer.as_ref()).and_then(|balancer| balancer.ingress.as_ref());
    entries.into_iter().flatten().filter_map(|entry| entry.ip.clone().or_else(|| entry.hostname.clone())).collect()
}

/// Reads fields, and notes what cannot be read.
struct Reader<'a> {
    reference: &'a ObjectRef,
    findings: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn note(&mut self, code: Code, field: fmt::Arguments<'_>, message: impl Into<String>) {
        self.findings.push(Diagnostic::at(self.reference, code, field.to_string(), message));
    }

    fn host(&mut self, text: &str, field: fmt::Arguments<'_>) -> Option<HostMatch> {
        HostMatch::of_ingress(text).map_err(|error| self.note(Code::InvalidHost, field, error.to_string())).ok()
    }

    fn tls_host(&mut self, text: &str, field: fmt::Arguments<'_>) -> Option<HostMatch> {
        if text.is_empty() {
            self.note(Code::InvalidHost, field, "the host is empty");
            return None;
        }
        self.host(text, field)
    }

    fn path(&mut self, rule: &HTTPIngressPath, field: String) -> Option<PathRule> {
        let text = rule.path.as_deref().unwrap_or_default();
        let exact = match rule.path_type.as_str() {
            "Exact" => true,
            "Prefix" | "ImplementationSpecific" => false,
            "" => {
                self.note(Code::InvalidPathType, format_args!("{field}.pathType"), "pathType is missing");
                return None;
            }
            other => {
                self.note(Code::InvalidPathType, format_args!("{field}.pathType"), format!("{other:?} is not a type of path"));
                return None;
            }
        };
        // Only an ImplementationSpecific path may be left out; it stands for all of the host.
        let text = if text.is_empty() && rule.path_type == "ImplementationSpecific" { "/" } else { text };
        match normalize(text) {
            Ok(path) if path.dots_resolved => {
                self.note(Code::InvalidPath, format_args!("{field}.path"), format!("{text:?}: the path has dot segments"));
                return None;
            }
            Ok(_) => {}
            Err(error) => {
                self.note(Code::InvalidPath, format_args!("{field}.path"), format!("{text:?}: {error}"));
                return None;
            }
        }
        let path =
            text.parse().map_err(|error| self.note(Code::InvalidPath, format_args!("{field}.path"), format!("{text:?}: {error}"))).ok()?;
        let path = if exact { PathMatch::Exact(path) } else { PathMatch::Prefix(path) };
        let backend = self.backend(&rule.backend, format_args!("{field}.backend"));
        Some(PathRule { path, backend, field: texts::shared(&field) })
    }

    fn backend(&mut self, backend: &IngressBackend, field: fmt::Arguments<'_>) -> BackendRef {
        match (&backend.service, &backend.resource) {
            (Some(_), Some(_)) => self.note(Code::InvalidBackend, field, "it names both a service and a resource"),
            (None, Some(resource)) => {
                let group = resource.api_group.as_deref().filter(|group| !group.is_empty());
                let kind = group.map_or_else(|| resource.kind.clone(), |group| format!("{}.{group}", resource.kind));
                return BackendRef::Resource { kind, name: resource.name.clone() };
            }
            (Some(service), None) if !service.name.is_empty() => {
                let port = service.port.as_ref();
                let number = port.and_then(|port| port.number).filter(|number| *number != 0);
                let name = port.and_then(|port| port.name.as_deref()).filter(|name| !name.is_empty());
                match (number.map(u16::try_from), name) {
                    (Some(Ok(number)), None) => {
                        return BackendRef::Service { name: service.name.as_str().into(), port: PortRef::Number(number) };
                    }
                    (None, Some(name)) => {
                        return BackendRef::Service { name: service.name.as_str().into(), port: PortRef::Name(texts::shared(name)) };
                    }
                    (Some(Err(_)), _) => {
                        self.note(
                            Code::InvalidBackend,
                            format_args!("{field}.service.port.number"),
                            "the port is not a number from 1 to 65535",
                        );
                    }
                    (Some(Ok(_)), Some(_)) => {
                        self.note(Code::InvalidBackend, format_args!("{field}.service.port"), "the port has both a name and a number");
                    }
                    (None, None) => self.note(Code::InvalidBackend, format_args!("{field}.service.port"), "the port is missing"),
                }
            }
            (Some(_), None) => self.note(Code::InvalidBackend, format_args!("{field}.service.name"), "the Service's name is missing"),
            (None, None) => self.note(Code::InvalidBackend, field, "it names neither a service nor a resource"),
        }
        BackendRef::Incomplete
    }
}
