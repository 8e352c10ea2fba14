//! The settings of an object, as its annotations or parameters give them.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;
use crate::object::ObjectRef;
use crate::policy::Policy;

/// What annotations or parameters say.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) policy: Policy,
    pub(super) findings: Vec<Diagnostic>,
    /// Whether a finding keeps this version from taking the place of a good one.
    pub(super) keeps_last_good: bool,
}

/// Reads the annotations of an object.
pub(super) fn read_annotations(_reference: &ObjectRef, _annotations: &BTreeMap<String, String>) -> Settings {
    Settings::default()
}

/// Reads the settings of a class's parameters.
pub(super) fn read_parameters(_reference: &ObjectRef, _parameters: &tidegate_crds::ClassParameters) -> Settings {
    Settings::default()
}
