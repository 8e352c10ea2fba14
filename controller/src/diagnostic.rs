//! What is wrong with an object: one type for logs, metrics, Events, the admin page and `tidegate check`.

use std::sync::Arc;

use crate::object::ObjectRef;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is served, perhaps not as meant.
    Warning,
    /// Part of the object is not served as written.
    Error,
}

impl Severity {
    /// Returns the stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One finding about one object.
/// Cheap to clone: many keep it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diagnostic {
    /// The object at fault.
    pub object: ObjectRef,
    /// What kind of finding it is.
    pub code: Code,
    /// The field at fault, `spec.rules[0].http.paths[1].backend` style; of a file, `line 12`; `None` for the object as a whole.
    pub field: Option<Arc<str>>,
    /// What is wrong, in one sentence, with the value.
    pub message: Arc<str>,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $severity:ident, $help:literal;)+) => {
        /// The kind of a finding. Its name is stable: metric label, Event reason and documentation row.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Returns the name as the reason of a Kubernetes Event: upper camel case.
            #[must_use]
            pub fn event_reason(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// Returns how bad it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }

            /// Returns what it means, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc,)+).trim_ascii(),)+ }
            }

            /// Returns what to do about it.
            #[must_use]
            pub fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)+ }
            }
        }
    };
}

codes! {
    /// The object cannot be read as its kind; what it had served before keeps being served.
    InvalidObject = "invalid_object", Error, "Correct the object; `kubectl explain` shows the fields of its kind.";
    /// The file is not YAML, or a document in it is not an object.
    InvalidFile = "invalid_file", Error, "Correct the file; its objects keep serving as they were.";
    /// The document is of a kind that is not read.
    IgnoredKind = "ignored_kind", Warning, "Nothing, if another program reads it.";
    /// The same object stands in two files; the first in order of path counts.
    DuplicateObject = "duplicate_object", Error, "Remove one of the two.";
    /// A kind of object cannot be read from the API server.
    KindUnavailable = "kind_unavailable", Warning, "Grant the right, or install the CRD, that the message names.";
    /// The host of a rule is not a DNS name.
    InvalidHost = "invalid_host", Error, "Write a DNS name, or a wildcard for exactly one label such as *.example.com.";
    /// The path of a rule is not one that a request could have.
    InvalidPath = "invalid_path", Error, "Write an absolute path without dot segments.";
    /// The type of a path is not Exact, Prefix or ImplementationSpecific.
    InvalidPathType = "invalid_path_type", Error, "Use Exact, Prefix or ImplementationSpecific.";
    /// Another object already serves this host and path; the older one wins.
    PathConflict = "path_conflict", Error, "Remove the path from one of the two objects.";
    /// Another object already is the default backend.
    DefaultBackendConflict = "default_backend_conflict", Error, "Remove the default backend from one of the two objects.";
    /// Objects of different compatibility share a host; the oldest decides.
    MixedCompatibility = "mixed_compatibility", Warning, "Keep all Ingresses of a host in classes of one compatibility.";
    /// The Service of a backend does not exist; the path answers 503.
    MissingService = "missing_service", Error, "Create the Service, or correct the name; it must be in the Ingress's namespace.";
    /// The Service of a backend has no such port; the path answers 503.
    MissingServicePort = "missing_service_port", Error, "Use a port that the Service has, by name or by number.";
    /// The backend is a resource of a kind, or speaks a protocol, that is not supported; the path answers 503.
    UnsupportedBackend = "unsupported_backend", Error, "Use a Service that speaks HTTP or gRPC.";
    /// A backend or rule is incomplete.
    InvalidBackend = "invalid_backend", Error, "Give the Service's name and one of port name and port number.";
    /// An ExternalName Service is not allowed here, or its name is not one that may be reached.
    RefusedExternalName = "refused_external_name", Error, "Use a name that resolves to public or cluster addresses, or a Service with a selector.";
    /// The name of an ExternalName Service does not resolve; its last addresses serve, without any the path answers 503.
    UnresolvedExternalName = "unresolved_external_name", Error, "Check the name and the cluster's DNS.";
    /// The Secret of a TLS entry does not exist; the last good or the default certificate is served.
    MissingSecret = "missing_secret", Error, "Create the Secret in the Ingress's namespace.";
    /// The Secret of a TLS entry holds no usable certificate and key; the last good or the default certificate is served.
    InvalidSecret = "invalid_secret", Error, "Use a kubernetes.io/tls Secret with a PEM chain in tls.crt and its PEM key in tls.key.";
    /// The certificate does not cover a host that it is to serve.
    CertificateNameMismatch = "certificate_name_mismatch", Warning, "Issue a certificate that names the host.";
    /// The certificate expires within 21 days, or has expired.
    CertificateExpiry = "certificate_expiry", Warning, "Renew the certificate.";
    /// Another object already brings a certificate for this host; the older one wins.
    CertificateConflict = "certificate_conflict", Warning, "Use one Secret for a host.";
    /// The class that the object names does not exist; the object is not served.
    MissingClass = "missing_class", Error, "Create the IngressClass, or correct the name.";
    /// The parameters of a class are of a kind or scope that is not read.
    UnsupportedParameters = "unsupported_parameters", Error, "Point parameters to a cluster-scoped ClassParameters of tidegate.dev.";
    /// The parameters that a class points to cannot be had; they stay in force as they last were, and if they never were, the class's paths answer 503.
    MissingParameters = "missing_parameters", Error, "Create the ClassParameters object, correct its values, or grant the right to read it; or take the parameters out of the IngressClass.";
    /// A setting of a class's parameters cannot be understood; they stay as they last were.
    InvalidParameters = "invalid_parameters", Error, "Use a value as the field's description gives it; `kubectl explain classparameters.spec` shows them.";
    /// An annotation's value cannot be understood.
    InvalidAnnotation = "invalid_annotation", Error, "Use a value as the annotation's documentation gives it.";
    /// An annotation of ingress-nginx that is not built yet.
    UnsupportedAnnotation = "unsupported_annotation", Warning, "See docs/annotations.md; where it is a protection, the paths refuse until it is removed.";
    /// An annotation asks for what is not supported in such a way that the object is not served at all.
    NotServed = "not_served", Error, "Remove the annotation that the message names, or the object.";
    /// An annotation with our prefix, or ingress-nginx's, that does not exist.
    UnknownAnnotation = "unknown_annotation", Warning, "Correct the name, or remove the annotation.";
    /// The same annotation stands under both prefixes with different values; `tidegate.dev` wins, and a protection refuses.
    ConflictingAnnotation = "conflicting_annotation", Error, "Keep one of the two.";
    /// A protection is not supported or cannot be understood, so that the object's paths answer 503 rather than open.
    ProtectionRefused = "protection_refused", Error, "Correct the protections that the message names, or remove them.";
    /// A value that is set has no effect: it is empty, or another one wins.
    RedundantValue = "redundant_value", Warning, "Remove it, or the one that wins.";
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Self::ALL.iter().find(|code| code.as_str() == name).copied();
        known.ok_or_else(|| serde::de::Error::custom(format!("{name:?} is no code of a finding")))
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Diagnostic {
    /// Makes a finding about a field of an object.
    #[must_use]
    pub fn at(object: &ObjectRef, code: Code, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { object: object.clone(), code, field: Some(field.into().into()), message: message.into().into() }
    }

    /// Makes a finding about an object as a whole.
    #[must_use]
    pub fn of(object: &ObjectRef, code: Code, message: impl Into<String>) -> Self {
        Self { object: object.clone(), code, field: None, message: message.into().into() }
    }
}

/// A finding as pages and commands show it: with how bad it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// The finding.
    #[serde(flatten)]
    pub diagnostic: Diagnostic,
    /// How bad it is.
    pub severity: Severity,
    /// What to do about it.
    pub help: String,
}

impl From<Diagnostic> for Finding {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { severity: diagnostic.code.severity(), help: diagnostic.code.help().to_owned(), diagnostic }
    }
}

impl std::fmt::Display for Diagnostic {
    /// Writes one line: `error: Ingress shop/web: spec.rules[0].host: "a b" is not a DNS name [invalid_host]`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: ", self.code.severity(), self.object)?;
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        write!(f, "{} [{}]", self.message, self.code)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::object::Kind;

    const HEAD: &str = "\
# Diagnostics

What is wrong with an object is told once per change in the log, as an Event on the object (by the replica that leads), as the metric
`tidegate_diagnostics` by code, as JSON on the admin page, and by `tidegate check` and `tidegate diagnostics`. The codes are stable; the
reason of the Event is the code in upper camel case.

An *error* means that part of the object is not served as written; `tidegate check` then exits with 1. A *warning* means that it is served,
perhaps not as meant. No finding about one object keeps another from being served.

| code | severity | what it means | what to do |
|---|---|---|---|
";

    #[test]
    fn the_page_of_diagnostics_is_current() {
        let mut page = format!("<!-- Generated; `UPDATE_GENERATED=1 cargo test -p tidegate --lib` writes it anew. -->\n{HEAD}");
        for code in Code::ALL {
            let row = format!("| `{code}` | {} | {} | {} |", code.severity(), code.meaning(), code.help());
            assert!(writeln!(page, "{row}").is_ok());
        }
        crate::generated::assert_current("docs/diagnostics.md", &page);
    }

    #[test]
    fn names_of_codes_are_the_event_reasons_in_snake_case() {
        for code in Code::ALL {
            let mut snake = String::new();
            for letter in code.event_reason().chars() {
                if letter.is_ascii_uppercase() && !snake.is_empty() {
                    snake.push('_');
                }
                snake.push(letter.to_ascii_lowercase());
            }
            assert_eq!(snake, code.as_str());
        }
    }

    #[test]
    fn a_line_names_object_field_and_code() {
        let shop = ObjectRef::new(Kind::Ingress, "shop", "web");
        let at = Diagnostic::at(&shop, Code::InvalidHost, "spec.rules[0].host", "no DNS name");
        assert_eq!(at.to_string(), "error: Ingress shop/web: spec.rules[0].host: no DNS name [invalid_host]");
        let of = Diagnostic::of(&shop, Code::MixedCompatibility, "two conventions");
        assert_eq!(of.to_string(), "warning: Ingress shop/web: two conventions [mixed_compatibility]");
    }
}
