//! Classes and their parameters, trimmed and parsed.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::IngressClass;
use serde::{Deserialize, Serialize};
use tidegate_crds::ClassParameters;
use tidegate_proxy::model::Compatibility;

use super::Version;
use crate::annotations::{Parsed, Verdict};
use crate::diagnostic::Diagnostic;
use crate::object::{Kind, ObjectRef};
use crate::policy::{Policy, of_class};

const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// An `IngressClass`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassObject {
    /// Who serves the class.
    pub controller: Arc<str>,
    /// Whether it is the class of Ingresses that name none.
    pub is_default: bool,
    /// When it was made; `None` where the object does not say.
    pub created: Option<Timestamp>,
    /// What its parameters point to.
    pub parameters: Option<ParametersTarget>,
}

/// What the parameters of a class point to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParametersTarget {
    /// The kind with its group, `ClassParameters.tidegate.dev` style.
    pub kind: String,
    /// The object's name.
    pub name: Arc<str>,
    /// Whether the object is to be looked for in a namespace (`scope: Namespace`).
    pub namespaced: bool,
}

impl Version for ClassObject {}

impl ClassObject {
    /// Reads a class.
    #[must_use]
    pub fn read(class: &IngressClass) -> Self {
        let spec = class.spec.clone().unwrap_or_default();
        let annotation = class.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DEFAULT_ANNOTATION));
        let parameters = spec.parameters.map(|target| ParametersTarget {
            kind: match target.api_group.as_deref() {
                Some(group) if !group.is_empty() => format!("{}.{group}", target.kind),
                Some(_) | None => target.kind,
            },
            name: target.name.into(),
            namespaced: target.scope.as_deref() == Some("Namespace") || target.namespace.is_some_and(|ns| !ns.is_empty()),
        });
        Self {
            controller: spec.controller.unwrap_or_default().into(),
            is_default: annotation.is_some_and(|value| value == "true"),
            created: class.metadata.creation_timestamp.as_ref().map(|created| created.0),
            parameters,
        }
    }
}

impl ParametersTarget {
    /// Returns the name of the parameters where they are of a kind and scope that is read.
    #[must_use]
    pub fn supported(&self) -> Option<ObjectRef> {
        (self.kind == "ClassParameters.tidegate.dev" && !self.namespaced).then(|| ObjectRef::new(Kind::ClassParameters, "", &self.name))
    }
}

/// The parameters of a class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParametersObject {
    /// The defaults of the class's Ingresses.
    pub policy: Policy,
    /// Whose conventions its hosts follow; `None` leaves it to the class's controller.
    pub compatibility: Option<Compatibility>,
    /// Whether all of it could be read.
    pub verdict: Verdict,
    /// Which version of its `spec` this is (`metadata.generation`); `None` where the object does not say.
    pub generation: Option<i64>,
    /// What cannot be served as written.
    pub findings: Vec<Diagnostic>,
}

impl Version for ParametersObject {
    fn is_good(&self) -> bool {
        self.verdict != Verdict::KeepLastGood
    }
}

impl ParametersObject {
    /// Reads parameters.
    #[must_use]
    pub fn read(reference: &ObjectRef, parameters: &ClassParameters) -> Self {
        let Parsed { policy, diagnostics, verdict } = of_class(reference, &parameters.spec);
        Self {
            policy,
            verdict,
            generation: parameters.metadata.generation,
            compatibility: parameters.spec.compatibility.map(|compatibility| match compatibility {
                tidegate_crds::Compatibility::Native => Compatibility::Native,
                tidegate_crds::Compatibility::IngressNginx => Compatibility::IngressNginx,
            }),
            findings: diagnostics,
        }
    }
}
