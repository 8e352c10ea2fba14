//! Tests that hold whether the objects are in a cluster or in a directory, written once. Where the two differ the test says why.
//!
//! The thirty scenarios of the Ingress conformance suite are counted off in `conformance`; the other files ask more of
//! the same things.

mod backends;
mod balancing;
mod class_parameters;
mod classes;
mod conformance;
mod default_backend;
mod explain;
mod external_names;
mod hosts;
mod paths;
mod redirects;
mod survival;
mod tls;

use crate::run::Scenario;

/// Returns all of them.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [
        default_backend::all(),
        hosts::all(),
        paths::all(),
        balancing::all(),
        backends::all(),
        external_names::all(),
        classes::all(),
        class_parameters::all(),
        conformance::all(),
        tls::all(),
        redirects::all(),
        survival::all(),
        explain::all(),
    ]
    .concat()
}
