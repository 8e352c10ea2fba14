//! Values of flags: each a type with its own reader and its own words for what is wrong.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

/// Text that is not what a flag takes. The message says what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(String);

impl InvalidValue {
    /// Makes one that says what would be right.
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// An object's namespace and name, written `NS/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamespacedName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl FromStr for NamespacedName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.split_once('/') {
            Some((namespace, name)) if is_dns_name(namespace) && is_dns_name(name) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            Some(_) | None => Err(InvalidValue("give NAMESPACE/NAME, such as default/web".to_owned())),
        }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Pods of a namespace, by labels that all of them have: written `NS/LABEL=VALUE,LABEL=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSelector {
    /// The namespace.
    pub namespace: String,
    /// The labels, as the API takes them.
    pub labels: String,
}

impl FromStr for PodSelector {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
        let is_label = |label: &str| label.split_once('=').is_some_and(|(name, value)| plain(name) && plain(value));
        match text.split_once('/') {
            Some((namespace, labels)) if is_dns_name(namespace) && labels.split(',').all(is_label) => {
                Ok(Self { namespace: namespace.to_owned(), labels: labels.to_owned() })
            }
            Some(_) | None => Err(InvalidValue("give NAMESPACE/LABEL=VALUE,LABEL=VALUE, such as ingress/app=tidegate".to_owned())),
        }
    }
}

/// A Service and one of its ports, written `NS/NAME` or `NS/NAME:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceReference {
    /// The Service.
    pub service: NamespacedName,
    /// The port; `None` is its first.
    pub port: Option<PortName>,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortName {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

impl FromStr for ServiceReference {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = || InvalidValue("give NAMESPACE/NAME or NAMESPACE/NAME:PORT, the port by number or by name".to_owned());
        let (service, port) = text.split_once(':').map_or((text, None), |(service, port)| (service, Some(port)));
        let service = service.parse().map_err(|_| invalid())?;
        let port = match port {
            None => None,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(PortName::Number(port.parse().ok().filter(|port| *port != 0).ok_or_else(invalid)?))
            }
            Some(port) if is_dns_name(port) => Some(PortName::Name(port.to_owned())),
            Some(_) => return Err(invalid()),
        };
        Ok(Self { service, port })
    }
}

/// Whether the text could name an object: a DNS subdomain (RFC 1123), as the Kubernetes API asks of names.
fn is_dns_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Reads the name of a namespace or of a class.
pub(super) fn object_name(text: &str) -> Result<String, InvalidValue> {
    if is_dns_name(text) {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue("not the name of an object: a DNS name in lower case".to_owned()))
    }
}

/// Reads the name of a controller: `example.com/ingress`, at most 250 characters (Kubernetes API reference, `IngressClassSpec`).
pub(super) fn controller_name(text: &str) -> Result<String, InvalidValue> {
    let named = text.split_once('/').is_some_and(|(domain, path)| is_dns_name(domain) && !path.is_empty());
    if named && text.len() <= 250 && !text.contains(char::is_whitespace) {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue("give a domain and a path, such as example.com/ingress-controller".to_owned()))
    }
}

/// Reads `IP:PORT`, where somebody listens; `:PORT` stands for this host, since who listens on all addresses listens there.
pub(super) fn peer(text: &str) -> Result<SocketAddr, InvalidValue> {
    let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
    let here = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    here.or_else(|| text.parse().ok()).ok_or_else(|| InvalidValue("give IP:PORT, such as 127.0.0.1:10246, or :PORT".to_owned()))
}

/// Reads a network, or an address that stands for itself. Kept as text in its normal form.
pub(super) fn cidr(text: &str) -> Result<String, InvalidValue> {
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    net.map(|net| net.to_string()).ok_or_else(|| InvalidValue("give a network or an address, such as 10.0.0.0/8 or fd00::1".to_owned()))
}

/// Reads an address or a DNS name, as the status of an Ingress carries it.
pub(super) fn status_address(text: &str) -> Result<String, InvalidValue> {
    // All digits and dots would be a mistyped IPv4 address, never a name.
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if text.parse::<IpAddr>().is_ok() || (is_dns_name(text) && !numeric) {
        Ok(text.to_owned())
    } else {
        Err(InvalidValue("give an IP address or a DNS name".to_owned()))
    }
}

/// Reads a duration: `250ms`, `10s`, `4m`, `1h30m`, `0`.
pub(super) fn duration(text: &str) -> Result<Duration, InvalidValue> {
    let invalid = || InvalidValue("give a duration with its unit, such as 250ms, 10s or 4m".to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| invalid())?;
    Duration::try_from(parsed).map_err(|_| invalid())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        for (text, ms) in [("10s", 10_000), ("4m", 240_000), ("250ms", 250), ("1h30m", 5_400_000), ("0", 0), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["10", "-1s", "", "s", "1 fortnight", "10s ago"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_may_carry_its_port() {
        let service = NamespacedName { namespace: "a".into(), name: "b".into() };
        for (text, port) in [("a/b", None), ("a/b:80", Some(PortName::Number(80))), ("a/b:http", Some(PortName::Name("http".to_owned())))] {
            assert_eq!(text.parse(), Ok(ServiceReference { service: service.clone(), port }), "{text}");
        }
        for text in ["a", "a/", "/b", "a/b:", "a/b:0", "a/b:70000", "a/b/c", "A/b", "a/b:Web!"] {
            assert!(text.parse::<ServiceReference>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_alone_is_asked_on_this_host() {
        assert_eq!(peer(":10246").unwrap(), "127.0.0.1:10246".parse().unwrap());
        assert_eq!(peer("[::1]:10246").unwrap(), "[::1]:10246".parse().unwrap());
        for text in ["80", "localhost:80", "[::]", "1.2.3.4", ":70000"] {
            assert!(peer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pods_are_selected_by_labels_in_a_namespace() {
        let labels = "app.kubernetes.io/name=tidegate,tier=front";
        let expected = PodSelector { namespace: "edge".to_owned(), labels: labels.to_owned() };
        assert_eq!(format!("edge/{labels}").parse(), Ok(expected));
        for text in ["edge", "edge/", "edge/app", "edge/app=", "edge/=x", "edge/app=x,", "edge/app in (a)", "/app=x", "Edge/app=x"] {
            assert!(text.parse::<PodSelector>().is_err(), "{text}");
        }
    }

    #[test]
    fn status_addresses_are_addresses_or_names() {
        for text in ["203.0.113.7", "2001:db8::1", "lb.example.com"] {
            assert!(status_address(text).is_ok(), "{text}");
        }
        for text in ["203.0.113", "203.0.113.7:80", "a b", "", "LB.example.com"] {
            assert!(status_address(text).is_err(), "{text}");
        }
    }
}
