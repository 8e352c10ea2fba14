//! Which certificate a client is shown, and which others were asked for.

use std::sync::Arc;

use tidegate_proxy::model::{Certificate, HostMatch};
use tidegate_proxy::table::{CertificateDump, TlsTable};

use super::candidates::precedence;
use super::{CertificateFacts, Known, OtherCertificate, matches_of};
use crate::object::ObjectRef;

/// Describes the certificate for a server name; `None` asks for none.
pub(super) fn facts(known: Known<'_>, tls: &TlsTable, server_name: Option<&str>) -> CertificateFacts {
    let shown = tls.certificate_for(server_name);
    let name = server_name.map(|name| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()).unwrap_or_default();
    let matches = matches_of(&name);
    // Which entry it was found by, for people; what is shown was decided above.
    let served_for = matches.iter().find(|entry| tls.certificates().get_match(entry).is_some_and(|found| Arc::ptr_eq(found, shown)));
    let before = served_for.and_then(|served| matches.iter().position(|entry| entry == served)).unwrap_or(matches.len());
    let others = matches.iter().take(before + 1).flat_map(|entry| others(known, entry, shown)).collect();
    let CertificateDump { origin, names, not_before, not_after, fingerprint } = CertificateDump::of(shown);
    CertificateFacts {
        object: (*origin).clone(),
        served_for: served_for.map(ToString::to_string),
        names: names.to_vec(),
        covers: shown.covers(&name),
        not_before,
        not_after,
        fingerprint: fingerprint.to_string(),
        others,
    }
}

/// Returns what was asked for one name and is not what is shown.
fn others(known: Known<'_>, entry: &HostMatch, shown: &Arc<Certificate>) -> Vec<OtherCertificate> {
    let mut winner = None;
    let mut found = Vec::new();
    for (seniority, claims) in known.translator.certificate_claims(entry) {
        for claim in claims {
            let why = match &claim.certificate {
                Some(certificate) if Arc::ptr_eq(certificate, shown) || certificate.fingerprint == shown.fingerprint => {
                    winner = winner.or(Some(seniority));
                    continue;
                }
                Some(_) => match winner {
                    Some(winner) => precedence(winner, seniority),
                    None => continue,
                },
                None => without_certificate(known, &seniority.reference, &claim.field),
            };
            found.push(OtherCertificate { object: seniority.reference.origin(), field: claim.field.to_string(), why });
        }
    }
    found
}

/// Says why a TLS entry has no certificate: it asks for the default one, or its Secret is at fault.
fn without_certificate(known: Known<'_>, object: &ObjectRef, field: &str) -> String {
    let at = format!("{field}.secretName");
    let told = known.translator.diagnostics().find(|found| found.object == *object && found.field.as_deref() == Some(&at));
    told.map_or_else(|| "it names no Secret, and so asks for the default certificate".to_owned(), |found| found.message.to_string())
}
