//! A table as plain data: for people, for golden files, and for telling whether two tables mean the same.
//!
//! Everything is in a fixed order and nothing depends on how the table came about, so that two tables that serve alike dump equally.
//! The generation is left out for the same reason. No key is in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Backend, Forward, Host, Listener, Route, Table, TlsTable};
use crate::error::Reason;
use crate::filter::Filter;
use crate::model::{
    Certificate, CidrSet, Compatibility, Conditions, HostMap, HostMatch, Limits, Origin, PathMatch, Scheme, Timeouts, UpstreamProtocol,
};

/// A table. [`Table::dump`] makes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableDump {
    /// What is listened on, sorted by name.
    pub listeners: Vec<ListenerDump>,
    /// Peers whose `X-Forwarded-*` headers are believed, sorted.
    #[serde(skip_serializing_if = "CidrSet::is_empty")]
    pub trusted_proxies: CidrSet,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListenerDump {
    /// Its name.
    pub name: Arc<str>,
    /// The address as the table asks for it; port 0 is the system's choice.
    pub address: SocketAddr,
    /// What it speaks.
    pub scheme: Scheme,
    /// The port that clients see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_port: Option<u16>,
    /// The port that clients of the other scheme see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_https_port: Option<u16>,
    /// Peers that must speak the PROXY protocol, sorted.
    #[serde(skip_serializing_if = "CidrSet::is_empty")]
    pub proxy_protocol: CidrSet,
    /// Limits on clients; `None` where they are the defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Hosts, the more specific first, then by name.
    pub hosts: Vec<HostDump>,
    /// What serves requests that no rule takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<RouteDump>,
    /// What TLS serves; `None` in clear text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsDump>,
}

/// What TLS serves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TlsDump {
    /// Certificates by server name, the more specific first, then by name.
    pub certificates: Vec<HostCertificateDump>,
    /// The certificate for all other names.
    pub default: CertificateDump,
}

/// The certificate of one server name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostCertificateDump {
    /// The server names that it is served for.
    #[serde(flatten)]
    pub host: HostMatchDump,
    /// The certificate.
    pub certificate: CertificateDump,
}

/// A certificate, without its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateDump {
    /// The object that it came from.
    pub origin: Arc<Origin>,
    /// The names that it is valid for.
    pub names: Arc<[String]>,
    /// Start of validity, RFC 3339, UTC.
    pub not_before: String,
    /// End of validity, RFC 3339, UTC.
    pub not_after: String,
    /// SHA-256 of the leaf, in lower-case hexadecimal.
    pub fingerprint: Arc<str>,
}

/// Which hosts something is for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostMatchDump {
    /// The host as a rule writes it; `*` is any.
    pub host: HostMatch,
    /// What the wildcard stands for; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wildcard: Option<Wildcard>,
}

/// What a wildcard stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wildcard {
    /// Exactly one label.
    OneLabel,
    /// One label or more.
    ManyLabels,
    /// Every host.
    Any,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostDump {
    /// What it is called.
    #[serde(flatten)]
    pub host: HostMatchDump,
    /// Whose conventions hold.
    #[serde(skip_serializing_if = "is_native")]
    pub compatibility: Compatibility,
    /// Routes, strongest first; among equally strong ones by path.
    pub routes: Vec<RouteDump>,
    /// What takes the paths that no rule does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<RouteDump>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteDump {
    /// The path of its rule; `None` for a default backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// The object that asked for it.
    pub origin: Arc<Origin>,
    /// The host of its rule; `None` where it stands under that host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostMatch>,
    /// What a request must have besides.
    #[serde(skip_serializing_if = "Conditions::is_empty")]
    pub conditions: Conditions,
    /// Whose conventions hold.
    #[serde(skip_serializing_if = "is_native")]
    pub compatibility: Compatibility,
    /// Steps before the backend, in their order.
    #[serde(skip_serializing_if = "<[Filter]>::is_empty")]
    pub filters: Box<[Filter]>,
    /// What serves the request.
    pub backend: BackendDump,
}

/// What serves a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendDump {
    /// Endpoints.
    Forward {
        /// The Service.
        service: Arc<Origin>,
        /// The name of the upstream, which endpoints are set by.
        upstream: Arc<str>,
        /// How its endpoints are spoken to.
        protocol: UpstreamProtocol,
        /// How long to wait for it.
        timeouts: TimeoutsDump,
    },
    /// Nothing can: answered with this reason.
    Unavailable(Reason),
}

/// How long to wait for an endpoint, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TimeoutsDump {
    /// Until a connection stands.
    pub connect_seconds: f64,
    /// Between two reads.
    pub read_seconds: f64,
    /// Between two writes.
    pub send_seconds: f64,
}

/// Serde hands over a reference.
fn is_native(compatibility: &Compatibility) -> bool {
    *compatibility == Compatibility::Native
}

impl Table {
    /// Returns the table as plain data. Costs as much as the table is large.
    #[must_use]
    pub fn dump(&self) -> TableDump {
        let mut listeners: Vec<_> = self.listeners.iter().map(ListenerDump::of).collect();
        listeners.sort_by(|a, b| a.name.cmp(&b.name));
        TableDump { listeners, trusted_proxies: self.trusted_proxies.clone() }
    }
}

impl ListenerDump {
    fn of(listener: &Listener) -> Self {
        Self {
            name: Arc::clone(&listener.name),
            address: listener.address,
            scheme: listener.scheme(),
            public_port: listener.public_port,
            public_https_port: listener.public_https_port,
            proxy_protocol: listener.proxy_protocol.clone(),
            limits: (*listener.limits != Limits::default()).then(|| (*listener.limits).clone()),
            hosts: sorted(&listener.hosts).into_iter().map(|(_, host)| HostDump::of(host)).collect(),
            fallback: listener.fallback.as_deref().map(RouteDump::of),
            tls: listener.tls.as_ref().map(TlsDump::of),
        }
    }
}

impl TlsDump {
    fn of(tls: &TlsTable) -> Self {
        let certificates = sorted(tls.certificates()).into_iter();
        let of = |(host, certificate): (HostMatch, &Arc<Certificate>)| HostCertificateDump {
            host: HostMatchDump::of(host),
            certificate: CertificateDump::of(certificate),
        };
        Self { certificates: certificates.map(of).collect(), default: CertificateDump::of(tls.default_certificate()) }
    }
}

impl CertificateDump {
    /// Returns a certificate as plain data.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Self {
        Self {
            origin: Arc::clone(&certificate.origin),
            names: Arc::clone(&certificate.names),
            not_before: rfc3339(certificate.not_before),
            not_after: rfc3339(certificate.not_after),
            fingerprint: Arc::clone(&certificate.fingerprint),
        }
    }
}

impl HostMatchDump {
    /// Returns which hosts something is for as plain data.
    #[must_use]
    pub fn of(host: HostMatch) -> Self {
        let wildcard = match host {
            HostMatch::Exact(_) => None,
            HostMatch::OneLabel(_) => Some(Wildcard::OneLabel),
            HostMatch::ManyLabels(_) => Some(Wildcard::ManyLabels),
            HostMatch::Any => Some(Wildcard::Any),
        };
        Self { host, wildcard }
    }
}

impl HostDump {
    fn of(host: &Arc<Host>) -> Self {
        Self {
            host: HostMatchDump::of(host.name.clone()),
            compatibility: host.compatibility,
            routes: host.routes.iter().map(|route| RouteDump::under(&host.name, route)).collect(),
            default: host.default.as_ref().map(|route| RouteDump::under(&host.name, route)),
        }
    }
}

impl RouteDump {
    /// Returns a route as plain data.
    #[must_use]
    pub fn of(route: &Route) -> Self {
        // What counts the requests is no part of what the route means.
        let Route { origin, host, path, conditions, compatibility, filters, backend, series: _ } = route;
        Self {
            path: path.clone(),
            origin: Arc::clone(origin),
            host: Some(host.clone()),
            conditions: conditions.clone(),
            compatibility: *compatibility,
            filters: filters.clone(),
            backend: match backend {
                Backend::Forward(Forward { upstream, timeouts, service }) => BackendDump::Forward {
                    service: Arc::clone(service),
                    upstream: Arc::clone(&upstream.key.backend),
                    protocol: upstream.key.protocol,
                    timeouts: TimeoutsDump::of(*timeouts),
                },
                Backend::Unavailable(reason) => BackendDump::Unavailable(*reason),
            },
        }
    }
}

impl RouteDump {
    fn under(host: &HostMatch, route: &Route) -> Self {
        let dump = Self::of(route);
        Self { host: dump.host.filter(|own| own != host), ..dump }
    }
}

impl TimeoutsDump {
    fn of(timeouts: Timeouts) -> Self {
        let Timeouts { connect, read, send } = timeouts;
        let [connect_seconds, read_seconds, send_seconds] = [connect, read, send].map(|time: Duration| time.as_secs_f64());
        Self { connect_seconds, read_seconds, send_seconds }
    }
}

/// Returns the entries of a map, the more specific host first, then by name.
fn sorted<T: Clone>(map: &HostMap<T>) -> Vec<(HostMatch, &T)> {
    let mut all: Vec<_> = map.iter().collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

/// Returns a time as RFC 3339 writes it; one that has no such form (beyond the year 9999) as the end of time.
fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
