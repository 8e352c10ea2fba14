//! What one object wants of the table: the same type for every kind of object.

use std::sync::Arc;
use std::time::SystemTime;

use tidegate_proxy::error::Reason;
use tidegate_proxy::filter::Filter;
use tidegate_proxy::model::{Certificate, Compatibility, Conditions, HostMatch, Origin, PathMatch, Scheme, Timeouts, UpstreamProtocol};

use super::backends::BackendKey;
use crate::diagnostic::Diagnostic;
use crate::few::Few;
use crate::object::ObjectRef;
use crate::snapshot::Age;

/// Precedence among objects: the oldest first, then by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seniority {
    /// How old the object is.
    pub age: Age,
    /// Its name.
    pub reference: ObjectRef,
}

/// All that one object wants.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    /// By host.
    pub hosts: Few<HostMatch, Arc<HostClaims>>,
    /// Certificates by host.
    pub certificates: Few<HostMatch, Arc<[CertificateClaim]>>,
    /// What serves requests that nothing else takes.
    pub fallback: Option<Arc<FallbackClaim>>,
    /// The backends that any of them names.
    pub backends: Few<BackendKey, ()>,
    /// What is not served as written.
    pub findings: Vec<Diagnostic>,
    /// When the findings may be different though nothing changes: a certificate comes near its end.
    pub recheck: Option<SystemTime>,
}

/// What one object wants of a host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostClaims {
    /// Whose conventions the host follows, if this object is its oldest.
    pub compatibility: Compatibility,
    /// Its routes, in the object's order. Empty with a rule that has no path: the host is known all the same.
    pub routes: Box<[Claim]>,
    /// What the host does for as long as no object has a rule for it. `None` for a host that this object has a rule for.
    pub without_rules: Option<Box<Claim>>,
}

/// What serves requests that nothing else takes.
#[derive(Debug, Clone, PartialEq)]
pub struct FallbackClaim {
    /// Whose conventions it follows.
    pub compatibility: Compatibility,
    /// The route; it has no path.
    pub route: Claim,
}

/// One route that is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The object.
    pub origin: Arc<Origin>,
    /// The path; `None` takes what no path of the host does.
    pub path: Option<PathMatch>,
    /// What a request must have besides.
    pub conditions: Conditions,
    /// Steps before the backend.
    pub filters: FilterClaims,
    /// What serves it.
    pub backend: BackendClaim,
    /// The field that asks for it, for diagnostics.
    pub field: Arc<str>,
    /// Whether somebody wrote it.
    pub standing: Standing,
}

/// Whether a claim was written, or follows from something else that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was written; losing its place is told.
    Written,
    /// It follows from something else, and steps back in silence.
    Implied,
}

/// Filters, but for what depends on the host's certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterClaims {
    /// Filters that are the same for every host.
    pub filters: Vec<Filter>,
    /// Whether clear text is redirected to https.
    pub https: HttpsRedirect,
}

/// When clear text is redirected to https.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpsRedirect {
    /// Never.
    #[default]
    Never,
    /// Where TLS covers the host.
    WhereCovered,
    /// Always.
    Always,
}

/// What serves a route.
#[derive(Debug, Clone, PartialEq)]
pub enum BackendClaim {
    /// Endpoints.
    Forward {
        /// The backend's name.
        backend: Arc<str>,
        /// How its endpoints are spoken to.
        protocol: ProtocolClaim,
        /// How long to wait for them.
        timeouts: Timeouts,
        /// The Service and its port, for labels and logs.
        service: Arc<Origin>,
    },
    /// Nothing can.
    Unavailable(Reason),
}

impl BackendClaim {
    /// Whether endpoints are spoken to under the scheme of the client's connection.
    #[must_use]
    pub fn is_as_client(&self) -> bool {
        matches!(self, Self::Forward { protocol: ProtocolClaim::AsClient, .. })
    }
}

/// How endpoints are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolClaim {
    /// In the same way for all clients.
    Fixed(UpstreamProtocol),
    /// Under the scheme of the client's connection.
    AsClient,
}

impl ProtocolClaim {
    /// Returns the protocol for clients of a scheme.
    #[must_use]
    pub fn for_scheme(self, scheme: Scheme) -> UpstreamProtocol {
        match (self, scheme) {
            (Self::Fixed(protocol), _) => protocol,
            (Self::AsClient, Scheme::Http) => UpstreamProtocol::Http1,
            (Self::AsClient, Scheme::Https) => UpstreamProtocol::Https,
        }
    }
}

/// A certificate that is wanted for a host.
#[derive(Debug, Clone)]
pub struct CertificateClaim {
    /// The certificate; `None` where it is missing or broken and was never good, or where the default one is asked for.
    pub certificate: Option<Arc<Certificate>>,
    /// The field that asks for it.
    pub field: Arc<str>,
    /// Whether somebody wrote it.
    pub standing: Standing,
}

impl PartialEq for CertificateClaim {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.certificate, &other.certificate) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same && self.field == other.field && self.standing == other.standing
    }
}
