//! A snapshot as a document, and back: a report of a fault can carry one, and whoever loads it gets the same table.
//!
//! It has what translation reads: every object as it was parsed, in its current and its last good version, and what DNS names resolve to.
//! It has no private key, nor anything that a certificate is read from, so that what was loaded serves no TLS handshake. Also left out
//! are the lines of fields in files (findings stand at the line of their object), and what flags say: whoever loads it gives them anew,
//! with [`Snapshot::pin_secret`] among them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use tidegate_proxy::model::{HostMatch, InvalidHost};

use super::entry::Versions;
use super::references::References;
use super::{
    ClassObject, Entry, IngressObject, Objects, ParametersObject, Resolution, SecretObject, ServiceObject, SliceObject, Snapshot, Version,
};
use crate::diagnostic::Diagnostic;
use crate::object::{Kind, ObjectRef, Provenance};

/// The format of documents that are written and read. It counts up with every change of what can stand in one.
const FORMAT: u32 = 1;

/// A snapshot to be saved. It shares the objects of the one it was made of, and so costs little until it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedSnapshot {
    format: u32,
    /// The version of the program that wrote it, for people.
    tidegate: String,
    watched: BTreeSet<Arc<str>>,
    listed: BTreeSet<(Kind, Option<Arc<str>>)>,
    unavailable: BTreeMap<Kind, String>,
    classes: Vec<SavedObject<ClassObject>>,
    parameters: Vec<SavedObject<ParametersObject>>,
    ingresses: Vec<SavedObject<IngressObject>>,
    services: Vec<SavedObject<ServiceObject>>,
    slices: Vec<SavedObject<SliceObject>>,
    secrets: Vec<SavedObject<SecretObject>>,
    resolutions: BTreeMap<Arc<str>, Resolution>,
    /// What is wrong with files, by path.
    files: BTreeMap<Arc<str>, Vec<Diagnostic>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedObject<T> {
    namespace: Arc<str>,
    name: Arc<str>,
    provenance: Provenance,
    versions: Versions<T>,
}

/// Why a document is not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidSnapshot {
    /// The field at fault, `ingresses[3].versions` style; `.` for the document as a whole.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Snapshot {
    /// Returns all of it as it is now, to be written.
    #[must_use]
    pub fn save(&self) -> SavedSnapshot {
        SavedSnapshot {
            format: FORMAT,
            tidegate: env!("CARGO_PKG_VERSION").to_owned(),
            watched: self.watched.clone(),
            listed: self.listed.clone(),
            unavailable: self.unavailable.clone(),
            classes: save(&self.classes),
            parameters: save(&self.parameters),
            ingresses: save(&self.ingresses),
            services: save(&self.services),
            slices: save(&self.slices),
            secrets: save(&self.secrets),
            resolutions: self.resolutions.clone(),
            files: self.files.iter().map(|(file, problems)| (Arc::clone(&file.name), problems.clone())).collect(),
        }
    }

    /// Reads the JSON of a saved snapshot.
    ///
    /// # Errors
    /// It is damaged, or of another format.
    pub fn load(json: &[u8]) -> Result<Self, InvalidSnapshot> {
        let mut document = serde_json::Deserializer::from_slice(json);
        let saved: SavedSnapshot = serde_path_to_error::deserialize(&mut document).map_err(|error| {
            // Of another format nothing else need be right.
            let reason = error.inner().to_string();
            other_format(json).unwrap_or_else(|| InvalidSnapshot { field: error.path().to_string(), reason })
        })?;
        document.end().map_err(|error| invalid(".", error.to_string()))?;
        saved.into_snapshot()
    }
}

fn other_format(json: &[u8]) -> Option<InvalidSnapshot> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let Head { format } = serde_json::from_slice(json).ok()?;
    (format != FORMAT).then(|| invalid("format", format!("it is of format {format}; this version of Tidegate reads format {FORMAT}")))
}

fn invalid(field: impl Into<String>, reason: impl Into<String>) -> InvalidSnapshot {
    InvalidSnapshot { field: field.into(), reason: reason.into() }
}

fn save<T: Version>(objects: &Objects<T>) -> Vec<SavedObject<T>> {
    let saved = objects.iter().map(|(ObjectRef { kind: _, namespace, name }, entry)| SavedObject {
        namespace: Arc::clone(namespace),
        name: Arc::clone(name),
        provenance: entry.provenance().clone(),
        versions: entry.save(),
    });
    saved.collect()
}

fn load<T: Version>(field: &str, kind: Kind, saved: Vec<SavedObject<T>>) -> Result<Objects<T>, InvalidSnapshot> {
    let mut objects = Objects::new();
    for (index, SavedObject { namespace, name, provenance, versions }) in saved.into_iter().enumerate() {
        let reference = ObjectRef { kind, namespace, name };
        if objects.contains_key(&reference) {
            return Err(invalid(format!("{field}[{index}]"), format!("{reference} is there twice")));
        }
        objects.insert(reference, Entry::load(provenance, versions));
    }
    Ok(objects)
}

impl SavedSnapshot {
    fn into_snapshot(self) -> Result<Snapshot, InvalidSnapshot> {
        let Self { format, tidegate: _, watched, listed, unavailable, .. } = self;
        if format != FORMAT {
            return Err(invalid("format", format!("it is of format {format}; this version of Tidegate reads format {FORMAT}")));
        }
        let mut snapshot = Snapshot {
            classes: load("classes", Kind::IngressClass, self.classes)?,
            parameters: load("parameters", Kind::ClassParameters, self.parameters)?,
            ingresses: load("ingresses", Kind::Ingress, self.ingresses)?,
            services: load("services", Kind::Service, self.services)?,
            slices: load("slices", Kind::EndpointSlice, self.slices)?,
            secrets: load("secrets", Kind::Secret, self.secrets)?,
            references: References::default(),
            doubtful: BTreeSet::new(),
            resolutions: self.resolutions,
            files: self.files.into_iter().map(|(path, problems)| (ObjectRef::new(Kind::File, "", &path), problems)).collect(),
            unavailable,
            watched,
            listed,
        };
        for kind in [Kind::IngressClass, Kind::EndpointSlice, Kind::Ingress] {
            for reference in snapshot.names(kind) {
                snapshot.index(&reference);
            }
        }
        Ok(snapshot)
    }
}

/// Reads a host as it is written: as an Ingress has it, but for `*`, which is any.
pub(super) fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HostMatch, D::Error> {
    read_host(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads hosts, each as [`host`] does.
pub(super) fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[HostMatch]>, D::Error> {
    Vec::<String>::deserialize(deserializer)?.iter().map(|text| read_host(text).map_err(D::Error::custom)).collect()
}

fn read_host(text: &str) -> Result<HostMatch, InvalidHost> {
    if text == "*" { Ok(HostMatch::Any) } else { HostMatch::of_ingress(text) }
}

#[cfg(test)]
#[path = "saved/tests.rs"]
mod tests;
