//! Certificates: from the TLS entries of an Ingress to claims, and what is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tidegate_proxy::model::{Certificate, HostMatch};

use super::claim::{CertificateClaim, Standing};
use super::redirects::twin;
use crate::diagnostic::{Code, Diagnostic};
use crate::object::{Kind, ObjectRef};
use crate::snapshot::{IngressObject, Snapshot};
use crate::texts::shared;

/// How long before its end a certificate is spoken of.
const NOTICE: Duration = Duration::from_secs(21 * 24 * 60 * 60);

/// Whether a host's `www.` twin redirects to it, so that its certificate may serve the twin too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twins {
    Redirect,
    Ignore,
}

/// What the TLS entries of an Ingress come to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) claims: BTreeMap<HostMatch, Vec<CertificateClaim>>,
    pub(super) findings: Vec<Diagnostic>,
    /// When to look again because a certificate comes near its end.
    pub(super) recheck: Option<SystemTime>,
}

/// Compiles the TLS entries of an Ingress.
pub(super) fn compile(snapshot: &Snapshot, reference: &ObjectRef, ingress: &IngressObject, twins: Twins, now: SystemTime) -> Outcome {
    let mut outcome = Outcome::default();
    for (index, entry) in ingress.tls.iter().enumerate() {
        let field = format!("spec.tls[{index}]");
        let secret = entry.secret.as_ref().map(|name| ObjectRef::new(Kind::Secret, &reference.namespace, name));
        let certificate = secret.and_then(|secret| match find(snapshot, &secret) {
            (certificate, Some((code, message))) => {
                outcome.findings.push(Diagnostic::at(reference, code, format!("{field}.secretName"), message));
                certificate
            }
            (certificate, None) => certificate,
        });
        let own_names = || -> Box<[HostMatch]> {
            certificate.iter().flat_map(|c| c.names.iter()).filter_map(|name| HostMatch::of_ingress(name).ok()).collect()
        };
        let hosts: Box<[HostMatch]> = if entry.hosts.is_empty() { own_names() } else { entry.hosts.clone() };
        if let Some(certificate) = &certificate {
            let uncovered = hosts.iter().map(ToString::to_string).filter(|host| !certificate.covers(host)).collect::<Vec<_>>();
            if !uncovered.is_empty() {
                let message = format!("the certificate of {} is not for {}", certificate.origin, uncovered.join(", "));
                outcome.findings.push(Diagnostic::at(reference, Code::CertificateNameMismatch, format!("{field}.hosts"), message));
            }
            let (message, recheck) = expiry(certificate, now);
            if let Some(message) = message {
                outcome.findings.push(Diagnostic::at(reference, Code::CertificateExpiry, format!("{field}.secretName"), message));
            }
            outcome.recheck = outcome.recheck.into_iter().chain(recheck).min();
        }
        let mut claim = |host: HostMatch, standing| {
            let claim = CertificateClaim { certificate: certificate.clone(), field: shared(&field), standing };
            outcome.claims.entry(host).or_default().push(claim);
        };
        for host in hosts {
            if twins == Twins::Redirect
                && let Some((_, twin)) = twin(&host)
                && certificate.as_ref().is_some_and(|certificate| certificate.covers(twin.as_str()))
            {
                claim(HostMatch::Exact(twin), Standing::Implied);
            }
            claim(host, Standing::Written);
        }
    }
    outcome
}

/// Returns the certificate of a Secret, the last good one where the current one is broken or gone, and what is wrong.
pub(super) fn find(snapshot: &Snapshot, secret: &ObjectRef) -> (Option<Arc<Certificate>>, Option<(Code, String)>) {
    let entry = snapshot.secret(secret);
    let certificate = entry.and_then(|entry| entry.serving()?.certificate().ok()).cloned();
    let instead = if certificate.is_some() { "its last good certificate" } else { "the default certificate" };
    let problem = match entry.map(|entry| entry.current()) {
        None | Some(None) => Some((Code::MissingSecret, format!("{secret} does not exist; {instead} is served"))),
        Some(Some(Err(_))) => Some((Code::InvalidSecret, format!("{secret} cannot be read; {instead} is served"))),
        Some(Some(Ok(current))) => match current.certificate() {
            Ok(_) => None,
            Err(reason) => Some((Code::InvalidSecret, format!("{secret}: {reason}; {instead} is served"))),
        },
    };
    (certificate, problem)
}

/// Says whether a certificate is near its end, and when that changes next.
pub(super) fn expiry(certificate: &Certificate, now: SystemTime) -> (Option<String>, Option<SystemTime>) {
    let end = certificate.not_after;
    let date = Timestamp::try_from(end).map_or_else(|_| "an unknown date".to_owned(), |end| end.to_string());
    if end <= now {
        return (Some(format!("the certificate of {} expired on {date}", certificate.origin)), None);
    }
    let notice = end.checked_sub(NOTICE).unwrap_or(SystemTime::UNIX_EPOCH);
    if notice <= now {
        return (Some(format!("the certificate of {} expires on {date}", certificate.origin)), Some(end));
    }
    (None, Some(notice))
}
