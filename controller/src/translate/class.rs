//! Whose an Ingress is, and what its class says of it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use tidegate_proxy::model::Compatibility;

use super::options::{INGRESS_NGINX, Options};
use crate::diagnostic::{Code, Diagnostic};
use crate::object::{Kind, ObjectRef};
use crate::policy::{Policy, Refusal};
use crate::reconcile::JudgedParameters;
use crate::snapshot::{ClassName, ClassObject, Snapshot};

/// Whose an Ingress is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ownership {
    /// Ours, with these settings of its class.
    Ours(ClassSettings),
    /// Somebody else's.
    Foreign,
    /// It names a class that does not exist.
    MissingClass(String),
}

/// What a class says of its Ingresses.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClassSettings {
    /// Defaults for what the Ingress does not say.
    pub(super) defaults: Policy,
    /// Whose conventions its hosts follow.
    pub(super) compatibility: Compatibility,
}

/// Says whose an Ingress of this class is.
pub(super) fn ownership(snapshot: &Snapshot, options: &Options, class: &ClassName) -> Ownership {
    let flagged = |name: &str| options.ingress_class.as_deref() == Some(name);
    match class {
        ClassName::Field(name) => match snapshot.class(name) {
            Some(class) => of_class(snapshot, options, name, class),
            None if flagged(name) && snapshot.is_unavailable(Kind::IngressClass) => Ownership::Ours(without_class(options)),
            None if snapshot.is_unavailable(Kind::IngressClass) => Ownership::Foreign,
            None => Ownership::MissingClass(name.to_string()),
        },
        // The annotation is older than the kind: it may name a class that only a flag knows.
        ClassName::Annotation(name) => match snapshot.class(name) {
            Some(class) => of_class(snapshot, options, name, class),
            None if flagged(name) => Ownership::Ours(without_class(options)),
            None => Ownership::Foreign,
        },
        ClassName::Unwritten => match default_class(snapshot) {
            Some((name, class)) => of_class(snapshot, options, &name.name, class),
            None => classless(options),
        },
        ClassName::Absent => classless(options),
    }
}

fn classless(options: &Options) -> Ownership {
    if options.watch_without_class { Ownership::Ours(without_class(options)) } else { Ownership::Foreign }
}

/// Settings where there is no class object to ask.
fn without_class(options: &Options) -> ClassSettings {
    let nginx = options.controllers.iter().any(|name| &**name == INGRESS_NGINX);
    let compatibility = if nginx { Compatibility::IngressNginx } else { Compatibility::Native };
    ClassSettings { defaults: Policy::default(), compatibility }
}

fn is_ours(options: &Options, name: &str, class: &ClassObject) -> bool {
    options.controllers.contains(&class.controller) || (options.class_by_name && options.ingress_class.as_deref() == Some(name))
}

fn of_class(snapshot: &Snapshot, options: &Options, name: &str, class: &ClassObject) -> Ownership {
    if !is_ours(options, name, class) {
        return Ownership::Foreign;
    }
    let target = class.parameters.as_ref().and_then(|target| target.supported());
    let parameters = target.as_ref().and_then(|target| snapshot.parameters(&target.name));
    // What they would say may be a protection: without them nothing of the class is open.
    let missing = || Policy { refuse: target.is_some().then_some(Refusal::ClassParameters), ..Policy::default() };
    let by_controller = if &*class.controller == INGRESS_NGINX { Compatibility::IngressNginx } else { Compatibility::Native };
    Ownership::Ours(ClassSettings {
        defaults: parameters.map_or_else(missing, |parameters| parameters.policy.clone()),
        compatibility: parameters.and_then(|parameters| parameters.compatibility).unwrap_or(by_controller),
    })
}

/// Returns the class object that an Ingress belongs to, if there is one.
#[must_use]
pub fn class_of(snapshot: &Snapshot, class: &ClassName) -> Option<ObjectRef> {
    match class {
        ClassName::Field(name) | ClassName::Annotation(name) => snapshot.class(name).map(|_| ObjectRef::new(Kind::IngressClass, "", name)),
        ClassName::Unwritten => default_class(snapshot).map(|(name, _)| name.clone()),
        ClassName::Absent => None,
    }
}

/// Returns the class of Ingresses that name none: among several the newest, then the first by name, as the API server has it.
fn default_class(snapshot: &Snapshot) -> Option<(&ObjectRef, &ClassObject)> {
    let classes = snapshot.classes().filter(|(_, class)| class.is_default).map(|(name, class)| (name, &**class));
    classes.min_by_key(|(name, class)| (Reverse(class.created), *name))
}

/// Says what is to be told of the parameters of our classes, sorted by name.
pub(super) fn judged_parameters(snapshot: &Snapshot, options: &Options) -> Vec<JudgedParameters> {
    let ours = snapshot.classes().filter(|(name, class)| is_ours(options, &name.name, class));
    let targets: BTreeSet<_> = ours.filter_map(|(_, class)| class.parameters.as_ref()?.supported()).collect();
    let judged = targets.into_iter().filter_map(|reference| {
        let current = snapshot.parameters_entry(&reference)?.current()?;
        let generation = current.as_ref().ok().and_then(|parameters| parameters.generation);
        Some(JudgedParameters { generation, findings: snapshot.problems(&reference), reference })
    });
    judged.collect()
}

/// Says what is wrong with the parameters of our classes.
pub(super) fn class_findings(snapshot: &Snapshot, options: &Options) -> Vec<Diagnostic> {
    let ours = snapshot.classes().filter(|(name, class)| is_ours(options, &name.name, class));
    ours.filter_map(|(name, class)| {
        let target = class.parameters.as_ref()?;
        let Some(reference) = target.supported() else {
            let scope = if target.namespaced { "of scope Namespace" } else { "of scope Cluster" };
            let message = format!("{} {} {scope} is not read as parameters; the class serves without them", target.kind, target.name);
            return Some(Diagnostic::at(name, Code::UnsupportedParameters, "spec.parameters", message));
        };
        let consequence = match snapshot.parameters(&target.name) {
            Some(_) if snapshot.has_parameters(&target.name) => return None,
            Some(_) => "it stays in force as it last was",
            None => "all paths of the class answer 503, since it may hold a protection",
        };
        let problem = if snapshot.has_parameters(&target.name) {
            "cannot be understood"
        } else if snapshot.is_unavailable(Kind::ClassParameters) {
            "cannot be read from the API server"
        } else {
            "does not exist"
        };
        let message = format!("{reference} {problem}; {consequence}");
        Some(Diagnostic::at(name, Code::MissingParameters, "spec.parameters.name", message))
    })
    .collect()
}
