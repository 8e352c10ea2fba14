//! Paths of rules, and how they match.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{BadPath, normalize};

/// The longest path of a rule. It bounds how deep paths can be nested in one another, and so what a table costs to build and to drop.
const MAX_RULE_BYTES: usize = 4096;

/// A path in normal form, as [`normalize`] makes it.
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

    /// Reads the path of a rule; it is normalised as a request's would be. It may have 4,096 bytes.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_RULE_BYTES {
            return Err(BadPath::TooLong);
        }
        normalize(text).map(|path| Self(path.path.into()))
    }
}

impl serde::Serialize for NormalPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for NormalPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
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
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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

    /// Returns the match in the one spelling that all of its meaning share: a prefix without its trailing slash, but for the root.
    #[must_use]
    pub fn without_trailing_slash(&self) -> Self {
        match self {
            Self::Prefix(path) if path.as_str().len() > 1 && path.as_str().ends_with('/') => {
                Self::Prefix(NormalPath(self.literal().into()))
            }
            Self::Prefix(_) | Self::Exact(_) => self.clone(),
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
