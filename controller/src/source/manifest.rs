//! One file of manifests: bytes in, objects and findings out. It knows nothing of directories or of time.
//!
//! A document is read as the API server would take it from `kubectl apply`: lists are expanded, a namespace that is not written is
//! `default`, a Secret's `stringData` is merged into its `data`, and absent fields that have a default get it. What `kubectl` would not
//! send, or the API server not accept as that kind (a boolean where a string belongs), is refused with its reason.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::body;
use super::yaml::{self, Document};
use crate::diagnostic::{Code, Diagnostic};
use crate::object::{FieldLines, Kind, Object, ObjectRef, Provenance};

/// Bytes that a file may have.
const MAX_FILE_BYTES: usize = 64 << 20;

/// What stands in one file.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// Its objects, in order.
    pub objects: Vec<Versioned>,
    /// What is wrong with it, as findings about the file, with `line N` as their field.
    pub problems: Vec<Diagnostic>,
    /// Documents of kinds that are not read, as findings about the file.
    pub ignored: Vec<Diagnostic>,
    /// Whether some of it could not be read, so that objects which it had before may still be meant.
    pub broken: bool,
}

/// An object with a number that changes when its text does. A change of its place alone is none of the object.
#[derive(Debug, Clone)]
pub struct Versioned {
    /// The object.
    pub object: Object,
    /// A hash of its content.
    pub version: u64,
}

/// Returns how findings name a file.
#[must_use]
pub fn file_reference(path: &Path) -> ObjectRef {
    ObjectRef::new(Kind::File, "", &path.to_string_lossy())
}

impl Manifest {
    /// Makes the manifest of a file that cannot be read at all.
    #[must_use]
    pub fn unreadable(path: &Path, why: &str) -> Self {
        let problem = Diagnostic::of(&file_reference(path), Code::InvalidFile, format!("the file cannot be read: {why}"));
        Self { problems: vec![problem], broken: true, ..Self::default() }
    }

    /// Reads a file's content.
    #[must_use]
    pub fn parse(path: &Arc<PathBuf>, content: &[u8]) -> Self {
        if content.len() > MAX_FILE_BYTES {
            return Self::unreadable(path, &format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20));
        }
        let text = match std::str::from_utf8(content) {
            Ok(text) => text,
            Err(error) => return Self::unreadable(path, &format!("it is not UTF-8 ({error})")),
        };
        let mut reader = Reader { path, file: file_reference(path), manifest: Self::default(), layouts: HashSet::new() };
        for document in yaml::documents(text) {
            match document {
                Ok(document) => reader.take(document),
                Err(error) => {
                    reader.problem(error.line, error.message);
                    reader.manifest.broken = true;
                }
            }
        }
        reader.manifest
    }
}

struct Reader<'a> {
    path: &'a Arc<PathBuf>,
    file: ObjectRef,
    manifest: Manifest,
    /// What objects of one shape share.
    layouts: HashSet<Arc<FieldLines>>,
}

impl Reader<'_> {
    fn problem(&mut self, line: usize, message: impl Into<String>) {
        self.manifest.problems.push(Diagnostic::at(&self.file, Code::InvalidFile, format!("line {line}"), message));
    }

    /// Takes a document, or the items of one that is a list.
    fn take(&mut self, document: Document) {
        let Document { value, line, lines } = document;
        let Value::Object(mut fields) = value else {
            self.problem(line, "the document is not an object: it has no fields such as `kind`");
            return;
        };
        let text = |fields: &Map<String, Value>, name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (text(&fields, "apiVersion"), text(&fields, "kind"));
        if let Some(item_kind) = kind.strip_suffix("List")
            && let Some(Value::Array(items)) = fields.get_mut("items")
        {
            for (index, mut item) in std::mem::take(items).into_iter().enumerate() {
                // Items of a typed list (`IngressList`) may leave out what the list says.
                if let Value::Object(item) = &mut item
                    && !item.contains_key("kind")
                    && !item_kind.is_empty()
                {
                    item.insert("apiVersion".into(), Value::String(api_version.clone()));
                    item.insert("kind".into(), Value::String(item_kind.to_owned()));
                }
                let place = format!("items[{index}]");
                let line = lines.get(&place).copied().unwrap_or(line);
                self.take(Document { value: item, line, lines: lines_below(&lines, &place) });
            }
            return;
        }
        if kind.is_empty() || api_version.is_empty() {
            self.problem(line, "the document has no `apiVersion` or no `kind`");
            return;
        }
        match body::known(&api_version, &kind) {
            Some(known) => self.object(known, &api_version, fields, line, lines),
            None => {
                let message = format!("{kind} of {api_version} is not read");
                self.manifest.ignored.push(Diagnostic::at(&self.file, Code::IgnoredKind, format!("line {line}"), message));
            }
        }
    }

    fn object(&mut self, kind: Kind, api_version: &str, fields: Map<String, Value>, line: usize, lines: BTreeMap<String, usize>) {
        let metadata = |name: &str| match fields.get("metadata").and_then(|metadata| metadata.get(name)) {
            Some(Value::String(text)) => text.clone(),
            Some(_) | None => String::new(),
        };
        let name = metadata("name");
        if name.is_empty() {
            self.problem(line, format!("the {kind} has no `metadata.name`"));
            return;
        }
        let namespace = match metadata("namespace") {
            _ if body::is_cluster_scoped(kind) => String::new(),
            written if written.is_empty() => "default".to_owned(),
            written => written,
        };
        let reference = ObjectRef::new(kind, &namespace, &name);
        let mut hasher = DefaultHasher::new();
        let value = Value::Object(fields);
        value.to_string().hash(&mut hasher);
        let position = self.manifest.objects.len();
        let fields = FieldLines::new(line, lines.iter().map(|(name, line)| (name.as_str(), *line))).shared(&mut self.layouts);
        let object = Object {
            body: body::from_manifest(kind, api_version, &namespace, value),
            reference,
            provenance: Provenance::File { path: Arc::clone(self.path), position, line, fields },
        };
        self.manifest.objects.push(Versioned { object, version: hasher.finish() });
    }
}

/// Returns the lines of the fields below a place, by their path from there.
fn lines_below(lines: &BTreeMap<String, usize>, place: &str) -> BTreeMap<String, usize> {
    let below = lines.range(place.to_owned()..).take_while(|(path, _)| path.starts_with(place));
    below
        .filter_map(|(path, line)| {
            let rest = path.strip_prefix(place)?;
            let rest = rest.strip_prefix('.').or_else(|| rest.starts_with('[').then_some(rest))?;
            Some((rest.to_owned(), *line))
        })
        .collect()
}
