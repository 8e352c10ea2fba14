//! Many files of manifests as one set of objects: which file counts where two have the same object, what is new since the last time,
//! and what is kept although its file no longer has it. Pure: it reads no disk and no clock ([`super::follow`] does).
//!
//! As with `kubectl apply -R -f DIR`, a directory stands for all `.yaml`, `.yml` and `.json` files in it and below. Names that begin with
//! a dot are left out: editors and ConfigMap mounts keep their own things there. Links to files are followed, links to directories not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest::{Manifest, Versioned, file_reference};
use crate::diagnostic::{Code, Diagnostic};
use crate::few::Few;
use crate::object::{Kind, Object, ObjectRef, Provenance, SourceEvent};

/// Whether a file's content is known to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stillness {
    /// It has not changed for a while: what it does not have is gone.
    Still,
    /// It may be half-written: what it does not have is kept.
    Changing,
}

/// The objects of a set of files, and what was already told of them. A change costs what the files have that it touches.
#[derive(Debug, Default)]
pub struct Directory {
    files: BTreeMap<Arc<PathBuf>, File>,
    /// Which files have an object, or had it and may still mean it.
    holders: HashMap<ObjectRef, Few<Arc<PathBuf>, ()>>,
    /// What is wrong with directories, and with files that cannot even be looked at.
    trouble: BTreeMap<Arc<PathBuf>, Diagnostic>,
    /// Objects, files and directories that were touched since the last events.
    touched: BTreeSet<ObjectRef>,
    touched_files: BTreeSet<Arc<PathBuf>>,
    /// Each object by the version and place that were told; `None` until the first events.
    told: Option<HashMap<ObjectRef, (u64, Provenance)>>,
    told_problems: HashMap<Arc<PathBuf>, Vec<Diagnostic>>,
}

#[derive(Debug, Default)]
struct File {
    manifest: Manifest,
    /// Where in the manifest each object stands first.
    places: HashMap<ObjectRef, usize>,
    /// What it had before and may still mean.
    kept: Vec<Versioned>,
}

impl File {
    fn names(&self) -> impl Iterator<Item = &ObjectRef> {
        self.places.keys().chain(self.kept.iter().map(|kept| &kept.object.reference))
    }

    fn find(&self, name: &ObjectRef) -> Option<&Versioned> {
        let written = self.places.get(name).and_then(|place| self.manifest.objects.get(*place));
        written.or_else(|| self.kept.iter().find(|kept| kept.object.reference == *name))
    }
}

impl Directory {
    /// Takes a file's content, new or changed. What it had before and has no more is kept while it is changing or broken.
    pub fn put(&mut self, path: &Arc<PathBuf>, manifest: Manifest, stillness: Stillness) {
        let File { manifest: before, places: _, kept } = self.take(path);
        let mut file = File { manifest, ..File::default() };
        for (place, found) in file.manifest.objects.iter().enumerate() {
            file.places.entry(found.object.reference.clone()).or_insert(place);
        }
        if stillness == Stillness::Changing || file.manifest.broken {
            let gone = |object: &Versioned| !file.places.contains_key(&object.object.reference);
            file.kept = before.objects.into_iter().chain(kept).filter(gone).collect();
        }
        for name in file.names() {
            self.holders.entry(name.clone()).or_default().insert(Arc::clone(path), ());
            self.touched.insert(name.clone());
        }
        self.files.insert(Arc::clone(path), file);
    }

    /// Takes note that a file is gone, and its objects with it.
    pub fn remove(&mut self, path: &Path) {
        self.take(&Arc::new(path.to_owned()));
    }

    /// Takes a file out.
    fn take(&mut self, path: &Arc<PathBuf>) -> File {
        self.touched_files.insert(Arc::clone(path));
        let file = self.files.remove(path).unwrap_or_default();
        for name in file.names() {
            if let Some(holders) = self.holders.get_mut(name) {
                holders.remove(path);
                if holders.is_empty() {
                    self.holders.remove(name);
                }
            }
            self.touched.insert(name.clone());
        }
        file
    }

    /// Takes note of all that cannot be looked at now.
    pub fn set_trouble(&mut self, unreadable: &[(PathBuf, io::Error)]) {
        let finding = |(path, error): &(PathBuf, io::Error)| {
            let message = format!("it cannot be looked at: {error}; its objects stay as they were");
            (Arc::new(path.clone()), Diagnostic::of(&file_reference(path), Code::InvalidFile, message))
        };
        let before = std::mem::replace(&mut self.trouble, unreadable.iter().map(finding).collect());
        let differs = |path: &&Arc<PathBuf>| before.get(*path) != self.trouble.get(*path);
        self.touched_files.extend(before.keys().chain(self.trouble.keys()).filter(differs).cloned());
    }

    /// Returns what has changed since the last call; the first call yields every kind as a whole.
    pub fn events(&mut self) -> Vec<SourceEvent> {
        let mut events = Vec::new();
        let touched = std::mem::take(&mut self.touched);
        match self.told.take() {
            None => {
                let names: BTreeSet<&ObjectRef> = self.holders.keys().collect();
                events.extend(Kind::ALL.iter().map(|kind| {
                    let of_kind = names.iter().filter(|name| name.kind == *kind);
                    let objects = of_kind.filter_map(|name| Some(self.winner(name)?.object.clone())).collect();
                    SourceEvent::Replace { kind: *kind, namespace: None, objects }
                }));
                self.told = Some(names.into_iter().filter_map(|name| Some((name.clone(), self.winner(name)?.told()))).collect());
            }
            Some(mut told) => {
                for kind in Kind::ALL {
                    for name in touched.iter().filter(|name| name.kind == *kind) {
                        let Some(found) = self.winner(name) else { continue };
                        if told.get(name) != Some(&found.told()) {
                            told.insert(name.clone(), found.told());
                            events.push(SourceEvent::Apply(Box::new(found.object.clone())));
                        }
                    }
                }
                let gone = touched.iter().filter(|name| !self.holders.contains_key(name) && told.remove(name).is_some());
                events.extend(gone.cloned().map(SourceEvent::Delete));
                self.told = Some(told);
            }
        }
        self.tell_problems(&touched, &mut events);
        events
    }

    /// Tells what is wrong with the files that were touched, or that have an object which was.
    fn tell_problems(&mut self, touched: &BTreeSet<ObjectRef>, events: &mut Vec<SourceEvent>) {
        let mut files = std::mem::take(&mut self.touched_files);
        files.extend(touched.iter().filter_map(|name| self.holders.get(name)).flat_map(Few::keys).cloned());
        for path in files {
            let problems = self.problems(&path);
            if self.told_problems.get(&path).map_or(&[][..], Vec::as_slice) == problems {
                continue;
            }
            events.push(SourceEvent::File { file: file_reference(&path), problems: problems.clone() });
            if problems.is_empty() {
                self.told_problems.remove(&path);
            } else {
                self.told_problems.insert(path, problems);
            }
        }
    }

    /// Returns the documents of kinds that are not read.
    pub fn ignored(&self) -> impl Iterator<Item = &Diagnostic> {
        self.files.values().flat_map(|file| &file.manifest.ignored)
    }

    /// Returns the object of a name that counts: of two files that have it the first in order of path, in one file the first in order
    /// of line.
    fn winner(&self, name: &ObjectRef) -> Option<&Versioned> {
        let (path, ()) = self.holders.get(name)?.iter().next()?;
        self.files.get(path)?.find(name)
    }

    /// Returns what is wrong with a file.
    fn problems(&self, path: &Arc<PathBuf>) -> Vec<Diagnostic> {
        let mut problems: Vec<_> = self.trouble.get(path).cloned().into_iter().collect();
        let Some(file) = self.files.get(path) else { return problems };
        problems.extend(file.manifest.problems.iter().cloned());
        for found in &file.manifest.objects {
            let name = &found.object.reference;
            if let Some(first) = self.winner(name)
                && first.object.provenance != found.object.provenance
            {
                let message = format!("it stands at {} and at {}; the first counts", place(&first.object), place(&found.object));
                problems.push(Diagnostic::of(name, Code::DuplicateObject, message));
            }
        }
        problems
    }
}

impl Versioned {
    /// Returns what tells whether there is something to tell: its content and its place.
    fn told(&self) -> (u64, Provenance) {
        (self.version, self.object.provenance.clone())
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
    /// What of it cannot be looked at, and why: directories below, and links. What they hold is not known, which is not to say that it
    /// is gone.
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
            let file_type = entry.file_type()?;
            if file_type.is_dir() {
                match self.collect(&path) {
                    // It went while we were looking.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => self.unreadable.push((path, error)),
                    Ok(()) => {}
                }
                continue;
            }
            let manifest = path.extension().is_some_and(|extension| matches!(extension.to_str(), Some("yaml" | "yml" | "json")));
            if manifest && file_type.is_file() {
                self.files.push(path);
            } else if manifest {
                match std::fs::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => self.files.push(path),
                    // What is no file, or a link that leads to none, or nowhere.
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => self.unreadable.push((path, error)),
                }
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
