//! Names of hosts, as rules write them and as requests carry them.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// A host name: lower case, without port and trailing dot. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

/// A host name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host name: {1}")]
pub struct InvalidHost(pub String, pub &'static str);

impl HostName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = InvalidHost;

    /// Reads a DNS name (RFC 1123 labels; underscores are accepted because they are in use). Upper case is folded and one
    /// trailing dot dropped. Wildcards are refused: they are a [`HostMatch`].
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |why| Err(InvalidHost(text.to_owned(), why));
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return bad("it is empty");
        }
        if name.len() > 253 {
            return bad("it is longer than 253 characters");
        }
        for label in name.split('.') {
            if label.is_empty() {
                return bad("it has an empty label");
            }
            if label.len() > 63 {
                return bad("it has a label longer than 63 characters");
            }
            if label.starts_with('-') || label.ends_with('-') {
                return bad("a label starts or ends with a hyphen");
            }
            if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                return bad("it has a character that is not a letter, a digit, a hyphen or an underscore");
            }
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for HostName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Which hosts a rule is for. Ordered by precedence: the more specific comes first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostMatch {
    /// Exactly this name.
    Exact(HostName),
    /// One label more than this name (`*.example.com` of an Ingress).
    OneLabel(HostName),
    /// One or more labels more than this name (`*.example.com` of a Gateway listener).
    ManyLabels(HostName),
    /// Every host that nothing else names.
    Any,
}

impl HostMatch {
    /// Reads the host of an Ingress rule: empty is any, a leading `*.` stands for exactly one label.
    ///
    /// # Errors
    /// What is left after the wildcard is not a host name, or it is an IP address (the Kubernetes API reference of `IngressRule` excludes
    /// them).
    pub fn of_ingress(text: &str) -> Result<Self, InvalidHost> {
        if text.is_empty() {
            return Ok(Self::Any);
        }
        if let Some(suffix) = text.strip_prefix("*.") {
            return suffix.parse().map(Self::OneLabel);
        }
        let address = text.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(text);
        if address.strip_suffix('.').unwrap_or(address).parse::<IpAddr>().is_ok() {
            return Err(InvalidHost(text.to_owned(), "it is an IP address"));
        }
        text.parse().map(Self::Exact)
    }
}

impl fmt::Display for HostMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::OneLabel(suffix) | Self::ManyLabels(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl serde::Serialize for HostMatch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads the host out of a request's authority (`Host` header or `:authority`): port and one trailing dot dropped, lower case.
/// Borrows where the text is already so. An IPv6 literal keeps its brackets. Escapes (`%61`) are not decoded: no rule names such a host.
///
/// # Errors
/// The text cannot be an authority (RFC 3986 §3.2): user information, white space, a bad port, an empty host; or its host cannot be
/// a name (RFC 1035 §2.3.4): an empty label, more than 253 characters.
pub fn request_host(authority: &str) -> Result<Cow<'_, str>, InvalidHost> {
    if let Some(host) = plain_host(authority) {
        return Ok(Cow::Borrowed(host));
    }
    let bad = |why| InvalidHost(authority.to_owned(), why);
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']').ok_or_else(|| bad("the bracket is not closed"))?;
            if inside.parse::<Ipv6Addr>().is_err() {
                return Err(bad("what stands in brackets is not an IPv6 address"));
            }
            let host = authority.get(..inside.len() + 2).unwrap_or(authority);
            match after.strip_prefix(':') {
                Some(port) => (host, port),
                None if after.is_empty() => (host, ""),
                None => return Err(bad("something other than a port follows the bracket")),
            }
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let is_port = port.is_empty() || port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if !is_port {
        return Err(bad("the port is not a number up to 65535"));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return Err(bad("it is empty"));
    }
    if host.len() > 253 {
        return Err(bad("it is longer than 253 characters"));
    }
    if host.starts_with('.') || host.ends_with('.') || host.contains("..") {
        return Err(bad("it has an empty label"));
    }
    let literal = host.starts_with('[');
    if !literal
        && !host.bytes().all(|b| {
            b.is_ascii_alphanumeric()
                || matches!(
                    b,
                    b'-' | b'_' | b'.' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b'%'
                )
        })
    {
        return Err(bad("it has a character that no host has"));
    }
    if host.bytes().any(|b| b.is_ascii_uppercase()) {
        return Ok(Cow::Owned(host.to_ascii_lowercase()));
    }
    Ok(Cow::Borrowed(host))
}

/// Returns the host of an authority that is, as most are, a name in lower case with or without a port: one look at each byte is enough.
fn plain_host(authority: &str) -> Option<&str> {
    let mut before = b'.';
    let mut end = authority.len();
    for (at, byte) in authority.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => {}
            b'.' if before != b'.' => {}
            b':' => {
                let port = authority.get(at + 1..)?;
                if !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err() {
                    return None;
                }
                end = at;
                break;
            }
            _ => return None,
        }
        before = byte;
    }
    // Empty names and those that end in a dot are among the rest.
    authority.get(..end).filter(|host| before != b'.' && host.len() <= 253)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold_case_and_drop_a_trailing_dot() {
        assert_eq!("Shop.Example.COM.".parse::<HostName>().map(|n| n.to_string()), Ok("shop.example.com".to_owned()));
    }

    #[test]
    fn names_that_cannot_be_hosts_are_refused() {
        let long = "a".repeat(64);
        for bad in ["", ".", "a..b", "-a", "a-", "*.a", "a b", "a/b", "a:80", long.as_str()] {
            assert!(bad.parse::<HostName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_host_of_a_request_loses_port_dot_and_case() {
        for (authority, host) in [
            ("a.b", "a.b"),
            ("A.b:80", "a.b"),
            ("a.b.:8080", "a.b"),
            ("[::1]:80", "[::1]"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("a:", "a"),
            ("a:65535", "a"),
            ("10.0.0.1:1", "10.0.0.1"),
            ("a_b.C", "a_b.c"),
        ] {
            assert_eq!(request_host(authority).as_deref(), Ok(host), "{authority}");
        }
    }

    #[test]
    fn what_cannot_be_an_authority_is_refused() {
        let long = "a.".repeat(127) + "a";
        for bad in [
            "",
            ":80",
            "a:b",
            "a:+1",
            "a b",
            "a\t",
            "u@h",
            "[::1",
            "[x]",
            "[::1]x",
            "[::1].",
            "[fe80::1%25eth0]",
            "[10.0.0.1]",
            "::1",
            ".",
            "..",
            ".a",
            "a..",
            "a..b",
            "a:65536",
            "a:123456",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "\u{e9}",
            &long,
        ] {
            assert!(request_host(bad).is_err(), "{bad:?}");
        }
        assert!(request_host(&"a.".repeat(127)).is_ok(), "a trailing dot does not count");
    }

    #[test]
    fn hosts_of_rules_are_names_wildcards_of_one_label_or_nothing() {
        let read = |text: &str| HostMatch::of_ingress(text).map(|host| host.to_string()).ok();
        for (text, host) in [("", "*"), ("A.b.", "a.b"), ("*.A.b", "*.a.b"), ("1.2.3", "1.2.3"), ("10.0.0.256", "10.0.0.256")] {
            assert_eq!(read(text).as_deref(), Some(host), "{text:?}");
        }
        for bad in ["*", "*.", "*a.b", "a.*.b", "*.*.a", "a:80", "10.0.0.1", "10.0.0.1.", "::1", "[::1]"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
