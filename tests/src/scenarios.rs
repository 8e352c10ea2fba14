//! Tests that hold whether the objects are in a cluster or in a directory, written once. Where the two differ the test says why.
//!
//! The thirty scenarios of the Ingress conformance suite are among them, in our own words: those of `default_backend`, `hosts`, `paths`,
//! `balancing` and `classes` that say so.

mod backends;
mod balancing;
mod classes;
mod default_backend;
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
        classes::all(),
        tls::all(),
        redirects::all(),
        survival::all(),
    ]
    .concat()
}
