//! Many files of manifests as one set of objects: which file counts where two have the same object, what is new since the last time,
//! and what is kept although its file no longer has it. Pure: it reads no disk and no clock ([`super::follow`] does).
//!
//! As with `kubectl apply -R -f DIR`, a directory stands for all `.yaml`, `.yml` and `.json` files in it and below. Names that begin with
//! a dot are left out: editors and ConfigMap mounts keep their own things there. Links to files are followed, links to directories not.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest::{Manifest, Versioned, file_reference};
use crate::diagnostic::{Code, Diagnostic};
use crate::object::{Kind, Object, ObjectRef, Provenance, SourceEvent};

/// Whether a file's content is known to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stillness {
    /// It has not changed for a while: what it does not have is gone.
    Still,
    /// It may be half-written: what it does not have is kept.
    Changing,
}

/// The objects of a set of files, and what was already told of them.
#[derive(Debug, Default)]
pub struct Directory {
    files: BTreeMap<Arc<PathBuf>, File>,
    /// `None` until the first events.
    told: Option<BTreeMap<ObjectRef, (Arc<PathBuf>, u64)>>,
    told_problems: BTreeMap<ObjectRef, Vec<Diagnostic>>,
    /// What is wrong with directories.
    trouble: Vec<Diagnostic>,
}

#[derive(Debug, Default)]
struct File {
    manifest: Manifest,
    /// What it had before and may still mean.
    kept: Vec<Versioned>,
}

/// The merged view of all files.
struct View<'a> {
    objects: BTreeMap<&'a ObjectRef, (&'a Arc<PathBuf>, &'a Versioned)>,
    problems: BTreeMap<ObjectRef, Vec<Diagnostic>>,
}

impl Directory {
    /// Takes a file's content, new or changed. What it had before and has no more is kept while it is changing or broken.
    pub fn put(&mut self, path: &Arc<PathBuf>, manifest: Manifest, stillness: Stillness) {
        let file = self.files.entry(Arc::clone(path)).or_default();
        let before = std::mem::replace(&mut file.manifest, manifest).objects;
        let kept = std::mem::take(&mut file.kept);
        if stillness == Stillness::Changing || file.manifest.broken {
            let present: BTreeSet<_> = file.manifest.objects.iter().map(|found| &found.object.reference).collect();
            file.kept = before.into_iter().chain(kept).filter(|object| !present.contains(&object.object.reference)).collect();
        }
    }

    /// Takes note that a file is gone, and its objects with it.
    pub fn remove(&mut self, path: &Path) {
        self.files.retain(|known, _| known.as_path() != path);
    }

    /// Takes note of the directories that cannot be listed now.
    pub fn set_trouble(&mut self, unreadable: &[(PathBuf, io::Error)]) {
        let finding = |(directory, error): &(PathBuf, io::Error)| {
            let message = format!("it cannot be looked at: {error}; its objects stay as they were");
            Diagnostic::of(&file_reference(directory), Code::InvalidFile, message)
        };
        self.trouble = unreadable.iter().map(finding).collect();
    }

    /// Returns what has changed since the last call; the first call yields every kind as a whole.
    pub fn events(&mut self) -> Vec<SourceEvent> {
        let View { objects, problems } = self.view();
        let mut events = Vec::new();
        let now: BTreeMap<ObjectRef, (Arc<PathBuf>, u64)> =
            objects.iter().map(|(name, (path, found))| ((*name).clone(), (Arc::clone(path), found.version))).collect();
        match &self.told {
            None => events.extend(Kind::ALL.iter().map(|kind| SourceEvent::Replace {
                kind: *kind,
                namespace: None,
                objects:
                    objects.values().map(|(_, found)| &found.object).filter(|object| object.reference.kind == *kind).cloned().collect(),
            })),
            Some(told) => {
                for kind in Kind::ALL {
                    let changed = objects.iter().filter(|(name, (path, found))| {
                        name.kind == *kind && told.get(**name).is_none_or(|(from, version)| (from, *version) != (*path, found.version))
                    });
                    events.extend(changed.map(|(_, (_, found))| SourceEvent::Apply(Box::new(found.object.clone()))));
                }
                events.extend(told.keys().filter(|name| !now.contains_key(name)).map(|name| SourceEvent::Delete(name.clone())));
            }
        }
        let files: BTreeSet<_> = problems.keys().chain(self.told_problems.keys()).collect();
        for file in files {
            let found = problems.get(file).cloned().unwrap_or_default();
            if self.told_problems.get(file).map_or(&[][..], Vec::as_slice) != found {
                events.push(SourceEvent::File { file: file.clone(), problems: found });
            }
        }
        self.told = Some(now);
        self.told_problems = problems;
        events
    }

    /// Returns the documents of kinds that are not read.
    pub fn ignored(&self) -> impl Iterator<Item = &Diagnostic> {
        self.files.values().flat_map(|file| &file.manifest.ignored)
    }

    /// Merges the files: of two that have the same object the first in order of path counts, in one file the first in order of line.
    fn view(&self) -> View<'_> {
        let mut objects = BTreeMap::<&ObjectRef, (&Arc<PathBuf>, &Versioned)>::new();
        let mut problems = BTreeMap::<ObjectRef, Vec<Diagnostic>>::new();
        for trouble in &self.trouble {
            problems.entry(trouble.object.clone()).or_default().push(trouble.clone());
        }
        for (path, file) in &self.files {
            let reference = file_reference(path);
            let mut found = file.manifest.problems.clone();
            for object in &file.manifest.objects {
                let name = &object.object.reference;
                if let Some((_, first)) = objects.get(name) {
                    let message = format!("it stands at {} and at {}; the first counts", place(&first.object), place(&object.object));
                    found.push(Diagnostic::of(name, Code::DuplicateObject, message));
                } else {
                    objects.insert(name, (path, object));
                }
            }
            for object in &file.kept {
                objects.entry(&object.object.reference).or_insert((path, object));
            }
            if !found.is_empty() {
                problems.entry(reference).or_default().extend(found);
            }
        }
        View { objects, problems }
    }
}

fn place(object: &Object) -> String {
    match &object.provenance {
        Provenance::File { path, line, .. } => format!("{}:{line}", path.display()),
        Provenance::Cluster { .. } => "the cluster".to_owned(),
    }
}

/// What a path stands for.
#[derive(Debug, Default)]
pub struct Listing {
    /// Its files, sorted: itself, or those in and below the directory that it names.
    pub files: Vec<PathBuf>,
    /// What of it cannot be looked at, and why: directories below, and files in those that may only be listed. What they hold is not
    /// known, which is not to say that it is gone.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

impl Listing {
    /// Lists what a path stands for.
    ///
    /// # Errors
    /// The path is not there, or is a directory that cannot be listed.
    pub fn of(path: &Path) -> io::Result<Self> {
        if !std::fs::metadata(path)?.is_dir() {
            return Ok(Self { files: vec![path.to_owned()], unreadable: Vec::new() });
        }
        let mut listing = Self::default();
        listing.collect(path)?;
        listing.files.sort();
        Ok(listing)
    }

    fn collect(&mut self, directory: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if entry.file_type()?.is_dir() {
                match self.collect(&path) {
                    // It went while we were looking.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => self.unreadable.push((path, error)),
                    Ok(()) => {}
                }
                continue;
            }
            let manifest = path.extension().is_some_and(|extension| matches!(extension.to_str(), Some("yaml" | "yml" | "json")));
            if !manifest {
                continue;
            }
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => self.files.push(path),
                // A directory of such a name, or a link that leads nowhere, is no file.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.unreadable.push((path, error)),
            }
        }
        Ok(())
    }

    /// Whether a file may be there although it is not listed.
    #[must_use]
    pub fn may_hold(&self, file: &Path) -> bool {
        self.unreadable.iter().any(|(directory, _)| file.starts_with(directory))
    }
}

/// What `tidegate check` reads.
#[derive(Debug)]
pub struct Loaded {
    /// The objects and the findings about files, as a source would report them at its start.
    pub events: Vec<SourceEvent>,
    /// Documents of kinds that are not read, as findings about their files.
    pub ignored: Vec<Diagnostic>,
}

/// Reads files and directories once.
///
/// # Errors
/// One of the paths is not there or cannot be listed: names it. A file or directory below that cannot be read is a finding instead.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, (PathBuf, io::Error)> {
    let (mut directory, mut trouble) = (Directory::default(), Vec::new());
    for path in paths {
        let listing = Listing::of(path).map_err(|error| (path.clone(), error))?;
        trouble.extend(listing.unreadable);
        for file in listing.files {
            let file = Arc::new(file);
            let manifest = match std::fs::read(file.as_path()) {
                Ok(content) => Manifest::parse(&file, &content),
                Err(error) => Manifest::unreadable(&file, &error.to_string()),
            };
            directory.put(&file, manifest, Stillness::Still);
        }
    }
    directory.set_trouble(&trouble);
    Ok(Loaded { events: directory.events(), ignored: directory.ignored().cloned().collect() })
}

#[cfg(test)]
#[path = "directory/tests.rs"]
mod tests;
