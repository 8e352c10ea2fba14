//! Annotations of an Ingress: text to a [`Policy`], and what is wrong with them.
//!
//! Every annotation has two names, `nginx.ingress.kubernetes.io/X` and `tidegate.dev/X`. The first takes what ingress-nginx takes; the
//! second takes that and what Kubernetes users write elsewhere (times and sizes with their units). Other prefixes belong to others.

mod registry;
mod unbuilt;
pub(crate) mod values;

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::object::ObjectRef;
use crate::policy::{Policy, Refusal};

pub use registry::{BadValue, ROWS, Risk, Row, Scope};
use unbuilt::{Role, UNBUILT, UNREAD, Unbuilt};

pub(crate) use values::Fault;

const INGRESS_NGINX: &str = "nginx.ingress.kubernetes.io/";
const TIDEGATE: &str = "tidegate.dev/";
const F5: [&str; 2] = ["nginx.org/", "nginx.com/"];

/// The annotations of one object, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The settings; what could not be read is not among them.
    pub policy: Policy,
    /// What is wrong, ordered by annotation.
    pub diagnostics: Vec<Diagnostic>,
    /// What is to be done with the object.
    pub verdict: Verdict,
}

/// What the annotations of an object ask for as a whole. Ordered: a later one wins over an earlier one.
///
/// Beside it stands [`Policy::refuse`]: a protection that is not supported or not understood never fails open, so that it holds for the
/// last good version too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The object is served by its policy (which may refuse).
    Serve,
    /// A value could not be understood: the object stays whole as it last was when it could; one that never could is not served.
    KeepLastGood,
    /// The object asks for no routes of its own (`canary: "true"`, not built yet): it makes no Claims, and no conflicts.
    Abstain,
}

/// Which prefix an annotation stands under, and so what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dialect {
    /// `nginx.ingress.kubernetes.io/`: what ingress-nginx takes.
    IngressNginx,
    /// `tidegate.dev/`: that, and more.
    Tidegate,
}

impl Dialect {
    /// Returns the prefix, with its slash.
    fn prefix(self) -> &'static str {
        match self {
            Self::IngressNginx => INGRESS_NGINX,
            Self::Tidegate => TIDEGATE,
        }
    }
}

/// Returns the field of an annotation as diagnostics name it: `metadata.annotations[KEY]`.
#[must_use]
pub fn field(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

/// Reads the annotations of an object. Never fails: what cannot be read becomes a diagnostic, and the verdict says what follows.
#[must_use]
pub fn parse(object: &ObjectRef, annotations: &BTreeMap<String, String>) -> Parsed {
    parse_by(ROWS, object, annotations)
}

fn parse_by(rows: &[Row], object: &ObjectRef, annotations: &BTreeMap<String, String>) -> Parsed {
    let mut reading =
        Reading { object, policy: Policy::default(), diagnostics: Vec::new(), verdict: Verdict::Serve, protections: Vec::new() };
    for (name, values) in by_name(annotations) {
        if let Some(row) = rows.iter().find(|row| row.setting.name() == name) {
            reading.built(row, &values);
        } else if let Some(unbuilt) = UNBUILT.iter().find(|unbuilt| unbuilt.name == name) {
            reading.unbuilt(unbuilt, &values);
        } else {
            reading.unknown(name, &values);
        }
    }
    reading.foreign(annotations);
    reading.refused();
    for ineffective in reading.policy.ineffective() {
        let name = ineffective.setting.name();
        let message = format!("{name} has no effect: {}", ineffective.because);
        let key = [Dialect::Tidegate, Dialect::IngressNginx]
            .map(|dialect| format!("{}{name}", dialect.prefix()))
            .into_iter()
            .find(|key| annotations.contains_key(key))
            .unwrap_or_default();
        reading.report(Code::RedundantValue, &key, message);
    }
    reading.diagnostics.sort();
    Parsed { policy: reading.policy, diagnostics: reading.diagnostics, verdict: reading.verdict }
}

/// The values of one annotation; `tidegate.dev` comes first.
type Values<'a> = Vec<(Dialect, &'a str)>;

/// Collects the annotations under our two prefixes by the name after them.
fn by_name(annotations: &BTreeMap<String, String>) -> BTreeMap<&str, Values<'_>> {
    let mut names: BTreeMap<&str, Values<'_>> = BTreeMap::new();
    for dialect in [Dialect::Tidegate, Dialect::IngressNginx] {
        for (key, value) in annotations {
            if let Some(name) = key.strip_prefix(dialect.prefix()) {
                names.entry(name).or_default().push((dialect, value));
            }
        }
    }
    names
}

struct Reading<'a> {
    object: &'a ObjectRef,
    policy: Policy,
    diagnostics: Vec<Diagnostic>,
    verdict: Verdict,
    /// The names of the protections for which all routes refuse.
    protections: Vec<&'static str>,
}

impl Reading<'_> {
    fn report(&mut self, code: Code, key: &str, message: String) {
        self.diagnostics.push(Diagnostic::at(self.object, code, field(key), message));
    }

    fn rule(&mut self, verdict: Verdict) {
        self.verdict = self.verdict.max(verdict);
    }

    fn refuse(&mut self, protection: &'static str) {
        self.policy.refuse = Some(Refusal::Protection);
        self.protections.push(protection);
    }

    /// Tells once of all the protections for which the object refuses.
    fn refused(&mut self) {
        self.protections.dedup();
        if !self.protections.is_empty() {
            let message = format!("all paths answer 503 because of {}", self.protections.join(", "));
            self.diagnostics.push(Diagnostic::of(self.object, Code::ProtectionRefused, message));
        }
    }

    fn built(&mut self, row: &Row, values: &[(Dialect, &str)]) {
        let name = row.setting.name();
        for (dialect, _) in values.iter().filter(|(_, value)| value.is_empty()) {
            let key = format!("{}{name}", dialect.prefix());
            self.report(Code::RedundantValue, &key, format!("{name} is empty and counts as not set"));
        }
        let mut set = values.iter().filter(|(_, value)| !value.is_empty());
        let Some((dialect, value)) = set.next() else { return };
        if let Some((other_dialect, other)) = set.next()
            && !same(row, (*dialect, value), (*other_dialect, other))
        {
            self.conflict(row, (*dialect, value), (*other_dialect, other));
        }
        if let Err(fault) = (row.set)(&mut self.policy, value, *dialect) {
            self.fault(row, &format!("{}{name}", dialect.prefix()), value, &fault);
        }
    }

    fn conflict(&mut self, row: &Row, (winner, value): (Dialect, &str), (loser, other): (Dialect, &str)) {
        let name = row.setting.name();
        let (winner, key) = (format!("{}{name}", winner.prefix()), format!("{}{name}", loser.prefix()));
        let consequence = match row.bad_value {
            BadValue::Refuse => {
                self.refuse(name);
                "as it is a protection, all paths answer 503".to_owned()
            }
            BadValue::Default | BadValue::KeepLastGood | BadValue::DefaultIfNumber => format!("{winner} wins"),
        };
        let message = format!("{} differs from {} of {winner}: {consequence}", quoted(other), quoted(value));
        self.report(Code::ConflictingAnnotation, &key, message);
    }

    fn fault(&mut self, row: &Row, key: &str, value: &str, fault: &Fault) {
        let (code, consequence) = match (fault, row.bad_value) {
            (Fault::Unsupported, _) => (Code::UnsupportedBackend, "all paths answer 503"),
            (_, BadValue::Refuse) => {
                self.refuse(row.setting.name());
                (Code::InvalidAnnotation, "as it is a protection, all paths answer 503")
            }
            (_, BadValue::Default) | (Fault::OutOfRange(_), BadValue::DefaultIfNumber) => {
                (Code::InvalidAnnotation, "the default holds instead")
            }
            (_, BadValue::KeepLastGood) | (Fault::Malformed(_), BadValue::DefaultIfNumber) => {
                self.rule(Verdict::KeepLastGood);
                (Code::InvalidAnnotation, "the Ingress stays as it last was, and is not served if it is new")
            }
        };
        self.report(code, key, format!("{} {fault}; {consequence}", quoted(value)));
    }

    fn unbuilt(&mut self, unbuilt: &Unbuilt, values: &[(Dialect, &str)]) {
        let name = unbuilt.name;
        for (dialect, value) in values {
            let key = format!("{}{name}", dialect.prefix());
            let mut code = Code::UnsupportedAnnotation;
            let consequence = match unbuilt.role {
                Role::Protection(off) if !off.holds(value) => {
                    self.refuse(name);
                    "as it is a protection, all paths answer 503 until it is removed"
                }
                Role::Canary if values::boolean(value) == Ok(true) => {
                    self.rule(Verdict::Abstain);
                    code = Code::NotServed;
                    "the Ingress is not served, so that it does not take the place of the one that it adds to"
                }
                Role::Protection(_) => "its value switches it off, so that nothing changes",
                Role::Feature | Role::Canary => "the Ingress is served without it",
            };
            self.report(code, &key, format!("{name} is not supported yet: {consequence}"));
        }
    }

    fn unknown(&mut self, name: &str, values: &[(Dialect, &str)]) {
        let advice = match UNREAD.iter().find(|(unread, _)| *unread == name) {
            Some((_, advice)) => (*advice).to_owned(),
            None => match nearest(name) {
                Some(nearest) => format!("there is no such annotation; did you mean {nearest}?"),
                None => "there is no such annotation".to_owned(),
            },
        };
        for (dialect, _) in values {
            let key = format!("{}{name}", dialect.prefix());
            self.report(Code::UnknownAnnotation, &key, format!("{} has no effect: {advice}", quoted(name)));
        }
    }

    /// Tells once of annotations for the other controller that is built on nginx: the two are mistaken for each other often.
    fn foreign(&mut self, annotations: &BTreeMap<String, String>) {
        let first = annotations.keys().find(|key| F5.iter().any(|prefix| key.starts_with(prefix)));
        if let Some(key) = first {
            let message = "annotations of nginx.org and nginx.com are those of F5's NGINX Ingress Controller, and are not read here";
            self.report(Code::UnknownAnnotation, key, message.to_owned());
        }
    }
}

/// Whether two values of one annotation mean the same.
fn same(row: &Row, one: (Dialect, &str), other: (Dialect, &str)) -> bool {
    let meaning = |(dialect, value): (Dialect, &str)| {
        let mut policy = Policy::default();
        (row.set)(&mut policy, value, dialect).map(|()| policy)
    };
    one.1 == other.1 || meaning(one).is_ok_and(|policy| Ok(policy) == meaning(other))
}

/// Returns the known name that is nearest to a mistyped one, if any is near.
fn nearest(name: &str) -> Option<&'static str> {
    let built = ROWS.iter().map(|row| row.setting.name());
    let known = built.chain(UNBUILT.iter().map(|unbuilt| unbuilt.name));
    // Beyond this length nothing can be near, and distance costs the product of both lengths.
    let name = Some(name).filter(|name| name.len() <= 128)?.to_ascii_lowercase();
    let scored = known.map(|known| (strsim::normalized_damerau_levenshtein(&name, known), known));
    scored.max_by(|(one, _), (other, _)| one.total_cmp(other)).filter(|(score, _)| *score >= 0.5).map(|(_, known)| known)
}

/// Returns a value as messages show it: escaped, and cut where it is long.
pub(crate) fn quoted(value: &str) -> String {
    const SHOWN: usize = 80;
    match value.char_indices().nth(SHOWN) {
        None => format!("{value:?}"),
        Some((end, _)) => format!("{:?}...", value.split_at(end).0),
    }
}

#[cfg(test)]
mod docs;
#[cfg(test)]
mod tests;
