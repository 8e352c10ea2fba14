//! YAML to JSON values with line numbers, read the way `kubectl` reads it.
//!
//! Scalars follow the rules of sigs.k8s.io/yaml (YAML 1.1 with go-yaml's cuts): unquoted `yes`, `on` and `y` are booleans, `0777` is
//! octal, a date is a string. Stricter than it in one point: a key that stands twice is an error, as the API server's strict field
//! validation has it. A document that is broken costs itself alone.

mod scalar;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Parser, Tag};
use serde_json::{Map, Value};

/// Levels that a document may nest; Kubernetes objects stay below 20.
const MAX_DEPTH: usize = 100;
/// Values that the aliases of one document may bring in together: what makes "a billion laughs" end early.
const MAX_ALIASED: usize = 100_000;

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// The line of its first value, from 1.
    pub line: usize,
    /// The line of every field, by its path: `spec.rules[0].host`; a key that is no plain word stands in brackets, `data[tls.crt]`.
    pub lines: BTreeMap<String, usize>,
}

/// Why a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct InvalidYaml {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

/// Reads all documents of a file. Empty ones are left out.
#[must_use]
pub fn documents(text: &str) -> Vec<Result<Document, InvalidYaml>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    split(text).into_iter().filter_map(|(before, part)| document(part, before).transpose()).collect()
}

/// Cuts a file at its `---` lines, so that an error ends with its document. YAML allows that line nowhere else, not even in block
/// scalars (YAML 1.2.2 §9.1.2). Yields the number of lines before each part.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut start_line, mut position) = (0, 0, 0);
    for (line, content) in text.split_inclusive('\n').enumerate() {
        let marker = content.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        let directives = text.get(start..position).is_some_and(|part| part.starts_with('%'));
        if marker && !directives {
            parts.push((start_line, text.get(start..position).unwrap_or_default()));
            (start, start_line) = (position, line);
        }
        position += content.len();
    }
    parts.push((start_line, text.get(start..).unwrap_or_default()));
    parts
}

/// Reads one document that has `before` lines before it; `None` if there is nothing in it.
fn document(text: &str, before: usize) -> Result<Option<Document>, InvalidYaml> {
    let mut composer = Composer::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) =
            event.map_err(|e| InvalidYaml { line: before + e.marker().line(), message: format!("not YAML: {}", e.info()) })?;
        composer.take(event, before + span.start.line())?;
    }
    let Some((value, line)) = composer.done else { return Ok(None) };
    Ok((!value.is_null()).then_some(Document { value, line, lines: composer.lines }))
}

/// Builds a value from events, without recursion.
#[derive(Default)]
struct Composer {
    open: Vec<Open>,
    /// The path of the value that comes next.
    path: String,
    lines: BTreeMap<String, usize>,
    anchors: HashMap<usize, (Value, usize)>,
    aliased: usize,
    done: Option<(Value, usize)>,
}

/// A collection that has begun and not ended.
struct Open {
    node: Node,
    anchor: usize,
    line: usize,
    /// Length of the path of the collection itself.
    path: usize,
    /// Values in it so far, itself included.
    size: usize,
}

enum Node {
    Sequence(Vec<Value>),
    Mapping { entries: Map<String, Value>, key: Option<String>, merges: Vec<Value> },
}

impl Composer {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), InvalidYaml> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                if let Some(Open { node: Node::Mapping { entries, key: key @ None, .. }, .. }) = self.open.last_mut() {
                    if entries.contains_key(&*text) {
                        return Err(InvalidYaml { line, message: format!("the key `{text}` stands twice in this mapping") });
                    }
                    push_key(&mut self.path, &text);
                    self.lines.insert(self.path.clone(), line);
                    *key = Some(text.into_owned());
                    return Ok(());
                }
                let value = scalar::resolve(&text, style, tag.as_deref()).map_err(|message| InvalidYaml { line, message })?;
                self.begin(line)?;
                self.end(value, 1, anchor, line)
            }
            Event::Alias(anchor) => {
                let Some((value, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(InvalidYaml { line, message: "an alias stands inside the value of its own anchor".into() });
                };
                self.aliased += size;
                if self.aliased > MAX_ALIASED {
                    return Err(InvalidYaml { line, message: format!("the aliases repeat more than {MAX_ALIASED} values") });
                }
                self.begin(line)?;
                self.end(value, size, 0, line)
            }
            Event::SequenceStart(anchor, tag) => self.open(Node::Sequence(Vec::new()), anchor, tag, line),
            Event::MappingStart(anchor, tag) => {
                self.open(Node::Mapping { entries: Map::new(), key: None, merges: Vec::new() }, anchor, tag, line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::DocumentStart(_) if self.done.is_some() => {
                Err(InvalidYaml { line, message: "a second document begins without `---`".into() })
            }
            Event::DocumentStart(_) | Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(&mut self, node: Node, anchor: usize, _tag: Option<Cow<'_, Tag>>, line: usize) -> Result<(), InvalidYaml> {
        if self.open.len() >= MAX_DEPTH {
            return Err(InvalidYaml { line, message: format!("it nests deeper than {MAX_DEPTH} levels") });
        }
        self.begin(line)?;
        self.open.push(Open { node, anchor, line, path: self.path.len(), size: 1 });
        Ok(())
    }

    /// A value begins: an element of a sequence gets its place in the path.
    fn begin(&mut self, line: usize) -> Result<(), InvalidYaml> {
        match self.open.last() {
            Some(Open { node: Node::Sequence(items), path, .. }) => {
                self.path.truncate(*path);
                self.path.push_str(&format!("[{}]", items.len()));
                self.lines.insert(self.path.clone(), line);
                Ok(())
            }
            Some(Open { node: Node::Mapping { key: None, .. }, .. }) => {
                Err(InvalidYaml { line, message: "the key of a mapping must be a word, not a collection or an alias".into() })
            }
            Some(Open { node: Node::Mapping { .. }, .. }) | None => Ok(()),
        }
    }

    /// A value has ended: it goes to the collection that is open.
    fn end(&mut self, value: Value, size: usize, anchor: usize, line: usize) -> Result<(), InvalidYaml> {
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.done = Some((value, line));
            return Ok(());
        };
        self.path.truncate(open.path);
        open.size += size;
        match &mut open.node {
            Node::Sequence(items) => items.push(value),
            Node::Mapping { entries, key, merges } => match key.take() {
                Some(merge) if merge == "<<" => merge_into(merges, value, line)?,
                Some(key) => drop(entries.insert(key, value)),
                None => {}
            },
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), InvalidYaml> {
        let Some(Open { node, anchor, line, size, .. }) = self.open.pop() else { return Ok(()) };
        let value = match node {
            Node::Sequence(items) => Value::Array(items),
            Node::Mapping { mut entries, merges, .. } => {
                for merge in merges {
                    if let Value::Object(merge) = merge {
                        for (key, value) in merge {
                            entries.entry(key).or_insert(value);
                        }
                    }
                }
                Value::Object(entries)
            }
        };
        self.end(value, size, anchor, line)
    }
}

/// Notes what `<<` brings into a mapping (yaml.org/type/merge): a mapping, or several of which the first wins.
fn merge_into(merges: &mut Vec<Value>, value: Value, line: usize) -> Result<(), InvalidYaml> {
    match value {
        Value::Object(_) => merges.push(value),
        Value::Array(values) if values.iter().all(Value::is_object) => merges.extend(values),
        Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(InvalidYaml { line, message: "`<<` takes a mapping, or a list of mappings".into() });
        }
    }
    Ok(())
}

/// Appends a mapping's key to a path.
fn push_key(path: &mut String, key: &str) {
    if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    } else {
        path.push('[');
        path.push_str(key);
        path.push(']');
    }
}

#[cfg(test)]
#[path = "yaml/tests.rs"]
mod tests;
