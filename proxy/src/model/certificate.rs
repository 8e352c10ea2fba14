//! Certificates, parsed once and shared by everything that serves them.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::Origin;

/// A certificate chain with its key. Its `Debug` shows names and dates, never the key.
#[derive(Clone)]
pub struct Certificate {
    /// The object it came from.
    pub origin: Arc<Origin>,
    /// Chain and signer, as rustls wants them.
    pub key: Arc<CertifiedKey>,
    /// DNS names of the leaf (subject alternative names; the common name where there are none), lower case, wildcards as written.
    pub names: Arc<[String]>,
    /// Start of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
    /// SHA-256 of the leaf, in lower-case hexadecimal.
    pub fingerprint: Arc<str>,
}

/// Why a certificate cannot be served. Never carries key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCertificate {
    /// No certificate could be read from the chain.
    #[error("the certificate chain holds no readable PEM certificate: {0}")]
    Chain(String),
    /// No key could be read.
    #[error("no readable PEM private key (PKCS#8, PKCS#1 or SEC1): {0}")]
    Key(String),
    /// The key is of a kind that cannot sign for TLS.
    #[error("the private key is not one that TLS can use: {0}")]
    UnusableKey(String),
    /// The key is not the leaf's.
    #[error("the private key does not belong to the first certificate of the chain")]
    Mismatch,
    /// The leaf is not an X.509 certificate.
    #[error("the first certificate of the chain cannot be parsed: {0}")]
    Leaf(String),
}

impl Certificate {
    /// Reads a PEM chain (leaf first) and its PEM key.
    ///
    /// # Errors
    /// One of the two cannot be read, or they do not belong together.
    pub fn from_pem(origin: Arc<Origin>, chain: &[u8], key: &[u8]) -> Result<Self, InvalidCertificate> {
        let chain =
            CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().map_err(|e| InvalidCertificate::Chain(e.to_string()))?;
        let leaf = chain.first().ok_or_else(|| InvalidCertificate::Chain("it is empty".into()))?.clone();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| InvalidCertificate::Key(pem_problem(&e)))?;
        let signer =
            rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|e| InvalidCertificate::UnusableKey(e.to_string()))?;
        let key = CertifiedKey::new(chain, signer);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(InvalidCertificate::Mismatch),
            Err(error) => return Err(InvalidCertificate::Leaf(error.to_string())),
        }
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).map_err(|e| InvalidCertificate::Leaf(e.to_string()))?;
        let mut names: Vec<String> = parsed
            .subject_alternative_name()
            .ok()
            .flatten()
            .map(|san| {
                let dns = |name: &x509_parser::extensions::GeneralName<'_>| {
                    if let x509_parser::extensions::GeneralName::DNSName(dns) = name { Some(dns.to_ascii_lowercase()) } else { None }
                };
                san.value.general_names.iter().filter_map(dns).collect()
            })
            .unwrap_or_default();
        if names.is_empty() {
            names.extend(parsed.subject().iter_common_name().filter_map(|cn| cn.as_str().ok()).map(str::to_ascii_lowercase));
        }
        // An empty name names nothing.
        names.retain(|name| !name.is_empty());
        let time = |t: x509_parser::time::ASN1Time| {
            let seconds = u64::try_from(t.timestamp()).unwrap_or(0);
            SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
        };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &leaf);
        let fingerprint: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            origin,
            key: Arc::new(key),
            names: names.into(),
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
            fingerprint: fingerprint.into(),
        })
    }

    /// Whether the certificate is valid for a host: an exact name, or a wildcard that stands for exactly one label (RFC 6125 §6.4.3).
    /// A host that is itself a wildcard (`*.example.com`) must be named as such.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        self.names.iter().any(|name| {
            name == host
                || name.strip_prefix("*.").is_some_and(|suffix| {
                    host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && label != "*" && rest == suffix)
                })
        })
    }
}

/// Says what is wrong with a PEM key without a byte of it.
fn pem_problem(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    if matches!(error, Error::NoItemsFound) {
        "none found".to_owned()
    } else if matches!(error, Error::MissingSectionEnd { .. } | Error::IllegalSectionStart { .. }) {
        "a section's start or end is malformed".to_owned()
    } else {
        "it cannot be decoded".to_owned()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("origin", &self.origin.to_string())
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}
