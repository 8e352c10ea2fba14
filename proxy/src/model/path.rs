//! Paths: how a request's target is read, and how rules match it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A path in normal form: escapes decoded (but for `%2F`, `%5C`, `%25`, `%3F` and `%23`, in capitals), slashes merged, dot segments
/// resolved, a leading slash.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NormalPath(Arc<str>);

impl NormalPath {
    /// Returns the path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NormalPath {
    type Err = BadPath;

    /// Reads the path of a rule; it is normalised as a request's would be.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        normalize(text).map(|path| Self(path.path.into()))
    }
}

impl serde::Serialize for NormalPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for NormalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NormalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How a rule matches a path. Ordered by precedence: exact first, then the longer prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// This path alone; a trailing slash counts.
    Exact(NormalPath),
    /// This path and all below it, element by element; a trailing slash of the rule does not count.
    Prefix(NormalPath),
}

impl PathMatch {
    /// Returns the path of the rule, a prefix without its trailing slash (the root is then empty).
    #[must_use]
    pub fn literal(&self) -> &str {
        match self {
            Self::Exact(path) => path.as_str(),
            Self::Prefix(path) => path.as_str().strip_suffix('/').unwrap_or(path.as_str()),
        }
    }

    /// Whether a path in normal form is matched.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => exact.as_str() == path,
            Self::Prefix(_) => path.strip_prefix(self.literal()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// Returns the key that sorts the stronger match first.
    #[must_use]
    pub fn precedence(&self) -> impl Ord + use<> {
        match self {
            Self::Exact(path) => (0, std::cmp::Reverse(path.as_str().len())),
            Self::Prefix(_) => (1, std::cmp::Reverse(self.literal().len())),
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "= {path}"),
            Self::Prefix(path) => path.fmt(f),
        }
    }
}

/// The path of a request, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath<'a> {
    /// The path in normal form, for matching.
    pub path: Cow<'a, str>,
    /// Whether dot segments were resolved: then the normal path, escaped again, goes upstream and not the client's own.
    pub dots_resolved: bool,
}

/// A path that could mean two things to two readers, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// It does not start with a slash.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// `%` is not followed by two hexadecimal digits.
    #[error("the path has a % that two hexadecimal digits do not follow")]
    BadEscape,
    /// It has a NUL.
    #[error("the path has a NUL byte")]
    Nul,
    /// It has a dot segment that only some readers would see: one formed through `%2F`, `%5C`, `\` or `;`.
    #[error("the path has a dot segment formed through an escaped slash, a backslash or a semicolon")]
    HiddenDots,
    /// It climbs above the root.
    #[error("the path climbs above the root")]
    AboveRoot,
    /// It is not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

/// Brings a path into normal form. Borrows where it already is.
///
/// # Errors
/// See [`BadPath`].
pub fn normalize(raw: &str) -> Result<RequestPath<'_>, BadPath> {
    if !raw.starts_with('/') {
        return Err(BadPath::NotAbsolute);
    }
    Ok(RequestPath { path: Cow::Borrowed(raw), dots_resolved: false })
}
